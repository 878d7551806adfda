"""Join a history that the ledger lost to the one it has, and bring the files along."""

import os
from collections.abc import Mapping

from coord.git import branch, history, ledger, merge
from coord.model import keys
from coord.model.records import Change
from coord.service import delivery, leasebook, livefolders
from coord.service.coord import Coord
from coord.service.looks import Looks
from coord.stores.base import LEDGER

_AUTHOR = ("coord", "coord@coord.local")
_LIVE = tuple(f"{folder}/" for folder in keys.FOLDERS)
_WORDS = "coord: join two histories of the ledger\n"


def join(coord: Coord, lost: str) -> None:
    """Make the ledger hold all that LOST holds, and the files what then is the newest of both.

    Of a record that only one side changed since they parted, that side's is taken; of one that both
    did, what the file is; where it is neither, the ledger's. A file that is in no history stays.
    Where they never were one, what is no record came with somebody else's commits: it stays in
    that history, and leaves the tree.
    """
    with coord.exclusive(leasebook.GUARD), coord.store.exclusive(LEDGER):
        tip = coord.ledger.tip() or ""
        if history.is_ancestor(coord.git, lost, tip):
            return
        parting = branch.parted(coord.git, tip, lost)
        ours, theirs, before = (_tree(coord, commit) for commit in (tip, lost, parting))
        files = Looks(coord).files()
        merged: dict[str, str] = {}
        for key in ours.keys() | theirs.keys():
            a, b, o, f = (side.get(key, "") for side in (ours, theirs, before, files))
            strange = not parting and not key.startswith(_LIVE)
            merged[key] = "" if strange else a if b in (a, o) else b if a == o or f == b else a
        if history.is_ancestor(coord.git, tip, lost):
            joined = lost
        else:
            other = {key: blob for key, blob in merged.items() if ours.get(key, "") != blob}
            tree = branch.tree_with(coord.git, tip, other)
            joined = merge.commit(coord.git, tree, (tip, lost), _WORDS, author=_AUTHOR, at=coord.now())
        merge.move(coord.git, ledger.REF, joined, tip, message="coord: joined by doctor")
        _publish(coord, merged, files, (ours, theirs, before))
    coord.record(coord.event("ledger.joined", f"events up to {lost[:10]} are back", agent=delivery.COORD))
    coord.committer.settle()


def _tree(coord: Coord, commit: str) -> Mapping[str, str]:
    return history.tree(coord.git, commit) if commit else {}


def _publish(
    coord: Coord, merged: Mapping[str, str], files: Mapping[str, str], known: tuple[Mapping[str, str], ...]
) -> None:
    """Make files what MERGED says, where what they are now is in one of the KNOWN trees, so that it is not lost."""
    behind = {
        key: blob
        for key, blob in merged.items()
        if livefolders.may_live(key)
        and files.get(key, "") != blob
        and any(files.get(key, "") == tree.get(key, "") for tree in known)
        and (key in files or not os.path.lexists(coord.home / key))
    }
    wanted = [key for key, blob in behind.items() if blob]
    contents = zip(wanted, history.blobs(coord.git, [behind[key] for key in wanted]), strict=True)
    coord.store.apply([Change(key, data) for key, data in contents])
    coord.store.apply([Change(key, None) for key, blob in behind.items() if not blob])
