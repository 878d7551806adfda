"""The merge queue at work: batches are stacked in memory, tested, moved to by compare-and-swap, and told.

A request goes queued → testing → landing → gone; members of one batch go together, or are sent back one by one.
Each step is an event. Killed between any two, `advance` called again goes on from what the records, the refs and
the verdicts say.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from coord.git import checkout, merge
from coord.git.gate import tail
from coord.git.worktree import Worktree
from coord.model import bisect, keys, queue, quoting
from coord.model.bisect import Eject, Land, Outcome, Pause, Probe
from coord.model.errors import Conflict, NotFound, Refused, Unsigned
from coord.model.queue import Lineup
from coord.model.records import MergeRequest
from coord.model.verdicts import Run
from coord.service import branches
from coord.service.coord import Coord
from coord.service.merging import resolving, stacking, telling, waiting
from coord.service.merging.gates import Gates, Wanted
from coord.service.merging.sizes import Sizes
from coord.service.merging.stacking import PASSED, UNGATED, Keyed
from coord.service.merging.waiting import GUARD

_MOVED_ON = "the base moved on, or a member left; stacked again"
_LOOKS_AGAIN = 1.0  # seconds: for what nobody announces, as a branch that others move
_LOST = "git cleaned its merge commit away; merging again"
_NO_GATE = "no test is configured, and nothing lands untested: set `merge.test`, or `merge.ungated: allow`"


@dataclass(frozen=True, slots=True)
class _Line:
    """The queue of one branch, as one step sees it."""

    into: str
    tip: str
    all: dict[str, Keyed]
    lineup: Lineup

    def of(self, *states: str) -> list[Keyed]:
        """Return those in one of STATES, in order."""
        ready = (one for one in self.lineup.ready if one.into == self.into and one.state in states)
        return [self.all[one.id] for one in ready]

    @property
    def waited_for(self) -> set[str]:
        """The ids of requests that others come after."""
        return {other for _, one in self.all.values() for other in one.after}


class Landing:
    """Takes the queue of each branch forward; holds the gates that run at the moment."""

    def __init__(self, coord: Coord) -> None:
        self.coord = coord
        self.gates = Gates(coord)
        self._sizes = Sizes(coord.private / "batches.json")
        self._waited: dict[str, tuple[object, float]] = {}

    @property
    def running(self) -> bool:
        """Whether a gate runs, so that it is worth while to look again soon."""
        return self.gates.busy

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
                name, tip = branches.located(self.coord, into)
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
            return self._step(_Line(into, tip, every, lineup))

    def tend(self) -> None:
        """End the gates of batches that left the queue: nothing else would ask for them again."""
        if self.gates.busy and not self._still(""):
            with self.coord.exclusive(GUARD):
                self.gates.collect()
                alive = {one.batch for _, one in waiting.found(self.coord).values() if one.state == "testing"}
                self.gates.keep(alive)

    def _still(self, into: str) -> bool:
        """Tell whether, while a gate runs, nothing happened since the last look at a branch, which was just now."""
        self.gates.collect()
        try:
            changed_at = os.stat(self.coord.home / keys.MERGES).st_mtime_ns
        except FileNotFoundError:
            changed_at = 0
        now, seen = self.coord.clock.monotonic(), (changed_at, self.gates.ended)
        before = self._waited.get(into)
        if self.gates.busy and before is not None and before[0] == seen and now - before[1] < _LOOKS_AGAIN:
            return True
        self._waited[into] = (seen, now)
        return False

    def stop(self) -> None:
        """End the gates that run; their batches go on when a daemon runs again."""
        self.gates.stop()

    def _step(self, line: _Line) -> bool:
        if landing := line.of("landing"):
            return self._finish(line, landing)
        if batch := line.of("testing"):
            # By hand, or by a merge of two ledgers, there may be two: the older goes first.
            oldest = min(one.batch for _, one in batch)
            batch = [member for member in batch if member[1].batch == oldest]
        try:
            return self._judge(line, batch) if batch else self._form(line, line.of("queued"))
        except Unsigned as fault:
            held = [(key, telling.again(one)) for key, one in batch or line.of("queued")]
            return self._hold(line, held, fault.message, f"Next: {fault.hint}.\n")

    # ---- a new batch ----

    def _form(self, line: _Line, queued: list[Keyed]) -> bool:
        """Stack what is next in the queue, and have it tested."""
        gate = self.gates.gate
        if not queued:
            return False
        if not gate and self.coord.config.merge.ungated != "allow":
            return self._hold(line, queued, _NO_GATE)
        for place in (places := checkout.standing_on(self.coord.git, line.into)):
            if reason := checkout.obstacle(place.path, line.tip, line.tip):
                return self._hold(line, queued, self._there(place, reason))
        most = self._sizes.of(line.into, self.coord.config.merge.batch)
        if gate and (red := self._red(line.tip, gate)) is not None:
            return self._on_red(line, queued, red, places)
        return self._begin(line, queued, places, most)

    def _begin(self, line: _Line, queued: list[Keyed], places: Sequence[Worktree], most: int) -> bool:
        gate, batch = self.gates.gate, self.coord.new_id()
        made = stacking.stack(self.coord, line.tip, queued, batch=batch, most=most, gate=gate)
        while blocked := self._blocked(places, made):
            key, one, reason = blocked
            self._hold(line, [line.all[one.id]], reason)
            queued = [pair for pair in queued if pair[0] != key]
            made = stacking.stack(self.coord, line.tip, queued, batch=batch, most=most, gate=gate)
        changed = self._part(line, made)
        if not made.members:
            return changed
        if why := merge.protection(self.coord.git, branches.ref(line.into), made.tip, made.base):
            return self._hold(line, [line.all[one.id] for _, one in made.members], why) or changed
        if not gate:
            return self._land(line, made.members, places)
        members = [(key, replace(one, state="testing")) for key, one in made.members]
        telling.moved(self.coord, "merge.testing", members)
        return True

    def _blocked(self, places: Sequence[Worktree], made: stacking.Stack) -> tuple[str, MergeRequest, str] | None:
        """Return the first member with which a checkout cannot follow, and why."""
        for place in places:
            if made.members and checkout.obstacle(place.path, made.base, made.tip):
                for key, one in made.members:
                    if reason := checkout.obstacle(place.path, made.base, one.candidate):
                        return key, one, self._there(place, reason)
        return None

    def _there(self, place: Worktree, reason: str) -> str:
        return reason if place.path == self.coord.home else f"{place.path}: {reason}"

    def _part(self, line: _Line, made: stacking.Stack) -> bool:
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

    def _judge(self, line: _Line, batch: list[Keyed]) -> bool:
        """Do the next thing with a batch, by what is known of its heights."""
        gate = self.gates.gate
        if (why := self._unfit(line, batch, gate)) is not None:
            return self._stack_again(line, batch, why)
        commits = [batch[0][1].base, *(one.candidate for _, one in batch)]
        found = merge.trees(self.coord.git, commits)
        if len(found) < len(commits):
            return self._stack_again(line, batch, _LOST)
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
                if height == len(batch):
                    self._sizes.learn(line.into, name, good=True, most=most)
                fenced = (stacking.fenced(self.coord, one.base, key, one) for key, one in batch[:height])
                if stale := [left for left in fenced if left]:
                    self._part(line, stacking.Stack(line.tip, left=stale))
                    return True
                ready = [(key, replace(one, gate=f"{PASSED} {gate}")) for key, one in batch[:height]]
                places = checkout.standing_on(self.coord.git, line.into)
                return self._land(line, ready, places, whole=height == len(batch))
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
                return self._hold(line, back, _red_words(line, red), _end_of(red), always=True)

    def _unfit(self, line: _Line, batch: list[Keyed], gate: str) -> str | None:
        """Say why a batch must be stacked again, or None: its members lie one upon the other, and upon the base."""
        below = line.tip
        for _, one in batch:
            if one.base != below:
                return _MOVED_ON
            if stacking.gate_of(one) != gate:
                return "the test is another one now"
            below = one.candidate
        return None

    def _stack_again(self, line: _Line, batch: list[Keyed], why: str) -> bool:
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

    def _on_red(self, line: _Line, queued: list[Keyed], red: Run, places: Sequence[Worktree]) -> bool:
        """Upon a base that fails only what is urgent is tried, one by one: it may be what mends it."""
        words = _red_words(line, red)
        for key, one in queued:
            if one.priority == "urgent" and one.result != f"waits: {words}":
                return self._begin(line, [(key, one)], places, 1)
        return self._hold(line, queued, words, _end_of(red))

    # ---- landing ----

    def _land(self, line: _Line, members: list[Keyed], places: Sequence[Worktree], *, whole: bool = True) -> bool:
        """Move the base. From here on the records say `landing`, so that a crash is finished, not begun anew."""
        base, tip = members[0][1].base, members[-1][1].candidate
        for place in places:
            if reason := checkout.obstacle(place.path, base, tip):
                back = [(key, telling.again(one)) for key, one in members] if whole else members
                return self._hold(line, back, self._there(place, reason))
        members = [(key, replace(one, state="landing", result="")) for key, one in members]
        telling.moved(self.coord, "merge.landing", members)
        return self._finish(line, members, places)

    def _finish(self, line: _Line, members: list[Keyed], places: Sequence[Worktree] | None = None) -> bool:
        """Move the base and bring the checkouts along; what a killed predecessor did is not done twice.

        Who was found fit to land in this same step gives PLACES, and needs no second look.
        """
        git, ref = self.coord.git, branches.ref(line.into)
        base, candidate = members[0][1].base, members[-1][1].candidate
        move: Callable[[], None] | None = None
        if places is None and git.tip(candidate) is None:
            return self._not_yet(members, _LOST)
        if line.tip == base:
            if places is None and not self._may_land(members):
                return self._not_yet(members, "what it was found fit by is so no longer")
            move = partial(merge.move, git, ref, candidate, base)
        elif not merge.already_in(git, line.tip, candidate):
            return self._not_yet(members, _MOVED_ON)
        behind = []
        for place in checkout.standing_on(git, line.into) if places is None else places:
            try:
                checkout.bring(place.path, base, candidate, move=move)
                move = None
            except (Conflict, Refused) as fault:
                if move is not None and git.tip(ref) != candidate:  # nothing has happened yet
                    back = [(key, telling.again(one)) for key, one in members]
                    return self._hold(line, back, self._there(place, fault.message), always=True)
                move = None
                behind.append(f"{place.path} was left as it was: {fault.message}")
        if move is not None:
            try:
                move()
            except Conflict:
                return self._not_yet(members, _MOVED_ON)
            except Refused as fault:
                back = [(key, telling.again(one)) for key, one in members]
                return self._hold(line, back, fault.message, always=True)
        for key, one in members:
            telling.landed(self.coord, key, one, "; ".join(behind), waited_for=one.id in line.waited_for)
        return True

    def _may_land(self, members: list[Keyed]) -> bool:
        """Tell whether they lie one upon the other, none is overtaken, and the gate passed on what the base becomes."""
        below = members[0][1].base
        for key, one in members:
            if one.base != below or stacking.fenced(self.coord, below, key, one) is not None:
                return False
            below = one.candidate
        if members[0][1].gate == UNGATED:
            return self.coord.config.merge.ungated == "allow" and not self.gates.gate
        tree = merge.trees(self.coord.git, (below,)).get(below, "")
        return self.gates.verdicts().of(tree, self.gates.gate).outcome == "passed"

    def _not_yet(self, members: list[Keyed], why: str) -> bool:
        """Take a step back: a batch stays one, so that no newcomer joins it while somebody in it is looked for."""
        if members[0][1].gate == UNGATED:
            telling.queued_again(self.coord, members, why)
        else:
            back = [(key, replace(one, state="testing", result=why)) for key, one in members]
            telling.moved(self.coord, "merge.requeued", back, why=why)
        return True

    def _hold(self, line: _Line, held: Sequence[Keyed], reason: str, detail: str = "", *, always: bool = False) -> bool:
        """Let requests wait; False, since nothing moves by that, unless it is ALWAYS a step."""
        telling.hold(self.coord, held, line.all, reason, detail)
        return always


def _red_words(line: _Line, red: Run) -> str:
    return f"{line.into} at {red.commit[:10]} fails its own test, which {red.what}; an urgent request may mend it"


def _end_of(failure: Run) -> str:
    """Quote the end of what a failed test printed."""
    return f"The end of its output ({failure.log}):\n\n{quoting.quoted(tail(Path(failure.log)))}\n"
