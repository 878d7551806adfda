"""Holds a repository in which a merge queue is at work against an oracle: base, reflog, ledger, queue, what is left."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
import queueoracle
from leftovers import leftovers
from queueoracle import Oracle, Wish
from support import eventually, git

from coord.daemon import run
from coord.git import gate, history
from coord.model.records import MergeRequest
from coord.service import verify
from coord.service.coord import Coord
from coord.service.merging import waiting
from coord.service.merging.gates import Gates

_BY_COORD = "coord: merge"
_ENDS = ("merge.landed", "merge.failed", "merge.conflict")


class Judge:
    """Looks at all that a queue did since the last look; LOG is what its test wrote, None where there is none."""

    def __init__(self, coord: Coord, into: str, oracle: Oracle, log: Path | None) -> None:
        self.coord, self.home, self.into = coord, coord.home, into
        self.oracle, self.log = oracle, log
        coord.committer.settle()
        self._ledger = coord.ledger.tip()
        self._moves = len(self._reflog())
        played = queueoracle.blobs(oracle.base.content)
        self._rest = {path: blob for path, blob in self._tree(oracle.base.commit).items() if path not in played}

    def queue(self) -> dict[str, MergeRequest]:
        """Return the requests that wait, by id."""
        return {one.id: one for _, one in waiting.found(self.coord).values()}

    def lacks(self, wish: Wish, path: str, base: str = "") -> bool:
        """Tell whether the base has a commit for PATH that a wish has not."""
        words = ("rev-list", "--no-merges", "--max-count=1", base or self.into, f"^{wish.head}", "--", path)
        return bool(git(self.home, *words))

    def look(self, version: str) -> None:
        """Take in what is new, and prove that it is right under the test's VERSION."""
        self.coord.committer.settle()
        since = len(self.oracle.past) - 1
        moves = self._reflog()
        if len(moves) > self._moves:
            self._base()
            self._tested(moves[self._moves :], version)
            self._moves = len(moves)
        self._events(since)
        self._nothing_lost()

    def finish(self) -> None:
        """Prove that whatever waits has a reason to, and that nothing lies about."""
        excuses = self.oracle.excuses(self.queue(), self.lacks)
        assert all(excuses.values()), f"it waits for nothing: {excuses}: {self.queue()}"
        done = Counter(kind for kind in self.oracle.ended.values())
        assert self.oracle.landed == {one for one, kind in self.oracle.ended.items() if kind == "merge.landed"}, done
        assert not git(self.home, "status", "--porcelain"), "the owner's checkout did not come along"
        verify.verify(self.coord)
        run.once(Coord.open(self.home, who="owner"), say=print)
        assert not (left := leftovers(self.home)), f"nobody tidied up {left}"
        folder = Gates(self.coord).folder
        assert not gate.leftovers(folder), "a test was left running"
        eventually(lambda: not self._alive(), what="the end of every process")
        refs = set(git(self.home, "for-each-ref", "--format=%(refname)").split())
        known = {f"refs/heads/{one}" for one in ("main", "trunk", "coord/ledger", *self._branches())}
        assert refs == known, f"refs are left: {refs ^ known}"

    def _branches(self) -> set[str]:
        return {wish.branch for wish in self.oracle.wishes.values()}

    def _alive(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(f"{self.home}/") and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except (psutil.Error, OSError):
                continue
        return found

    def _base(self) -> None:
        """Fold what the base got, commit by commit; the tree of each must be what the oracle says."""
        trailer = "%(trailers:key=Coord-Merge,valueonly,separator=)"
        span = f"{self.oracle.base.commit}..{self.into}"
        for line in git(
            self.home, "log", "--first-parent", "--reverse", f"--format=%H|%P|{trailer}", span
        ).splitlines():
            commit, parents, identifier = line.split("|")
            below, *heads = parents.split()
            assert below == self.oracle.base.commit, (
                f"{commit} lies upon {below}, and the base was at {self.oracle.base.commit}"
            )
            if commit in self.oracle.outside:
                self.oracle.came_by_hand(commit)
            else:
                assert len(heads) == 1 and identifier in self.oracle.wishes, f"nobody knows where {commit} comes from"
                (head,) = heads
                wish = self.oracle.wishes[identifier]
                self.oracle.came_by_merge(commit, identifier, head, partial(self.lacks, wish, base=below))
            assert self._tree(commit) == self._known(), f"{commit} holds something else"
        assert git(self.home, "rev-parse", self.into) == self.oracle.base.commit, "the base lost commits"

    def _known(self) -> dict[str, str]:
        """Return the files that the base must have now."""
        return {**self._rest, **queueoracle.blobs(self.oracle.base.content)}

    def _tree(self, commit: str) -> dict[str, str]:
        return history.tree(self.coord.git, commit)

    def _reflog(self) -> list[str]:
        file = self.home / ".git/logs/refs/heads" / self.into
        return file.read_text().splitlines() if file.exists() else []

    def _tested(self, moves: Sequence[str], version: str) -> None:
        """Prove that the test passed on each tree that coord moved the base to."""
        for line in moves:
            facts, _, words = line.partition("\t")
            if words == _BY_COORD and self.log is not None:
                new = facts.split()[1]
                tree = git(self.home, "rev-parse", f"{new}^{{tree}}")
                passed = f"{tree} {version} passed" in self.log.read_text().splitlines()
                assert passed, f"the base was moved to {new}, on whose tree the test did not pass"

    def _events(self, since: int) -> None:
        tip = self.coord.ledger.tip()
        assert tip is not None
        for entry in history.entries(self.coord.git, since=self._ledger, until=tip, with_changes=False):
            if entry.kind in _ENDS:
                (identifier,) = entry.cause
                wish = self.oracle.wishes[identifier]
                why = entry.facts.get("Why", "")
                self.oracle.ends(identifier, entry.kind, why, since, partial(self.lacks, wish))
        self._ledger = tip

    def _nothing_lost(self) -> None:
        waits, ended = set(self.queue()), set(self.oracle.ended)
        assert not (both := waits & ended), f"it waits though it ended: {both}"
        assert waits | ended == set(self.oracle.wishes), f"lost: {set(self.oracle.wishes) - waits - ended}"
