"""The last step: the base is moved by compare-and-swap, at the remote first where there is one, and checkouts follow.

Killed anywhere, the next process goes on from the records and the refs: what the remote has is then brought here,
and a push of which nobody knows what came of it is looked for there before anything else is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from coord.git import checkout, merge
from coord.git.worktree import Worktree
from coord.model import backoff, quoting
from coord.model.errors import AtWork, Conflict, Refused
from coord.model.gate import UNGATED, gate_name
from coord.model.untrusted import clean_line, several
from coord.service import branches
from coord.service.coord import Coord
from coord.service.merging import stacking, telling
from coord.service.merging.gates import Gates
from coord.service.merging.line import Line, there
from coord.service.merging.remotes import Remotes
from coord.service.merging.sizes import Sizes
from coord.service.merging.stacking import Keyed

_PAUSE, _LONGEST_PAUSE = 1.0, 300.0  # seconds
MOVED_ON = "the base moved on, or a member left; stacked again"
_FOLLOWS = "It goes on by itself when that is over; until then nothing should be committed there.\n"
LOST = "git cleaned its merge commit away; merging again"


@dataclass(slots=True)
class _Refusal:
    """What no look had foreseen: it was in the way only when a base was to move."""

    at: float
    reason: str
    times: int = 0
    told: set[str] = field(default_factory=set)

    def waits(self, now: float) -> bool:
        """Whether it is too soon to try again."""
        return now - self.at < backoff.pause(self.times, _PAUSE, _LONGEST_PAUSE)


class Moving:
    """Moves the base, and steps back where that cannot be."""

    def __init__(self, coord: Coord, gates: Gates, sizes: Sizes) -> None:
        self.coord = coord
        self.gates = gates
        self.remotes = Remotes(coord)
        self._sizes = sizes
        self._refused: dict[str, _Refusal] = {}  # by the base

    def reachable(self, line: Line, waiting: Sequence[Keyed]) -> bool:
        """Tell whether the remote was looked at a moment ago; else those WAITING wait, and know why it takes long."""
        if not self.remotes.name or self.remotes.look(line.into, line.here):
            return True
        if (trouble := self.remotes.trouble(line.into)) is not None:
            said = f"It says:\n\n{quoting.quoted(trouble.words)}\n\n" if trouble.words else ""
            soon = f"five minutes apart, and after a `git fetch {self.remotes.name}`"
            body = f"{said}Nothing is lost: it is tried again, at most {soon}.\n"
            self.hold(line, waiting, trouble.what, body)
        return False

    def parted(self, line: Line) -> bool:
        """Let everything wait: the base has commits that the remote lacks, and the other way round."""
        self.remotes.look(line.into, line.here)
        name = self.remotes.name
        reason = f"{line.into} here and at {name} have parted: each has commits that the other lacks"
        body = f"In a checkout of `{line.into}`: `git pull {name} {line.into}`, or set it to what it should be.\n"
        return self.hold(line, line.of("queued", "testing", "landing"), reason, body)

    def land(self, line: Line, members: list[Keyed], places: Sequence[Worktree], *, whole: bool = True) -> bool:
        """Move the base. From here on the records say `landing`, so that a crash is finished, not begun anew."""
        base, tip = members[0][1].base, members[-1][1].candidate
        back = [(key, telling.again(one)) for key, one in members] if whole else members
        for place in places:
            if reason := checkout.obstacle(place.path, line.here, tip):
                return self.hold(line, back, there(place, reason))
        if (lately := self._refused.get(line.into)) and lately.waits(self.coord.clock.monotonic()):
            return self.hold(line, back, lately.reason)
        was = line.here if line.here != base else ""
        members = [(key, replace(one, state="landing", result="", was=was)) for key, one in members]
        telling.moved(self.coord, "merge.landing", members)
        return self._go(line, members, places)

    def finish(self, line: Line, members: list[Keyed]) -> bool:
        """Go on with what is `landing`: what a killed predecessor did is not done twice; what it judged is, anew."""
        git, base, candidate = self.coord.git, members[0][1].base, members[-1][1].candidate
        places = checkout.standing_on(git, line.into)
        for place in places:  # a git of the predecessor that lives still may move the base at any moment
            if checkout.is_taken(place.path):
                return self._held_off(line, members, there(place, "it is being updated by another process"), _FOLLOWS)
        if git.peek(self.coord.place.common, branches.ref(line.into)) != line.here:
            return True  # it did so since we looked
        if git.tip(candidate) is None:
            return self._not_yet(members, LOST)
        pushed = bool(line.far) and merge.already_in(git, line.far, candidate)
        begun = line.here != (members[0][1].was or base)
        if begun and not merge.already_in(git, line.here, candidate):
            return self._not_yet(members, MOVED_ON)
        if begun or pushed:
            return self._here(line, members, places, begun=begun, pushed=pushed)
        if line.tip != base:
            return self._not_yet(members, MOVED_ON)
        if not self._may_land(members):
            return self._not_yet(members, "what it was found fit by is so no longer")
        return self._go(line, members, places)

    def _go(self, line: Line, members: list[Keyed], places: Sequence[Worktree]) -> bool:
        """Move the base: at the remote first, where there is one, and here once that has it."""
        if self.remotes.name:
            return self._push(line, members)
        return self._here(line, members, places, begun=False, pushed=False)

    def _here(self, line: Line, members: list[Keyed], places: Sequence[Worktree], *, begun: bool, pushed: bool) -> bool:
        """Move the base here, unless that was BEGUN, with its checkouts; what was PUSHED cannot be taken back."""
        git, ref = self.coord.git, branches.ref(line.into)
        was, candidate = members[0][1].was or members[0][1].base, members[-1][1].candidate
        back = members if pushed else [(key, telling.again(one)) for key, one in members]
        step = partial(merge.move, git, ref, candidate, was)
        move: Callable[[int], None] | None = None if begun else lambda fd: step(pass_fds=(fd,))
        notes = [f"It is at {self.remotes.name} as well."] if pushed else []
        for place in places:
            try:
                checkout.bring(place.path, was, candidate, move=move)
            except (Conflict, Refused) as fault:
                why, has_moved = there(place, fault.message), move is None or git.tip(ref) == candidate
                if isinstance(fault, AtWork) or (has_moved and isinstance(fault, Conflict)):
                    return self._held_off(
                        line, members, why, _FOLLOWS
                    )  # left behind, its next commit would undo the merge
                if not has_moved:
                    return self._held_off(line, back, why, always=not pushed)
                notes.append(f"{place.path} was left as it was: {fault.message}")
            move = None
        if move is not None:
            try:
                step()
            except Conflict:
                return pushed or self._not_yet(members, MOVED_ON)
            except Refused as fault:
                return self._held_off(line, back, fault.message, always=not pushed)
        self._refused.pop(line.into, None)
        for key, one in members:
            telling.landed(self.coord, key, one, "\n".join(notes), waited_for=one.id in line.waited_for)
        return True

    def hold(self, line: Line, held: Sequence[Keyed], reason: str, detail: str = "", *, always: bool = False) -> bool:
        """Let requests wait; False, since nothing moves by that, unless it is ALWAYS a step."""
        refusal = self._refused.get(line.into)
        telling.hold(self.coord, held, line.all, reason, detail, told=refusal is not None and reason in refusal.told)
        if refusal is not None:
            refusal.told.add(reason)
        return always

    def _held_off(
        self, line: Line, back: Sequence[Keyed], reason: str, detail: str = "", *, always: bool = False
    ) -> bool:
        """Let them wait, and not be tried again at once."""
        refusal = self._refused.setdefault(line.into, _Refusal(0.0, ""))
        refusal.at, refusal.reason, refusal.times = self.coord.clock.monotonic(), reason, refusal.times + 1
        return self.hold(line, back, reason, detail, always=always)

    def _push(self, line: Line, members: list[Keyed]) -> bool:
        """Have the remote take what is to land; it goes on here once the remote has it."""
        if not self.reachable(line, members):
            return False
        candidate, name = members[-1][1].candidate, self.remotes.name
        words = self.remotes.refusal(line.into, candidate)
        if words is None:
            self.remotes.push(line.into, candidate)
            return False
        first = _reason(words)
        if len(members) > 1:  # one of them may be why
            self._sizes.learn(line.into, members[0][1].batch, good=False, most=len(members))
            together = several(one.branch for _, one in members)
            telling.queued_again(self.coord, members, f"{name} refused {together} together, fewer are tried: {first}")
        else:
            detail = f"{name} says:\n\n{quoting.quoted(words)}\n"
            telling.refused(self.coord, members[0], "failed", f"{name} refused it: {first}", detail)
        return True

    def _may_land(self, members: list[Keyed]) -> bool:
        """Tell whether they lie one upon the other, none is overtaken, and the gate passed on what the base becomes."""
        below = members[0][1].base
        for key, one in members:
            if one.base != below or stacking.fenced(self.coord, below, key, one) is not None:
                return False
            below = one.candidate
        if gate_name(members[0][1]) == UNGATED:
            return self.coord.config.merge.ungated == "allow" and not self.gates.gate
        tree = merge.trees(self.coord.git, (below,)).get(below, "")
        return self.gates.verdicts().of(tree, self.gates.gate).outcome == "passed"

    def _not_yet(self, members: list[Keyed], why: str) -> bool:
        """Take a step back: a batch stays one, so that no newcomer joins it while somebody in it is looked for."""
        if gate_name(members[0][1]) == UNGATED:
            telling.queued_again(self.coord, members, why)
        else:
            back = [(key, replace(one, state="testing", result=why, was="")) for key, one in members]
            telling.moved(self.coord, "merge.requeued", back, why=why)
        return True


def _reason(words: str) -> str:
    """Return a line of why a remote refused: what it says itself, if anything, and how git puts it."""
    first, *rest = words.splitlines() or [""]
    said = (line.removeprefix("remote:").strip() for line in rest if line.startswith("remote:"))
    own = next((text for text in said if any(map(str.isalpha, text))), "")
    return clean_line(f"{own}: {first}" if own else first, 200)
