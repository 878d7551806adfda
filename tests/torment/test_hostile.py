"""Content made to do harm has no effect: not on git, not on the shell, not on a terminal, not outside the folders."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import mutants_inputs
import pytest
import rich.console
import tiers
from support import git

from coord.faces import cli, page, render
from coord.main import tree
from coord.model import keys
from coord.model.errors import CoordError
from coord.model.records import Change
from coord.model.untrusted import UNSAFE
from coord.service import checkpoints, decisions, locks, mail, verify
from coord.service.byhand import adopt
from coord.service.command import Prose
from coord.service.coord import Coord

FIXTURES = Path(__file__).parents[1] / "fixtures" / "hostile"
TRAILERS = frozenset(
    f"Coord-{name}"
    for name in ("Event", "Id", "Agent", "Cause", "Token", "Why", "Commit", "Level", "Mailbox", "Allowed-Secret")
)
SPEAKERS = frozenset(("backend", "frontend", "security", "pm-architect", "owner", "coord", "unknown"))
COLOURS = re.compile("\x1b\\[[0-9;]*m")
_TOGETHER = 20
ROUNDS = tiers.rounds(1, 10)
Say = Callable[..., str]


def corpus(name: str) -> list[str]:
    given = json.loads((FIXTURES / name).read_text())
    return [_spelled(one) for one in (given.values() if isinstance(given, dict) else given)]


def _spelled(one: Any) -> str:
    return one["repeat"] * one["times"] if isinstance(one, dict) else str(one)


BODIES, PATHS = corpus("bodies.json"), corpus("paths.json")


def outside(home: Path) -> dict[str, bytes | str]:
    """Return all that lies around the folders: the code, git's hooks, settings and branches, and beside the repository."""
    found: dict[str, bytes | str] = {}
    for top, folders, names in os.walk(home.parent):
        below = Path(top).relative_to(home.parent).as_posix()
        hidden = (
            *(f"{home.name}/{one}" for one in keys.FOLDERS),
            f"{home.name}/.git/coord",
            f"{home.name}/.git/objects",
        )
        folders[:] = [name for name in folders if f"{below}/{name}" not in hidden and name != ".home"]
        for name in (*names, *folders):
            path = Path(top) / name
            if path.is_symlink():
                found[f"{below}/{name}"] = f"-> {path.readlink()}"
            elif path.is_file() and "coord/ledger" not in path.as_posix() and name != "index.lock":
                found[f"{below}/{name}"] = path.read_bytes()
    return found


@contextmanager
def no_effect(home: Path) -> Iterator[None]:
    """Prove that nothing changes but the folders and the ledger."""
    before = outside(home)
    yield
    after = outside(home)
    assert after.keys() - before.keys() == set()
    assert before == after


@pytest.fixture
def say(repo: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command line in this process; what it prints must be harmless, whatever it says."""

    def run(*words: str, who: str = "frontend") -> str:
        capsys.readouterr()
        cli.run(tree(), ["--repo", str(repo), "--as", who, *words])
        printed = capsys.readouterr()
        for text in (printed.out, printed.err):
            found = UNSAFE.search(text.replace("\t", ""))
            assert found is None, f"{words}: {found!r} in {text[:500]!a}"
        return printed.out

    return run


def tried(act: Callable[[], Any]) -> Any:
    """Do something that may be refused, in coord's own words."""
    try:
        return act()
    except CoordError:
        return None


# ---- bodies ----


def spread(repo: Path, body: str, number: int) -> str:
    """Put a body everywhere that takes a text; return the id of the message, or "" where it was refused."""
    me, other = (Coord.open(repo, who=who) for who in ("backend", "frontend"))
    sent = tried(lambda: mail.send(me, ("frontend",), Prose(body)))
    tried(lambda: mail.send(me, ("frontend", "owner"), Prose("x"), subject=body, ref=(body,), cause=(body,), key=body))
    tried(lambda: mail.send(me, (body,), Prose(body)))
    tried(lambda: locks.acquire(me, (f"docs/{number}",), note=body))
    tried(lambda: locks.break_(Coord.open(repo, who="owner"), f"docs/{number}", reason=body))
    tried(lambda: decisions.record(me, body, Prose(body), why=Prose(body)))
    if number % 3 == 0:
        tried(lambda: checkpoints.save(other, Prose(body), next=(body,), task=body, session=body, touched=(body,)))
    if sent is not None:
        assert mail.show(other, sent.message.id).message.body == body
        tried(lambda: mail.reply(other, sent.message.id, Prose(body)))
    (repo / "inbox/frontend" / f"by hand {number}.md").write_bytes(body.encode("utf-8", "surrogatepass"))
    os.utime(repo / "inbox/frontend" / f"by hand {number}.md", (1, 1))
    adopt.adopt_waiting(other)
    return sent.message.id if sent is not None else ""


def draw(*results: object) -> None:
    """Draw results as on a terminal: nothing but colours is sent."""
    for result in results:
        drawn = StringIO()
        page.draw(render.blocks(result), rich.console.Console(file=drawn, force_terminal=True, width=80))
        rest = COLOURS.sub("", drawn.getvalue()).replace("\t", "")
        assert not UNSAFE.search(rest), ascii(rest)


def read_by_all(say: Say, coord: Coord, wanted: Mapping[str, str]) -> None:
    """Show what lies there on every page; none carries what a terminal would obey, and JSON gives it back exactly."""
    for words in _PAGES:
        say(*words)
        json.loads(say(*words, "--json"))
    for identifier, body in wanted.items():
        say("mail", "show", identifier)
        assert json.loads(say("mail", "show", identifier, "--json"))["message"]["body"] == body
    draw(mail.list_(coord, read=True, limit=1_000), decisions.list_(coord), mail.read(coord, limit=1_000))


_PAGES = (
    ("mail", "list", "--read", "--limit", "1000"),
    ("log", "--limit", "1000"),
    ("checkpoint", "restore", "--budget", "20000"),
    ("checkpoint", "list"),
    ("decision", "list"),
    ("lock", "list"),
    ("status",),
)


def ledger_is_coords_own(repo: Path) -> None:
    """Prove that git sees coord's trailers in every commit of the ledger, and no others."""
    shown = git(repo, "log", "--format=%an <%ae>%x00%B%x00%(trailers:only)%x01", "coord/ledger")
    for commit in filter(None, (one.strip("\n") for one in shown.split("\x01"))):
        author, message, trailers = commit.split("\0")
        lines = trailers.strip("\n").split("\n")
        names = [line.partition(":")[0] for line in lines]
        assert set(names) <= TRAILERS, trailers
        assert names[:3] == ["Coord-Event", "Coord-Id", "Coord-Agent"]
        assert all(names.count(name) == 1 for name in set(names) - {"Coord-Cause"}), trailers
        assert lines[2].partition(": ")[2] in SPEAKERS
        assert author == "{0} <{0}@coord.local>".format(lines[2].partition(": ")[2])
        assert not UNSAFE.search(message), ascii(message)
        assert [line.rstrip() for line in message.strip("\n").split("\n")[2:]] == [line.rstrip() for line in lines]


def as_git_parses(repo: Path, rng: Random, most: int) -> None:
    """Ask `git interpret-trailers` about some commits, as the owner's scripts would."""
    commits = git(repo, "rev-list", "coord/ledger").split()
    for commit in rng.sample(commits, min(most, len(commits))):
        message = git(repo, "log", "-1", "--format=%B", commit)
        done = subprocess.run(
            ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
        )
        names = [line.partition(":")[0] for line in done.stdout.splitlines()]
        assert set(names) <= TRAILERS
        assert names.count("Coord-Event") == 1


def bodies_have_no_effect(repo: Path, say: Say, bodies: list[str], rng: Random, *, asked: int) -> None:
    with no_effect(repo):
        for start in range(0, len(bodies), _TOGETHER):
            sent = {
                spread(repo, body, start + number): body
                for number, body in enumerate(bodies[start : start + _TOGETHER])
            }
            read_by_all(
                say,
                Coord.open(repo, who="frontend"),
                {identifier: body for identifier, body in sent.items() if identifier},
            )
        coord = Coord.open(repo, who="owner")
        coord.committer.settle()
        ledger_is_coords_own(repo)
        as_git_parses(repo, rng, asked)
        assert verify.verify(coord, deep=True).ok


@pytest.mark.parametrize("part", range(4))
def test_bodies_have_no_effect(repo: Path, say: Say, part: int) -> None:
    rng = Random(tiers.seed())
    for _ in range(ROUNDS):
        bodies = BODIES[part::4]
        rng.shuffle(bodies)
        bodies_have_no_effect(repo, say, bodies, rng, asked=tiers.rounds(5, 500))


def test_bodies_side_by_side_have_no_effect(repo: Path, say: Say) -> None:
    rng = Random(tiers.seed())
    joined = ["".join(rng.sample(BODIES, 2)) for _ in range(tiers.rounds(4, 400))]
    bodies_have_no_effect(repo, say, joined, rng, asked=5)


# ---- paths ----


def tread(repo: Path, say: Say, path: str) -> None:
    """Put a path everywhere that takes one."""
    me = Coord.open(repo, who="backend")
    below = (f"inbox/{path}", f"inbox/frontend/{path}", f"locks/{path}.yaml", f"checkpoints/{path}/x")
    for key in (path, *below):
        change = (Change(key, b"x"),)
        tried(partial(me.store.get, key))
        tried(partial(list, me.store.list(key)))
        tried(partial(me.store.apply, change))
        if keys.is_record(key):
            tried(partial(me.record, me.event("test.made", key, change)))
    tried(partial(locks.acquire, me, (path,)))
    tried(partial(locks.check, me, (path,)))
    tried(partial(mail.send, me, (path,), Prose("x"), ref=(f"path:{path}",), key=path))
    tried(partial(mail.send, me, ("auto",), Prose(path), ref=(f"path:{path}",)))
    tried(Coord.open(repo, who=path).whoever)
    with suppress(OSError, ValueError):
        dropped = repo / "inbox/frontend" / path.replace("/", "\u2215")
        dropped.write_text("x\n")
        os.utime(dropped, (1, 1))
    adopt.adopt_waiting(me)
    if "\0" not in path:
        for words in (("lock", "check"), ("mail", "show"), ("checkpoint", "show"), ("mail", "send")):
            say(*words, "--", path, *["x"] * (words == ("mail", "send")))
    tried(partial(locks.release, me))


def paths_have_no_effect(repo: Path, say: Say, paths: list[str]) -> None:
    with no_effect(repo):
        for path in paths:
            tread(repo, say, path)
        Coord.open(repo, who="owner").committer.settle()
        ledger_is_coords_own(repo)
        git(repo, "fsck", "--strict", "--no-dangling")


@pytest.mark.parametrize("part", range(2))
def test_paths_have_no_effect(repo: Path, say: Say, part: int) -> None:
    rng = Random(tiers.seed())
    for _ in range(ROUNDS):
        paths = PATHS[part::2]
        rng.shuffle(paths)
        paths_have_no_effect(repo, say, paths)


# ---- faults that these must find ----


@pytest.mark.parametrize("mutant", mutants_inputs.HOSTILE, ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(
    repo: Path, say: Say, mutant: mutants_inputs.Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.plant(monkeypatch)
    given = {name: _spelled(one) for name, one in json.loads((FIXTURES / "bodies.json").read_text()).items()}
    with pytest.raises((AssertionError, subprocess.CalledProcessError, ValueError)):
        if mutant.where == "bodies":
            chosen = [given[name] for name in ("forged trailers", "red", "bidi override", "window title", "NULs")]
            bodies_have_no_effect(repo, say, chosen, Random(1), asked=5)
        else:
            paths_have_no_effect(repo, say, ["../x", ".git/hooks/post-commit", "a\nb", "\u202egnp.exe", "../../x"])
