"""Who is killed: somebody who sends or reads mail, a ledger writer, one who merges, the daemon."""

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from doomed import Warm, warmed
from killing import Ground
from owner import commit_by_hand, is_in
from support import at_rest, eventually, git

from coord.git import others
from coord.service import mail, merges
from coord.service.command import Prose

_BRANCHES = 900
_BLOCKED = 60.0


class Reading(Ground):
    """Somebody reads and acknowledges mail."""

    role = "read"

    def prepare(self) -> None:
        sent = [mail.send(self.coord, ("backend",), Prose("work"))]
        sent.append(mail.send(self.coord, ("backend",), Prose("work"), ack="required"))
        self.said += (["sent", one.message.id, *one.delivered] for one in sent)

    def heal(self) -> None:
        self.prepare()  # a command commits when it has something to note
        super().heal()


class Committing(Reading):
    """A ledger writer commits what others noted."""

    role = "commit"


class Landing(Ground):
    """Requests are merged, into the branch that is checked out or into another; the other moves by hand as well."""

    role = "land"
    ref = "refs/heads/trunk"
    settings = "ungated: allow"

    def __init__(self, repo: Path, warm: list[Warm], chance: random.Random, mutant: str = "") -> None:
        self.branches = iter(range(_BRANCHES))
        with (repo / ".coord.yaml").open("a") as file:
            file.write(f"merge: {{{self.settings}}}\n")
        git(repo, "commit", "-qam", "configured")
        base = git(repo, "rev-parse", "main")
        git(repo, "branch", "trunk", base)
        self.first = {"main": base, "trunk": base}
        commits = (
            f"commit refs/heads/work/{number}\ncommitter Owner <owner@example.com> 1700000000 +0000\ndata 4\nwork\n"
            f"from {base}\nM 644 inline work/{number}\ndata 4\nwork\n"
            for number in range(_BRANCHES)
        )
        subprocess.run(["git", "fast-import", "--quiet"], cwd=repo, check=True, input="".join(commits), text=True)
        super().__init__(repo, warm, chance, mutant)

    def prepare(self) -> None:
        into = "trunk" if self.fixed else self.chance.choice(("main", "trunk"))
        asked = merges.request(self.coord, branch=f"work/{next(self.branches)}", into=into)
        self.said.append(["landed", asked.id])
        self.coord.settle()

    def work(self) -> int:
        deadline = time.monotonic() + _BLOCKED
        points = super().work()
        while merges.waiting(self.coord):  # while a git of the dead one is at work still
            assert time.monotonic() < deadline, "the landing is blocked"
            super().work()
        return points

    def heal(self) -> None:
        if not self.fixed and self.chance.random() < 0.5:
            self.by_hand.append(commit_by_hand(self.repo, self.ref))
        super().heal()

    def audit(self) -> None:
        super().audit()
        self.books.audit_branches("main", "trunk")


class Testing(Landing):
    """Requests are tested together before they land."""

    role = "queue"
    settings = "test: 'git status --porcelain', parallel: 2"

    def prepare(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            super().prepare()


class Pushing(Testing):
    """What is tested goes to a remote first, to which others push as well."""

    role = "push"
    settings = "test: 'git status --porcelain', parallel: 2, push: origin"

    def __init__(self, repo: Path, warm: list[Warm], chance: random.Random, mutant: str = "") -> None:
        self.far = repo.with_name(f"{repo.name}-far.git")
        git(repo, "init", "-q", "--bare", str(self.far))
        git(repo, "remote", "add", "origin", str(self.far))
        self.theirs: list[str] = []
        super().__init__(repo, warm, chance, mutant)

    def kill(self, family: bool, after: float | None) -> None:
        super().kill(family, after)
        self.compare()

    def heal(self) -> None:
        if is_in(self.far, "trunk", "trunk") and self.chance.random() < 0.5:
            self.theirs.append(commit_by_hand(self.far, self.ref))
        Ground.heal(self)

    def audit(self) -> None:
        super().audit()
        self.compare()
        assert all(is_in(self.far, commit, "trunk") for commit in self.theirs), "the remote lost what others pushed"

    def compare(self) -> None:
        """Prove that nothing that landed is here and not at the remote."""
        for into in ("main", "trunk"):
            tip = git(self.repo, "rev-parse", into)
            assert tip == self.first[into] or is_in(self.far, tip, into), f"{into} is here what it is not at the remote"


class Watching(Landing):
    """The daemon commits, takes in what hands wrote, and merges."""

    role = "watch"

    def __init__(self, repo: Path, warm: list[Warm], chance: random.Random, mutant: str = "") -> None:
        self.dropped = 0
        super().__init__(repo, warm, chance, mutant)

    def prepare(self) -> None:
        if self.chance.random() < 0.3:
            super().prepare()
        self.drop()

    def drop(self) -> None:
        """Write a message by hand, at once whole or little by little, as people do."""
        self.dropped += 1
        begun = self.repo.parent / "begun"
        begun.write_text(f"written by hand: number {self.dropped}.\n")
        begun.rename(self.repo / f"inbox/security/note {self.dropped}.md")

    def kill(self, family: bool, after: float | None) -> None:
        self.drop()
        super().kill(family, self.chance.uniform(0, self.seconds) if after is None else after)

    def work(self) -> int:
        self.listen()
        said = len(self.said)
        self.doomed.start(self.plan())

        def watches() -> bool:
            self.listen()
            return any(what == "watch" for what, *_ in self.said[said:])

        eventually(watches, within=_BLOCKED, what="the daemon watches")
        eventually(self.is_done, within=_BLOCKED, what="the daemon's work")
        ended = self.doomed.end("term")
        assert ended.status == 0, f"the daemon ended with {ended.status}"
        return ended.points

    def is_done(self) -> bool:
        waiting = list(self.repo.glob("inbox/security/note *"))
        return not (waiting or self.coord.journal.size() or merges.waiting(self.coord))

    def audit(self) -> None:
        super().audit()
        texts = [path.read_text() for path in self.repo.glob("inbox/security/**/*.md")]
        for number in range(max(1, self.dropped - 2), self.dropped + 1):
            assert sum(f"written by hand: number {number}.\n" in text for text in texts) == 1, (
                f"note {number} is not there once"
            )


GROUNDS = {one.role: one for one in (Ground, Reading, Committing, Landing, Testing, Pushing, Watching)}


@contextmanager
def ground(pristine: Path, role: str, seed: int, mutant: str = "") -> Iterator[Ground]:
    """Have a copy of a repository to torment ROLE in."""
    repo = pristine.with_name(f"farm-{seed}")
    shutil.copytree(pristine, repo, symlinks=True)
    with warmed(repo, "doomed", "other") as warm:
        yield GROUNDS[role](repo, warm, random.Random(seed), mutant)
    living = partial(others.living, repo / ".git", harmless=())
    eventually(lambda: living(before=time.time()) is None, within=_BLOCKED, what="the end of what a killed one began")
    at_rest(repo)
    shutil.rmtree(repo)
