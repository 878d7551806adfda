"""The agents' worktrees: there, and linked to the live folders."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from coord.git import discovery, merge, trash, worktree
from coord.git.worktree import Worktree
from coord.model import ids
from coord.model.errors import CoordError, Unavailable
from coord.service import livefolders
from coord.service.coord import Coord
from coord.service.doctor.finding import Finding, counted, place
from coord.service.doctor.kept import Kept

_Pair = tuple[Path, Path]


def gone(coord: Coord) -> Iterator[Finding]:
    """Find agents' worktrees that git lists and whose folder is gone."""
    paths = {coord.worktree_of(name): name for name in coord.config.names}
    for tree in worktree.all_of(coord.git):
        if tree.prunable and not tree.locked and tree.path in paths and not tree.path.exists():
            yield Finding(
                code="worktree-gone",
                what=f"git lists {paths[tree.path]}'s worktree, and its folder is gone",
                where=place(coord, tree.path),
                why="its branch counts as checked out, and no new worktree can be made there",
                next="git's note of it is put aside, its last commit kept on a ref where no branch has it",
                mend=partial(_forget, coord, tree, paths[tree.path]),
            )


def cut_off(coord: Coord) -> Iterator[Finding]:
    """Find agents' folders whose `.git` leads nowhere, as after moving the repository; not another repository's."""
    for name in coord.config.names:
        path = coord.worktree_of(name)
        if (path / ".git").is_file() and not _leads_to_any(path) and _was_ours(coord, path):
            yield Finding(
                code="worktree-cut-off",
                what=f"{name}'s worktree does not lead to this repository",
                where=place(coord, path),
                why="git and coord do not work in it",
                next="`git worktree repair` is run on it",
                mend=partial(_repair, coord, path),
            )


def links(coord: Coord) -> Iterator[Finding]:
    """Find worktrees whose links to the live folders are broken or missing."""
    listed = {tree.path for tree in worktree.all_of(coord.git) if not tree.prunable}
    names = livefolders.linked(coord.config)
    for name in coord.config.names:
        path = coord.worktree_of(name)
        if path not in listed or not _belongs(coord, path):
            continue
        broken = [pair for pair in worktree.links(coord.home, path, names) if not _leads(pair)]
        if broken:
            yield Finding(
                code="worktree-links",
                what=f"{counted(broken, 'link')} of {name}'s worktree not leading to the live folders",
                where=place(coord, *(spot for spot, _ in broken)),
                why=f"mail that {name} reads or writes there as files is not the mail that others see",
                next="what is in their place is put aside, and they are made anew",
                mend=partial(_link, coord, path, names, broken),
            )


def _was_ours(coord: Coord, path: Path) -> bool:
    """Tell whether git notes a worktree here by the name in PATH's `.git`, and it is not another folder."""
    named = Path(os.fsdecode((path / ".git").read_bytes().strip().removeprefix(b"gitdir:").strip())).name
    note = coord.place.common / "worktrees" / named / "gitdir"
    if not named or not note.is_file():
        return False
    noted = Path(os.fsdecode(note.read_bytes().strip())).parent
    return not noted.exists() or noted.samefile(path)


def _leads_to_any(path: Path) -> bool:
    """Tell whether some repository, this or another, has PATH as its worktree."""
    try:
        discovery.find(path)
    except CoordError:
        return False
    return True


def _belongs(coord: Coord, path: Path) -> bool:
    try:
        return discovery.find(path).common == coord.place.common
    except CoordError:
        return False


def _leads(pair: _Pair) -> bool:
    spot, target = pair
    return spot.is_symlink() and target.is_dir() and os.path.realpath(spot) == os.path.realpath(target)


def _link(coord: Coord, path: Path, names: Sequence[str], broken: Sequence[_Pair], kept: Kept) -> None:
    for spot, _ in broken:
        kept.move(spot)
    if faults := worktree.link(coord.home, path, names):
        raise Unavailable("; ".join(faults), hint=f"see {path}")


def _repair(coord: Coord, path: Path, kept: Kept) -> None:
    kept.copy(path / ".git")
    coord.git.run("worktree", "repair", os.fspath(path))


def _forget(coord: Coord, tree: Worktree, name: str, kept: Kept) -> None:
    for note in sorted((coord.place.common / "worktrees").glob("*/gitdir")):
        if Path(os.fsdecode(note.read_bytes().strip())).parent != tree.path:
            continue
        if coord.git.tip(tree.head) and not coord.git.text("for-each-ref", "--count=1", "--contains", tree.head):
            ref = f"{trash.PREFIX}/{coord.new_id()}-{ids.slug(name)}"
            merge.move(coord.git, ref, tree.head, "", message="coord: keep a worktree's last commit")
        kept.move(note.parent)
