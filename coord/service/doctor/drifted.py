"""Live files that disagree with the ledger, each kind mended in its own way."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from coord.git import branch, history
from coord.model.records import Change
from coord.model.untrusted import several
from coord.service import leasebook, livefolders, verify
from coord.service.byhand import adopt, strays
from coord.service.byhand.strays import Stray
from coord.service.coord import Coord
from coord.service.doctor import guards, patient, pending
from coord.service.doctor.finding import Finding, Mend, counted
from coord.service.doctor.kept import Kept
from coord.service.looks import Drift, Looks
from coord.stores import claim
from coord.stores.base import LEDGER

_WORDS = {"only in files": "new", "only in ledger": "removed", "differs": "edited"}
# Two hands' removals look like a state of two events ago as well; a backup is older.
_LEAST_EVENTS = 2


def disagreeing(coord: Coord) -> Iterator[Finding]:
    """Find files that are not what the ledger says: by hands, from a backup, torn, or gone with their folder."""
    if patient.readable_tip(coord) is None:
        return
    looks = Looks(coord)
    found = verify.disagreements(coord, looks, lambda: pending.in_flight(coord))
    by_hand = [one for one in found if one.by_hand]
    older = _older(coord, looks) if len(by_hand) > 1 else 0
    if older >= _LEAST_EVENTS:
        yield _finding(
            "files-from-a-backup",
            by_hand,
            what=f"the files are exactly as they were {older} events ago",
            why="they came from a backup, or a checkout: to take it for hands' work would throw newer mail away",
            next="they are brought forward to what the ledger says",
            mend=partial(_bring, coord, by_hand),
        )
    elif by_hand:
        knows = patient.has_configuration(coord)
        kinds = {word: sum(one.what == what for one in by_hand) for what, word in _WORDS.items()}
        yield _finding(
            "edited-by-hand",
            by_hand,
            what="hands changed the files: " + ", ".join(f"{count} {word}" for word, count in kinds.items() if count),
            why="the ledger, and so every clone and the log, does not know of it yet",
            next="it is recorded in the ledger; no file is touched" if knows else "mend .coord.yaml first",
            mend=partial(_record, coord) if knows else None,
        )
    if emptied := [one for one in found if one.what == "folder emptied"]:
        yield _finding(
            "records-missing",
            emptied,
            what=f"{counted(emptied, 'record')} gone with the folder",
            why="mail, leases or checkpoints are not where everybody looks for them",
            next="they are brought back from the ledger",
            mend=partial(_restore, coord, emptied),
        )
    if secret := [one for one in found if one.what == "credential"]:
        yield _finding(
            "record-with-a-credential",
            secret,
            what=f"{counted(secret, 'record')} that hands changed and that now carries what looks like a credential",
            why="the ledger keeps what it gets for ever, so it does not get this, and clones do not have it",
            next="take it out of the file and revoke it; or, if it is none, let it pass: "
            "coord ledger verify --commit --allow-secret --as owner",
            mend=None,
        )
    if broken := [one for one in found if one.what in ("unreadable", "too large")]:
        yield _finding(
            "record-damaged",
            broken,
            what=f"{counted(broken, 'record')} that cannot be read, or far too large",
            why="nobody gets what they say, and a lease that cannot be read stops all others",
            next="they are put aside, and what the ledger has in their place is brought back",
            mend=partial(_replace, coord, broken),
        )


def claimed(coord: Coord) -> Iterator[Finding]:
    """Find mail written by hand that somebody began to take in and did not finish."""
    found = [key for key in coord.store.list("inbox") if claim.is_claimed(key)]
    if found and not guards.is_held(coord, adopt.GUARD):
        yield Finding(
            code="half-adopted",
            what=f"{counted(found, 'message')} written by hand, begun to be taken in and not delivered",
            where=several(found),
            why="their readers do not see them before somebody looks into that mailbox",
            next="a copy is put aside, and they are delivered",
            mend=partial(_adopt, coord, found),
        )


def strayed(coord: Coord) -> Iterator[Finding]:
    """Find what hands wrote below `inbox/` and nobody takes for mail."""
    if not patient.has_configuration(coord):
        return
    alike: dict[Stray, list[str]] = {}
    for one in strays.of(coord):
        alike.setdefault(replace(one, key=""), []).append(one.key)
    for kind, found in alike.items():
        yield Finding(
            code="mail-says-nothing" if kind.blank else "mail-for-nobody",
            what=kind.what,
            where=several(found),
            why="whoever wrote it may think that it was sent",
            next=kind.next,
            warning=kind.blank,
        )


def _finding(code: str, found: Sequence[Drift], *, what: str, why: str, next: str, mend: Mend | None) -> Finding:
    where = several(f"{one.key} ({one.what})" for one in found)
    return Finding(code=code, what=what, where=where, why=why, next=next, mend=mend)


def _older(coord: Coord, looks: Looks) -> int:
    """Return how many events ago the files were, all of them, as they are now; 0 where they never were."""
    tip = coord.ledger.tip()
    tree = branch.tree_of(coord.git, coord.place.common, looks.files())
    return branch.age_of_tree(coord.git, tip, tree) if tip and tree else 0


def _bring(coord: Coord, found: Sequence[Drift], _kept: Kept) -> None:
    with coord.exclusive(leasebook.GUARD), coord.store.exclusive(LEDGER):
        now = Looks(coord).compare()
        behind = [one for one in found if now.get(one.key) == one]
        wanted = [one for one in behind if one.ledger]
        contents = zip(wanted, history.blobs(coord.git, [one.ledger for one in wanted]), strict=True)
        coord.store.apply([Change(one.key, data) for one, data in contents])
        coord.store.apply([Change(one.key, None) for one in behind if not one.ledger])


def _record(coord: Coord, _kept: Kept) -> None:
    verify.reconcile(coord, verify.drift(coord))


def _restore(coord: Coord, found: Sequence[Drift], _kept: Kept) -> None:
    coord.committer.settle()
    gone = {one.key for one in found}
    livefolders.restore(coord, lambda key: key in gone)


def _replace(coord: Coord, found: Sequence[Drift], kept: Kept) -> None:
    for one in found:
        kept.move(coord.home / one.key)
        if one.ledger:
            (data,) = history.blobs(coord.git, [one.ledger])
            coord.store.apply([Change(one.key, data)])


def _adopt(coord: Coord, found: Sequence[str], kept: Kept) -> None:
    for key in found:
        kept.copy(coord.home / key)
        adopt.adopt(coord, key)
