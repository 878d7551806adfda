"""What becomes of requests, each step as one event, with word to those whom it concerns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from coord.model import quoting
from coord.model.gate import PASSED, UNGATED, has_passed
from coord.model.records import Change, MergeRequest
from coord.model.untrusted import clean_line
from coord.service import delivery
from coord.service.coord import Coord
from coord.service.merging import waiting
from coord.service.merging.stacking import Keyed, Left


def moved(coord: Coord, kind: str, members: Sequence[Keyed], extra: Sequence[Change] = (), **facts: str) -> None:
    """Note that requests, of one branch, are one step further, as they are given here."""
    first = members[0][1]
    agents = {one.agent for _, one in members}
    names = " + ".join(one.branch for _, one in members)
    title = f": {first.title}" if len(members) == 1 else ""
    coord.record(
        coord.event(
            kind,
            f"{names} -> {first.into}{title} ({first.state})",
            (*waiting.written(members), *extra),
            agent=first.agent if len(agents) == 1 else "coord",
            cause=tuple(one.id for _, one in members),
            batch=first.batch,
            **facts,
        )
    )


def queued_again(coord: Coord, members: Sequence[Keyed], why: str) -> None:
    """Let requests wait for another turn."""
    moved(coord, "merge.requeued", [(key, replace(again(one), result=why)) for key, one in members], why=why)


def again(one: MergeRequest) -> MergeRequest:
    """Return a request as it waits, in no batch."""
    return replace(one, state="queued", batch="", position=0, base="", candidate="", was="", gate="")


def waits(reason: str) -> str:
    """Return what a request says that waits for something outside the queue."""
    return f"waits: {clean_line(reason, 300)}"


def hold(
    coord: Coord,
    held: Sequence[Keyed],
    known: Mapping[str, Keyed],
    reason: str,
    body: str = "",
    *,
    told: bool = False,
) -> None:
    """Let requests wait for something outside the queue; the owner is told once for each reason.

    KNOWN is how everything waits at present: where one of them waits for the same, the owner knows, or was TOLD.
    """
    word = waits(reason)
    changed = _news(((key, replace(one, result=word)) for key, one in held), known)
    if not changed:
        return
    first = changed[0][1]
    extra: tuple[Change, ...] = ()
    if not told and all(one.result != word for _, one in known.values()):
        names = ", ".join(f"`{one.branch}`" for _, one in changed)
        text = body or "Nothing was touched. It goes on by itself when that is over: commit or stash what changed.\n"
        letter = delivery.notice(
            coord,
            "owner",
            f"merge waits: {first.branch}{' and others' if len(changed) > 1 else ''}",
            f"Waiting to be merged into `{first.into}`: {names}.\n\n{reason}\n\n{text}",
            kind="merge",
            cause=tuple(one.id for _, one in changed),
        )
        extra = delivery.copies(letter, ("owner",))
    moved(coord, "merge.held", changed, extra, why=reason)


def passed_over(coord: Coord, left: Left, known: Mapping[str, Keyed]) -> None:
    """Let a request wait that conflicts with one that is ahead of it; said once."""
    word = f"next time: {clean_line(left.what, 300)}"
    if changed := _news([(left.key, replace(again(left.one), result=word))], known):
        moved(coord, "merge.held", changed, why=left.what)


def reviewed(coord: Coord, left: Left, known: Mapping[str, Keyed]) -> None:
    """Let a request wait until those have looked at it whose leases overtook it; they and its author are told once."""
    one, who = left.one, ", ".join(left.holders)
    word = waits(f"for a review by {who}: {left.what}")
    changed = _news([(left.key, replace(again(one), result=word))], known)
    if not changed:
        return
    body = (
        f"`{one.branch}` ({one.head[:10]}, by {one.agent}) is to be merged into `{one.into}`: {left.what}.\n\n"
        f"{who}: look at it (`git log -p {one.into}..{one.head[:10]}`), then `coord merge approve {one.id}`, or tell "
        f"{one.agent} what is to change.\n\n{one.agent}: or put it right: {left.detail}.\n"
    )
    told = tuple(dict.fromkeys((*left.holders, one.agent)))
    letter = delivery.notice(
        coord, left.holders[0], f"review wanted: {one.branch}", body, kind="merge", priority="high", cause=(one.id,)
    )
    known_boxes = tuple(name for name in told if name in coord.config.everybody)
    moved(coord, "merge.held", changed, delivery.copies(letter, known_boxes), why=left.what)


def _news(pairs: Iterable[Keyed], known: Mapping[str, Keyed]) -> list[Keyed]:
    return [(key, one) for key, one in pairs if one.id not in known or known[one.id][1] != one]


def refused(coord: Coord, pair: Keyed, state: str, why: str, detail: str) -> None:
    """Send a request back to its author."""
    key, one = pair
    body = (
        f"`{one.branch}` ({one.head[:10]}) was not merged into `{one.into}`: {why}.\n\n{detail}\n"
        f"Next: in your worktree `git merge {one.into}`, mend it, commit, then `coord merge request` again.\n"
    )
    told = tuple(dict.fromkeys((one.agent, "owner")))
    word = delivery.notice(
        coord, one.agent, f"not merged: {one.branch}: {why}", body, kind="merge", priority="high", cause=(one.id,)
    )
    changes = (Change(key, None), *delivery.copies(word, told))
    subject = f"{one.branch} -> {one.into}: {why}"
    coord.record(coord.event(f"merge.{state}", subject, changes, agent=one.agent, cause=(one.id,), why=why))


def landed(coord: Coord, key: str, one: MergeRequest, note: str, *, waited_for: bool) -> None:
    """Close a request whose changes are in the base; what comes after it, if it is WAITED_FOR, waits no longer."""
    gated = PASSED if has_passed(one) else UNGATED
    what = f"{one.candidate[:10] or 'nothing new'} ({gated})"
    body = f"`{one.branch}` is in `{one.into}`: {what}\n\n{quoting.one_line(one.title)}\n\n{note}\n"
    told = tuple(dict.fromkeys((one.agent, "owner")))
    word = delivery.notice(
        coord, one.agent, f"merged: {one.branch} into {one.into} ({gated})", body, kind="merge", cause=(one.id,)
    )
    changes = (
        Change(key, None),
        *(waiting.followers(waiting.found(coord), one.id) if waited_for else ()),
        *delivery.copies(word, told),
    )
    coord.record(
        coord.event(
            "merge.landed",
            f"{one.branch} -> {one.into}: {one.title} ({gated})",
            changes,
            agent=one.agent,
            cause=(one.id,),
            commit=one.candidate,
            gate=gated,
            batch=one.batch,
        )
    )
