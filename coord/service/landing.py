"""Merging one request: in memory, tested, moved by compare-and-swap, and told.

A request goes queued → (testing) → landing → gone. Each step is an event; killed between
any two, `advance` called again goes on from what the record and the refs say.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from coord.git import checkout, gate, merge, worktree
from coord.git.gate import Running
from coord.model import codec, quoting, trailers
from coord.model.errors import Conflict, NotFound, Refused
from coord.model.records import Change, MergeRequest
from coord.model.untrusted import clean_line
from coord.service import branches, delivery, merges
from coord.service.coord import Coord
from coord.service.merges import GUARD

_SHOWN = 12
_LOST = "git cleaned its merge commit away; merging again"


class Landing:
    """Merges requests one after another; holds the gate that runs at the moment."""

    def __init__(self, coord: Coord) -> None:
        self.coord = coord
        self.running: tuple[str, Running] | None = None
        self._folder = coord.private / "gates"

    def advance(self, identifier: str) -> bool:
        """Take the request one step further; True where something was decided, False where it has to wait."""
        with self.coord.exclusive(GUARD):
            found = [(key, one) for key, one in merges.waiting(self.coord) if one.id == identifier]
            if not found:
                self._drop_gate(identifier)
                return False
            key, one = found[0]
            if one.state == "landing":
                return self._finish(key, one)
            if one.state == "testing":
                return self._judge(key, one)
            return not self._busy() and self._screen(key, one)

    def tend(self) -> None:
        """End a gate whose request left the queue: nothing else would ask for it again."""
        if self.running is not None:
            with self.coord.exclusive(GUARD):
                self._busy()

    def stop(self) -> None:
        """End the gate that runs; its request goes on when a daemon runs again."""
        if self.running is not None:
            self.running[1].stop()
            self.running = None

    def _busy(self) -> bool:
        """Tell whether the test of another request runs; one whose request left the queue is ended."""
        if self.running is None:
            return False
        tested = (one.id for _, one in merges.waiting(self.coord) if one.state == "testing")
        if self.running[0] in tested:
            return True
        self.stop()
        return False

    def _screen(self, key: str, one: MergeRequest) -> bool:
        coord, git = self.coord, self.coord.git
        head = one.head
        try:
            one = replace(one, into=branches.named(coord, one.into))
            base = branches.tip(coord, one.into)
            if merge.already_in(git, base, head):
                return self._close(key, one, "landed", f"{one.into} had all of it already")
            prediction = merge.predict(git, base, head)
        except (NotFound, Refused) as fault:  # a branch or a commit that is gone: trying again would not help
            return self._refuse(key, one, "failed", fault.message, fault.hint)
        if links := set(worktree.committed_links(git, prediction.tree)) - set(worktree.committed_links(git, base)):
            named = clean_line(" ".join(sorted(links)), 300)
            detail = f"They lead to the live folders: `git rm --cached {named}`, commit, and request again."
            return self._refuse(key, one, "failed", f"it has coord's own links in a commit: {named}", detail)
        if not prediction.clean:
            return self._refuse(key, one, "conflict", *self._blame(one, base, prediction.conflicts))
        obstacles = [
            found
            for place in checkout.standing_on(git, one.into)
            if (found := checkout.obstacle(place.path, base, base))
        ]
        if obstacles:
            return self._hold(key, one, obstacles[0])
        gated = bool(coord.config.merge.test)
        message = _message(one, gated)
        author = trailers.author(one.agent)
        candidate = merge.commit(git, prediction.tree, (base, head), message, author=author, at=coord.now())
        if not gated:
            return self._land(key, replace(one, base=base, candidate=candidate, gate="ungated"))
        self._start_gate(one.id, candidate)
        self._update(
            key, replace(one, state="testing", base=base, candidate=candidate, gate="", result=""), "merge.testing"
        )
        return True

    def _start_gate(self, identifier: str, candidate: str) -> None:
        settings = self.coord.config.merge
        log = gate_log(self.coord, identifier)
        log.parent.mkdir(parents=True, exist_ok=True)
        running = gate.start(
            self.coord.git, candidate, settings.test, folder=self._folder, log=log, timeout=settings.timeout
        )
        self.running = (identifier, running)

    def _judge(self, key: str, one: MergeRequest) -> bool:
        if self.running is None or self.running[0] != one.id:
            # A daemon before this one started the test and is gone; its verdict died with it.
            for leftover in gate.leftovers(self._folder):
                leftover.kill()
            if self._is_lost(one):
                return self._requeue(key, one, _LOST)
            self._start_gate(one.id, one.candidate)
            return True
        result = self.running[1].poll()
        if result is None:
            return False
        self.running = None
        if not result.passed:
            seconds = f"after {timedelta(seconds=round(result.seconds))}"
            words = {
                "timeout": f"took too long and was ended {seconds}",
                "flood": f"wrote more than a gigabyte and was ended {seconds}",
                "error": "could not be run",
            }
            what = words.get(result.reason, f"failed with status {result.status} {seconds}")
            detail = f"The end of its output ({result.log}):\n\n{quoting.quoted(result.tail)}\n"
            return self._refuse(key, one, "failed", f"its test {what}", detail)
        if self.coord.git.tip(branches.ref(one.into)) != one.base:
            return self._requeue(key, one, "the base moved on; testing again")
        if self._is_lost(one):
            return self._requeue(key, one, _LOST)
        return self._land(key, replace(one, gate="passed"))

    def _land(self, key: str, one: MergeRequest) -> bool:
        """Move the base. From here on the record says `landing`, so that a crash is finished, not begun anew."""
        for place in checkout.standing_on(self.coord.git, one.into):
            if reason := checkout.obstacle(place.path, one.base, one.candidate):
                return self._hold(key, _again(one), f"{place.path}: {reason}")
        one = replace(one, state="landing", result="")
        self._update(key, one, "merge.landing")
        return self._finish(key, one)

    def _finish(self, key: str, one: MergeRequest) -> bool:
        """Move the base and bring the checkouts along; what a killed predecessor did is not done twice."""
        git, ref = self.coord.git, branches.ref(one.into)
        move: Callable[[], None] | None = None
        tip = git.tip(ref)
        if self._is_lost(one):
            return self._requeue(key, one, _LOST)
        if tip == one.base:
            move = partial(merge.move, git, ref, one.candidate, one.base)
        elif tip is None or not merge.already_in(git, tip, one.candidate):
            return self._requeue(key, one, "the base moved on")
        behind = []
        for place in checkout.standing_on(git, one.into):
            try:
                checkout.bring(place.path, one.base, one.candidate, move=move)
                move = None
            except (Conflict, Refused) as fault:
                if move is not None:  # nothing has happened yet
                    return self._hold(key, _again(one), f"{place.path}: {fault.message}")
                behind.append(f"{place.path} was left as it was: {fault.message}")
        if move is not None:
            try:
                move()
            except Conflict:
                return self._requeue(key, one, "the base moved on")
        return self._close(key, one, "landed", "; ".join(behind))

    def _is_lost(self, one: MergeRequest) -> bool:
        """Tell whether the merge commit, which no ref names before it lands, fell to a `git gc --prune=now`."""
        return self.coord.git.tip(one.candidate) is None

    def _requeue(self, key: str, one: MergeRequest, why: str) -> bool:
        self._update(key, replace(_again(one), result=why), "merge.requeued", why=why)
        return True

    def _hold(self, key: str, one: MergeRequest, reason: str) -> bool:
        """Let the request wait for the owner's checkout; tell the owner once for each reason."""
        held = f"waits: {clean_line(reason, 300)}"
        if one.result == held:
            return False
        body = (
            f"`{one.branch}` is ready to be merged into `{one.into}`, which is checked out:\n\n{reason}\n\n"
            f"Nothing was touched. Commit, stash or switch branches there: the merge then goes on by itself.\n"
        )
        word = delivery.notice(self.coord, "owner", f"merge waits: {one.branch}", body, kind="merge", cause=(one.id,))
        self._update(key, replace(one, result=held), "merge.held", delivery.copies(word, ("owner",)), why=reason)
        return False

    def _refuse(self, key: str, one: MergeRequest, state: str, why: str, detail: str) -> bool:
        coord = self.coord
        body = (
            f"`{one.branch}` ({one.head[:10]}) was not merged into `{one.into}`: {why}.\n\n{detail}\n"
            f"Next: in your worktree `git merge {one.into}`, mend it, commit, then `coord merge request` again.\n"
        )
        told = tuple(dict.fromkeys((one.agent, "owner")))
        word = delivery.notice(
            coord, one.agent, f"not merged: {one.branch}: {why}", body, kind="merge", priority="high", cause=(one.id,)
        )
        changes = (Change(key, None), *delivery.copies(word, told))
        coord.record(
            coord.event(
                f"merge.{state}",
                f"{one.branch} -> {one.into}: {why}",
                changes,
                agent=one.agent,
                cause=(one.id,),
                why=why,
            )
        )
        return True

    def _close(self, key: str, one: MergeRequest, state: str, note: str) -> bool:
        coord = self.coord
        gated = one.gate or "ungated"
        what = f"{one.candidate[:10] or 'nothing new'} ({gated})"
        body = f"`{one.branch}` is in `{one.into}`: {what}\n\n{quoting.one_line(one.title)}\n\n{note}\n"
        told = tuple(dict.fromkeys((one.agent, "owner")))
        word = delivery.notice(
            coord, one.agent, f"merged: {one.branch} into {one.into} ({gated})", body, kind="merge", cause=(one.id,)
        )
        changes = (Change(key, None), *delivery.copies(word, told))
        coord.record(
            coord.event(
                f"merge.{state}",
                f"{one.branch} -> {one.into}: {one.title} ({gated})",
                changes,
                agent=one.agent,
                cause=(one.id,),
                commit=one.candidate,
                gate=gated,
            )
        )
        return True

    def _update(self, key: str, one: MergeRequest, kind: str, extra: tuple[Change, ...] = (), **facts: str) -> str:
        change = Change(key, codec.encode(one))
        subject = f"{one.branch} -> {one.into}: {one.title} ({one.state})"
        self.coord.record(self.coord.event(kind, subject, (change, *extra), agent=one.agent, cause=(one.id,), **facts))
        return key

    def _blame(self, one: MergeRequest, base: str, paths: tuple[str, ...]) -> tuple[str, str]:
        touches = [touch for touch in merge.touched_by(self.coord.git, base, one.head, paths) if touch.side == "base"]
        named = ", ".join(clean_line(path, 120) for path in paths[:_SHOWN])
        lines = [f"- {clean_line(path, 200)}" for path in paths]
        commits = [
            f"- {t.commit[:10]} by {clean_line(t.author, 60)} {quoting.one_line(t.subject, 100)}"
            for t in touches[:_SHOWN]
        ]
        detail = (
            "In conflict:\n"
            + "\n".join(lines)
            + f"\n\nChanged on {one.into} meanwhile by:\n"
            + "\n".join(commits)
            + "\n"
        )
        return f"it conflicts in {named}", detail

    def _drop_gate(self, identifier: str) -> None:
        if self.running is not None and self.running[0] == identifier:
            self.stop()


def gate_log(coord: Coord, identifier: str) -> Path:
    """Return where the output of the tests of a request goes."""
    return coord.private / "logs" / f"gate-{identifier}.log"


def _again(one: MergeRequest) -> MergeRequest:
    return replace(one, state="queued", base="", candidate="")


def _message(one: MergeRequest, gated: bool) -> str:
    """Compose the merge commit: coord's own words and cleaned single lines, so that nothing in it can be forged."""
    subject = clean_line(f"Merge {one.branch}: {one.title}", 72)
    gate_line = "passed" if gated else "ungated"
    return f"{subject}\n\nCoord-Agent: {one.agent}\nCoord-Merge: {one.id}\nCoord-Gate: {gate_line}\n"
