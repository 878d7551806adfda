"""Make the live files and the index anew from the ledger."""

from coord.git import history
from coord.model.errors import NotFound
from coord.model.records import Change
from coord.service import leasebook, livefolders
from coord.service.coord import Coord
from coord.service.doctor import derived
from coord.service.doctor.kept import Kept
from coord.stores.base import LEDGER

_BATCH = 200


def rebuild(coord: Coord) -> tuple[int, tuple[str, ...]]:
    """Make every record's file what the ledger says, and the index anew; return how many records there are, and
    what was put aside.

    What waits in the journal is committed first. A file in a record's place that differs is put
    aside; files that the ledger does not have stay.

    Raises:
        NotFound: there is no ledger.
    """
    coord.committer.settle()
    tip = coord.ledger.tip()
    if tip is None:
        raise NotFound("there is no ledger to rebuild from", hint="bring it back first: coord doctor --fix")
    kept = Kept(coord)
    for folder in (*livefolders.shared(coord.config), *livefolders.read(coord.config)):
        livefolders.make(coord.home / folder)
    with coord.exclusive(leasebook.GUARD), coord.store.exclusive(LEDGER):
        busy = livefolders.touched(coord.journal.read(livefolders.EVERYTHING))
        tree = {key: blob for key, blob in history.tree(coord.git, tip).items() if livefolders.may_live(key)}
        waiting: list[Change] = []
        for key, data in zip(tree, history.blobs(coord.git, tree.values()), strict=True):
            stored = coord.store.get(key)
            if key in busy or (stored is not None and stored.data == data):
                continue
            kept.move(coord.home / key)
            waiting.append(Change(key, data))
            if len(waiting) == _BATCH:
                coord.store.apply(waiting)
                waiting = []
        coord.store.apply(waiting)
    livefolders.fill(coord)
    derived.anew(coord, kept)
    return len(tree), tuple(kept.names)
