"""The merge queue at work: batches are stacked in memory, tested, moved to by compare-and-swap, and told.

A request goes queued → testing → landing → gone; members of one batch go together, or are sent back one by one.
Each step is an event. Killed between any two, `advance` called again goes on from what the records, the refs and
the verdicts say.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coord.git import checkout, merge
from coord.git.gate import tail
from coord.git.worktree import Worktree
from coord.model import bisect, keys, queue, quoting
from coord.model.bisect import Eject, Land, Outcome, Pause, Probe
from coord.model.errors import NotFound, Refused, Unsigned
from coord.model.gate import gate_name, passed
from coord.model.records import MergeRequest
from coord.model.verdicts import Run
from coord.service import branches
from coord.service.coord import Coord
from coord.service.merging import resolving, stacking, telling, waiting
from coord.service.merging.gates import Gates, Wanted
from coord.service.merging.line import Line, there, tip_of
from coord.service.merging.moving import LOST, MOVED_ON, Moving
from coord.service.merging.sizes import Sizes
from coord.service.merging.stacking import Keyed
from coord.service.merging.waiting import GUARD

_LOOKS_AGAIN = 1.0  # seconds: for what nobody announces, as a branch that others move
_NO_GATE = "no test is configured, and nothing lands untested: set `merge.test`, or `merge.ungated: allow`"


class Landing:
    """Takes the queue of each branch forward; holds the gates that run at the moment."""

    def __init__(self, coord: Coord) -> None:
        self.coord = coord
        self.gates = Gates(coord)
        self._sizes = Sizes(coord.private / "batches.json")
        self._moving = Moving(coord, self.gates, self._sizes)
        self._waited: dict[str, tuple[object, float]] = {}

    @property
    def running(self) -> bool:
        """Whether a gate runs or a remote is asked, so that it is worth while to look again soon."""
        return self.gates.busy or self._moving.remotes.busy

    def advance(self, into: str) -> bool:
        """Take the queue of a branch one step further; True where something was decided, False where it has to wait."""
        if self._still(into):
            return False
        changed = self._advance(into)
        if changed:
            self._waited.clear()
        return changed

    def _advance(self, into: str) -> bool:
        with self.coord.exclusive(GUARD):
            every = waiting.found(self.coord)
            lineup = queue.lineup(one for _, one in every.values())
            mine = [every[one.id] for one in lineup.ready if one.into == into]
            try:
                name, here = branches.located(self.coord, into)
            except (NotFound, Refused) as fault:
                for key, one in mine:
                    telling.refused(self.coord, (key, one), "failed", fault.message, fault.hint)
                return bool(mine)
            if name != into:  # written by hand: checkouts are found by the name that git lists
                telling.moved(
                    self.coord, "merge.requeued", [(key, replace(telling.again(one), into=name)) for key, one in mine]
                )
                return True
            for stuck in lineup.stuck:
                if stuck.request.into == into:
                    key, one = every[stuck.request.id]
                    telling.hold(self.coord, [(key, telling.again(one))], every, stuck.why)
            far = self._moving.remotes.tip(into)
            return self._step(Line(into, here, far, tip_of(self.coord, here, far), every, lineup))

    def tend(self) -> None:
        """End the gates of batches that left the queue: nothing else would ask for them again."""
        if self.gates.busy and not self._still(""):
            with self.coord.exclusive(GUARD):
                self.gates.collect()
                alive = {one.batch for _, one in waiting.found(self.coord).values() if one.state == "testing"}
                self.gates.keep(alive)

    def _still(self, into: str) -> bool:
        """Tell whether, while something runs, nothing happened since the last look at a branch, which was just now."""
        self.gates.collect()
        self._moving.remotes.collect()
        try:
            changed_at = os.stat(self.coord.home / keys.MERGES).st_mtime_ns
        except FileNotFoundError:
            changed_at = 0
        ended = self.gates.ended + self._moving.remotes.ended
        now, seen = self.coord.clock.monotonic(), (changed_at, ended)
        before = self._waited.get(into)
        if self.running and before is not None and before[0] == seen and now - before[1] < _LOOKS_AGAIN:
            return True
        self._waited[into] = (seen, now)
        return False

    def stop(self) -> None:
        """End what runs; the batches go on when a daemon runs again."""
        self.gates.stop()
        self._moving.remotes.stop()

    def _step(self, line: Line) -> bool:
        if not line.tip:
            return self._moving.parted(line)
        if landing := line.of("landing"):
            return self._moving.finish(line, landing)
        if batch := line.of("testing"):
            # By hand, or by a merge of two ledgers, there may be two: the older goes first.
            oldest = min(one.batch for _, one in batch)
            batch = [member for member in batch if member[1].batch == oldest]
        try:
            return self._judge(line, batch) if batch else self._form(line, line.of("queued"))
        except Unsigned as fault:
            held = [(key, telling.again(one)) for key, one in batch or line.of("queued")]
            return self._moving.hold(line, held, fault.message, f"Next: {fault.hint}.\n")

    # ---- a new batch ----

    def _form(self, line: Line, queued: list[Keyed]) -> bool:
        """Stack what is next in the queue, and have it tested."""
        gate = self.gates.gate
        if not queued:
            return False
        if not gate and self.coord.config.merge.ungated != "allow":
            return self._moving.hold(line, queued, _NO_GATE)
        if not self._moving.reachable(line, queued):
            return False
        for place in (places := checkout.standing_on(self.coord.git, line.into)):
            if reason := checkout.obstacle(place.path, line.here, line.here):
                return self._moving.hold(line, queued, there(place, reason))
        most = self._sizes.of(line.into, self.coord.config.merge.batch)
        if gate and (red := self._red(line.tip, gate)) is not None:
            return self._on_red(line, queued, red, places)
        return self._begin(line, queued, places, most)

    def _begin(self, line: Line, queued: list[Keyed], places: Sequence[Worktree], most: int) -> bool:
        gate, batch = self.gates.gate, self.coord.new_id()
        made = stacking.stack(self.coord, line.tip, queued, batch=batch, most=most, gate=gate)
        while blocked := self._blocked(places, line.here, made):
            key, one, reason = blocked
            self._moving.hold(line, [line.all[one.id]], reason)
            queued = [pair for pair in queued if pair[0] != key]
            made = stacking.stack(self.coord, line.tip, queued, batch=batch, most=most, gate=gate)
        changed = self._part(line, made)
        if not made.members:
            return changed
        if why := merge.protection(self.coord.git, made.guard, branches.ref(line.into), made.tip, line.here):
            return self._moving.hold(line, [line.all[one.id] for _, one in made.members], why) or changed
        if not gate:
            return self._moving.land(line, made.members, places)
        members = [(key, replace(one, state="testing")) for key, one in made.members]
        telling.moved(self.coord, "merge.testing", members)
        return True

    def _blocked(
        self, places: Sequence[Worktree], here: str, made: stacking.Stack
    ) -> tuple[str, MergeRequest, str] | None:
        """Return the first member with which a checkout cannot follow, and why."""
        for place in places:
            if made.members and checkout.obstacle(place.path, here, made.tip):
                for key, one in made.members:
                    if reason := checkout.obstacle(place.path, here, one.candidate):
                        return key, one, there(place, reason)
        return None

    def _part(self, line: Line, made: stacking.Stack) -> bool:
        """See to those that do not go with the others; True where any left the queue."""
        for left in made.left:
            match left.why:
                case "landed":
                    here = left.one.id in line.waited_for
                    telling.landed(self.coord, left.key, telling.again(left.one), left.what, waited_for=here)
                case "behind":
                    telling.passed_over(self.coord, left, line.all)
                case "review":
                    telling.reviewed(self.coord, left, line.all)
                case "conflict":
                    resolving.sent_back(self.coord, left, made.base)
                case state:
                    telling.refused(self.coord, (left.key, left.one), state, left.what, left.detail)
        return any(left.why not in ("behind", "review") for left in made.left)

    # ---- a batch that is tested ----

    def _judge(self, line: Line, batch: list[Keyed]) -> bool:
        """Do the next thing with a batch, by what is known of its heights."""
        gate = self.gates.gate
        if (why := self._unfit(line, batch, gate)) is not None:
            return self._stack_again(line, batch, why)
        commits = [batch[0][1].base, *(one.candidate for _, one in batch)]
        found = merge.trees(self.coord.git, commits)
        if len(found) < len(commits):
            return self._stack_again(line, batch, LOST)
        trees, verdicts = [found[commit] for commit in commits], self.gates.verdicts()
        known: list[Outcome] = [verdicts.of(tree, gate).outcome for tree in trees]
        mine = [one.tree for one in self.gates.at_work(line.into)]
        step = bisect.next_step(
            known,
            again=verdicts.known_before(trees[0], trees[-1], gate),
            room=self.gates.room + len(mine),
            running=[height for height, tree in enumerate(trees) if tree in mine],
        )
        name, most = batch[0][1].batch, self.coord.config.merge.batch
        match step:
            case Probe(heights):
                members = tuple(one.id for _, one in batch)
                wanted = [
                    Wanted(commits[height], trees[height], line.into, name, members[:height]) for height in heights
                ]
                return self.gates.want(line.into, wanted)
            case Land(height):
                self.gates.want(line.into, ())
                if not self._moving.reachable(line, batch[:height]):
                    return False
                if height == len(batch):
                    self._sizes.learn(line.into, name, good=True, most=most)
                fenced = (stacking.fenced(self.coord, one.base, key, one) for key, one in batch[:height])
                if stale := [left for left in fenced if left]:
                    self._part(line, stacking.Stack(line.tip, left=stale))
                    return True
                ready = [(key, replace(one, gate=passed(gate))) for key, one in batch[:height]]
                places = checkout.standing_on(self.coord.git, line.into)
                return self._moving.land(line, ready, places, whole=height == len(batch))
            case Eject():
                self.gates.want(line.into, ())
                self._sizes.learn(line.into, name, good=False, most=most)
                failure = verdicts.of(trees[1], gate).failures[-1]
                telling.refused(self.coord, batch[0], "failed", f"its test {failure.what}", _end_of(failure))
                return True
            case Pause():
                self.gates.want(line.into, ())
                back = [(key, telling.again(one)) for key, one in batch]
                red = self._red(commits[0], gate)
                assert red is not None
                return self._moving.hold(line, back, _red_words(line, red), _end_of(red), always=True)

    def _unfit(self, line: Line, batch: list[Keyed], gate: str) -> str | None:
        """Say why a batch must be stacked again, or None: its members lie one upon the other, and upon the base."""
        below = line.tip
        for _, one in batch:
            if one.base != below:
                return MOVED_ON
            if gate_name(one) != gate:
                return "the test is another one now"
            below = one.candidate
        return None

    def _stack_again(self, line: Line, batch: list[Keyed], why: str) -> bool:
        """Stack what is left of a batch; it stays the batch that it is, and newcomers wait."""
        gate, name = self.gates.gate, batch[0][1].batch or self.coord.new_id()
        if not gate:
            telling.queued_again(self.coord, batch, "there is no test any more")
            return True
        made = stacking.stack(self.coord, line.tip, batch, batch=name, most=len(batch), gate=gate)
        self._part(line, made)
        gone = {left.one.id for left in made.left} | {one.id for _, one in made.members}
        if orphans := [(key, one) for key, one in batch if one.id not in gone]:
            telling.queued_again(self.coord, orphans, "what it comes after waits for another turn")
        if made.members:
            telling.moved(self.coord, "merge.testing", made.members, why=why)
        return True

    def _red(self, commit: str, gate: str) -> Run | None:
        """Return the failure of a base that is known to fail by itself."""
        tree = merge.trees(self.coord.git, (commit,)).get(commit, "")
        seen = self.gates.verdicts().of(tree, gate)
        return seen.failures[-1] if seen.outcome == "failed" else None

    def _on_red(self, line: Line, queued: list[Keyed], red: Run, places: Sequence[Worktree]) -> bool:
        """Upon a base that fails only what is urgent is tried, one by one: it may be what mends it."""
        words = _red_words(line, red)
        for key, one in queued:
            if one.priority == "urgent" and one.result != telling.waits(words):
                return self._begin(line, [(key, one)], places, 1)
        return self._moving.hold(line, queued, words, _end_of(red))


def _red_words(line: Line, red: Run) -> str:
    known = f"{line.into} at {red.commit[:10]} fails its own test, which {red.what}"
    return f"{known}; an urgent request may mend it, the owner's `coord merge retest` tests it again"


def _end_of(failure: Run) -> str:
    """Quote the end of what a failed test printed."""
    return f"The end of its output ({failure.log}):\n\n{quoting.quoted(tail(Path(failure.log)))}\n"
