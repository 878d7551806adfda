"""Prove that files, ledger and index agree; record in the ledger what hands changed in the files.

Whatever is read here may change meanwhile: events are noted, published as files and committed
one after the other. So a disagreement counts only when two looks found the same one and the
journal, read in between, had nothing to say about its key.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

from coord.git import history
from coord.model import keys
from coord.model.errors import Corrupt
from coord.model.values import frozen
from coord.service import livefolders
from coord.service.byhand import hands, strays
from coord.service.byhand.strays import Stray
from coord.service.command import command
from coord.service.coord import Coord
from coord.service.looks import Drift, Looks
from coord.stores import oslock
from coord.stores.base import LEDGER

GUARD = "reconcile"
_DEEP_LIMIT = 3600.0
_NAMED = 5


@frozen
class Verified:
    """What was proven: so many records, alike in files, ledger and index at this commit; `strays` are no records."""

    ok: bool
    records: int
    commit: str
    committed: int = 0
    deep: bool = False
    strays: tuple[Stray, ...] = ()


@command("ledger verify", writes=True, example="coord ledger verify --deep")
def verify(
    coord: Coord,
    *,
    commit: Annotated[bool, "first record in the ledger what hands changed in the files"] = False,
    deep: Annotated[bool, "also prove that git has every object of the ledger's history"] = False,
) -> Verified:
    """Prove that files, ledger and index agree, byte for byte.

    What is on its way at this moment is no disagreement. With --commit, a message moved to
    `read/` by hand becomes an acknowledgement by its reader, one deleted a removal, a new
    record is restored under its own author; no file is touched. Files in `inbox/` that
    nobody will ever take for mail are named.

    Raises:
        Corrupt: they do not agree; names each key and how it differs. Or the ledger's branch is at no ledger.
    """
    _has_ledger(coord)
    looks = Looks(coord)
    found = drift(coord, looks)
    committed = reconcile(coord, found) if commit and found else 0
    if committed:
        found = drift(coord, looks)
    tree = looks.tree()
    found = (*found, *_index_drift(coord, looks))
    if found:
        raise _disagree(found)
    tip = coord.ledger.tip() or ""
    if deep and tip:
        _connected(coord, tip)
    return Verified(True, len(tree), tip, committed, deep, strays.of(coord))


def _has_ledger(coord: Coord) -> None:
    tip = coord.ledger.tip()
    if tip is not None and not coord.ledger.is_ledger(tip):
        raise Corrupt(f"{tip[:10]}, where the ledger is said to be, is no ledger", hint="coord doctor --fix")


def drift(coord: Coord, looks: Looks | None = None) -> tuple[Drift, ...]:
    """Return where files and ledger disagree, events in flight left out; commits what waits first."""
    coord.committer.settle()
    return disagreements(coord, looks or Looks(coord), lambda: _busy(coord))


def disagreements(coord: Coord, looks: Looks, in_flight: Callable[[], set[str]]) -> tuple[Drift, ...]:
    """Look twice and return what both looks found, but for the keys IN_FLIGHT in between; changes nothing."""
    first = looks.compare()
    if not first:
        return ()
    tip = looks.tip
    busy = in_flight()
    again = looks.compare()
    # A record may have come to the ledger and left it again since the first look.
    busy |= _committed(coord, tip, looks.tip)
    return tuple(_judged(coord, one) for key, one in first.items() if again.get(key) == one and key not in busy)


def reconcile(coord: Coord, found: Sequence[Drift]) -> int:
    """Make what hands changed in the files events, and return how many; touches no file.

    What is unreadable, too large or carries a credential stays where it is and out of the ledger.
    """
    with coord.exclusive(GUARD):
        now = set(drift(coord))
        events = tuple(hands.Hands(coord, [one for one in found if one in now]).events())
        for event in events:
            # Noted as done: the files are as they are, and `record` would write them again.
            with coord.committer.recording(event.id):
                coord.journal.append(event, oslock.me())
                coord.journal.done(event.id)
    coord.committer.settle()
    return len(events)


def _busy(coord: Coord) -> set[str]:
    """Return the keys of every event that is not yet both published and committed."""
    with coord.store.exclusive(LEDGER):
        return livefolders.touched(coord.journal.read(livefolders.EVERYTHING))


def _committed(coord: Coord, since: str | None, until: str | None) -> set[str]:
    """Return the keys that the ledger's commits between two tips speak of."""
    if since is None or until is None or since == until:
        return set()
    entries = history.entries(coord.git, since=since, until=until)
    return {key for entry in entries for _, key, _ in entry.changes}


def _judged(coord: Coord, one: Drift) -> Drift:
    """Say of a file that the ledger does not have whether it is a record at all, and whether it may enter."""
    stored = coord.store.get(one.key) if one.file else None
    if stored is None:
        return one
    if not one.key.startswith(f"{keys.DEAD}/") and hands.readable(one.key, stored.data) is None:
        return Drift(one.key, "unreadable", one.file, one.ledger)
    # What waits would be committed to see whether the credential was let pass: so ask when nothing does.
    if not coord.journal.size() and coord.screen.fault(one.key, stored.data, coord.config.secrets.allow) is not None:
        return Drift(one.key, "credential", one.file, one.ledger)
    return one


def _index_drift(coord: Coord, looks: Looks) -> Iterator[Drift]:
    index = coord.indexed()
    rows = {key: blob for folder in keys.FOLDERS for key, blob in index.live(folder).items() if keys.is_record(key)}
    tree = looks.tree()
    for key in sorted(rows.keys() | tree.keys()):
        if rows.get(key) != tree.get(key):
            yield Drift(key, "wrong in index", "", tree.get(key, ""), rows.get(key, ""))


def _disagree(found: Sequence[Drift]) -> Corrupt:
    named = "; ".join(f"{one.key}: {one.what}" for one in found[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    kinds = {one.what for one in found}
    first = next((one.key for one in found if not one.by_hand), "")
    if "folder emptied" in kinds:
        hint = "bring back what was lost: coord init"
    elif any(one.by_hand for one in found):
        hint = "record what was done by hand: coord ledger verify --commit"
    elif "credential" in kinds:
        hint = "take it out of the file and revoke it; or, as owner: coord ledger verify --commit --allow-secret"
    elif "wrong in index" in kinds:
        hint = "delete .git/coord/index.db: it is made again from the ledger"
    else:
        hint = f"mend or remove {first}; the ledger has what it was, if anything: git log -p coord/ledger -- '{first}'"
    return Corrupt(
        f"{len(found)} records disagree: {named}{more}",
        hint=hint,
        findings=[f"{one.key}: {one.what}" for one in found],
    )


def _connected(coord: Coord, tip: str) -> None:
    done = coord.git.run("rev-list", "--objects", "--quiet", "--end-of-options", tip, check=False, timeout=_DEEP_LIMIT)
    if done.status != 0:
        raise Corrupt(
            f"the ledger's history is not whole: {done.err}",
            hint="fetch it from a clone that has it: git fetch <remote> coord/ledger",
        )
