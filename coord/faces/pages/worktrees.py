"""The agents' worktrees for people."""

from functools import singledispatch

from coord.faces.page import Block, Line, Table
from coord.faces.pages.words import now, unknown
from coord.model import quoting, times
from coord.service import keepup, restoring, worktrees

blocks = singledispatch(unknown)


@blocks.register
def _trees(result: worktrees.Trees) -> list[Block]:
    if not result.trees:
        return [Line("no worktrees; `coord worktree add` makes one for each agent")]
    rows = tuple(
        (tree.agent, tree.branch, f"+{tree.ahead} -{tree.behind}", _dirt(tree), tree.path, "; ".join(_words(tree)))
        for tree in result.trees
    )
    return [Table(("agent", "branch", f"to {result.base or 'no base'}", "uncommitted", "path", ""), rows)]


@blocks.register
def _tree(tree: worktrees.Tree) -> list[Block]:
    kept = f"; its work is kept on {tree.kept}" if tree.kept else ""
    branch = f"; the branch {tree.branch} stays" if tree.branch else ""
    return [Line(f"removed {tree.path}{branch}{kept}", "green")]


@blocks.register
def _updates(result: keepup.Updates) -> list[Block]:
    if not result.items:
        return [Line("no worktrees; `coord worktree add` makes one for each agent")]
    said = {"current": "has it", "brought": "brought", "waits": "left as it is", "stuck": "cannot follow"}
    rows = tuple((one.agent, said[one.state], one.head[:10], one.why) for one in result.items)
    return [Table(("agent", f"to {result.base}", "commit", ""), rows)]


@blocks.register
def _keepsakes(result: restoring.Keepsakes) -> list[Block]:
    if (tree := result.restored) is not None:
        notes = "".join(f"; {note}" for note in tree.notes)
        where = f"on {tree.branch}" if tree.branch else "on no branch"
        return [Line(f"{tree.agent}'s worktree is back at {tree.path}, {where}{notes}", "green")]
    if not result.items:
        return [Line("nothing is kept on refs/coord/trash/", "dim")]
    rows = tuple(
        (
            one.name,
            one.agent,
            one.commit[:10],
            "and uncommitted work" if one.uncommitted else "",
            quoting.one_line(one.what, 60),
            f"{times.ago(one.at, now())} ago" if one.at else "",
            times.format_time(one.until) if one.until else "removed by hand",
        )
        for one in result.items
    )
    return [Table(("kept", "of", "commit", "", "from", "since", "until"), rows)]


def _words(tree: worktrees.Tree) -> tuple[str, ...]:
    return (*((f"waits: {tree.waits}",) if tree.waits else ()), *tree.notes)


def _dirt(tree: worktrees.Tree) -> str:
    return "folder is gone" if tree.missing else f"{len(tree.dirty)} files" if tree.dirty else ""
