"""The ledger's branch: gone, set back, or gone another way than the history that was here."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from coord.git import branch, history, ledger, merge, trash
from coord.model.errors import Corrupt
from coord.model.regex import regex
from coord.service import setup
from coord.service.coord import Coord
from coord.service.doctor import joining, patient, pending
from coord.service.doctor.finding import Finding
from coord.service.doctor.kept import Kept
from coord.stores.base import LEDGER

_TIP = regex(rb'"tip": *"([0-9a-f]{40,64})"')
_BRANCH = ledger.REF.removeprefix("refs/heads/")


def blocked(coord: Coord) -> Iterator[Finding]:
    """Find a branch whose name stands in the way of the ledger's."""
    fault = coord.ledger.blocked()
    if fault is not None:
        yield Finding(
            code="ledger-blocked",
            what=fault.message,
            where=_BRANCH,
            why="nothing can be committed: what is sent waits in the journal",
            next=fault.hint,
        )


def missing(coord: Coord) -> Iterator[Finding]:
    """Find a repository without the ledger's branch, or with one that leads nowhere, or to something else."""
    if patient.readable_tip(coord) is not None or coord.ledger.blocked() is not None:
        return
    tip = coord.ledger.tip()
    last = _last_known(coord)
    back = (
        f"put back where it was, at {last[:10]}"
        if last
        else "taken from a remote that has it, or begun anew from the files"
    )
    if tip is not None and branch.is_whole(coord.git, tip):
        kind = coord.git.text("cat-file", "-t", tip)
        what = "a commit of something else: no event was ever recorded there" if kind == "commit" else f"a {kind}"
        yield Finding(
            code="ledger-foreign",
            what=f"the ledger's branch is at {tip[:10]}, which is {what}",
            where=_BRANCH,
            why="the history of everything was on it; now nothing is committed, and what is sent waits in the journal",
            next=f"what it is at stays on a ref below {trash.PREFIX}/, and it is {back}",
            mend=partial(_replace, coord, tip, last),
        )
        return
    yield Finding(
        code="ledger-missing",
        what="the ledger's branch is gone, or torn"
        if tip is None
        else f"the ledger's branch is at {tip[:10]}, which git does not have whole",
        where=_BRANCH,
        why="the history of everything is on it, and only it",
        next=f"it is {back}",
        mend=partial(_put_back, coord, last),
    )


def rewritten(coord: Coord) -> Iterator[Finding]:
    """Find events that were on the ledger and are not any more: it was rewound, or replaced by another history."""
    before = (*_noted(coord), *branch.tips_before(coord.git, coord.place.common, ledger.REF))
    tip = patient.readable_tip(coord)  # looked up last: whatever was there before is behind it
    if tip is None:
        return
    gone = branch.not_in(coord.git, before, tip)
    heads = tuple(head for head in gone.heads if branch.is_whole(coord.git, head))
    if not heads:
        return
    rewound = len(heads) == 1 and history.is_ancestor(coord.git, tip, heads[0])
    yield Finding(
        code="ledger-rewound" if rewound else "ledger-diverged",
        what=f"the branch was set back: {gone.commits} events that were on it are not any more"
        if rewound
        else f"the branch was replaced by a history without {gone.commits} events that were on it",
        where=f"{_BRANCH} at {tip[:10]}",
        why="what those events said is in no branch, and git deletes it in time",
        next="the branch goes forward to them"
        if rewound
        else "both histories are joined, and the files follow; if it was rewritten on purpose, leave it so and run: "
        f"git reflog expire --expire=now {_BRANCH}",
        mend=partial(_join, coord, heads),
    )


def _noted(coord: Coord) -> tuple[str, ...]:
    """Return the ledger's tip as the journal noted it last, where git still has that commit."""
    try:
        noted = pending.read(coord).tip
    except Corrupt:
        noted = _legible(coord.private / "journal" / pending.STATE)
    found = coord.git.tip(noted) if noted else None
    return (found,) if found else ()


def _legible(state: Path) -> str:
    """Return the tip that a damaged note of the journal's state still shows, or ""."""
    with suppress(OSError):
        found = _TIP.search(state.read_bytes())
        return found[1].decode() if found else ""
    return ""


def _last_known(coord: Coord) -> str:
    """Return the newest commit that the ledger is known to have been at and that is whole and a ledger's, or ""."""
    before = branch.tips_before(coord.git, coord.place.common, ledger.REF)
    return next((one for one in (*_noted(coord), *before) if patient.is_sound(coord, one)), "")


def _replace(coord: Coord, tip: str, last: str, _kept: Kept) -> None:
    with coord.store.exclusive(LEDGER):
        message = "coord: keep what was in the ledger's place"
        merge.move(coord.git, f"{trash.PREFIX}/{coord.new_id()}-ledger", tip, "", message=message)
        if last:
            merge.move(coord.git, ledger.REF, last, tip, message="coord: put back by doctor")
        else:
            coord.git.run("update-ref", "-d", ledger.REF, tip)
    if not last:
        setup.init(coord.home)
    coord.committer.settle()


def _put_back(coord: Coord, last: str, kept: Kept) -> None:
    with coord.store.exclusive(LEDGER):
        kept.move(coord.place.common / ledger.REF)
        # What `git pack-refs` packed may show again: then it is older, which the next look finds.
        if last and coord.ledger.tip() is None:
            merge.move(coord.git, ledger.REF, last, "", message="coord: put back by doctor")
    if coord.ledger.tip() is None:
        setup.init(coord.home)
    coord.committer.settle()


def _join(coord: Coord, heads: tuple[str, ...], _kept: Kept) -> None:
    coord.committer.settle()
    for head in heads:
        joining.join(coord, head)
