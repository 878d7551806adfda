"""The agents' worktrees for people."""

from functools import singledispatch

from coord.faces.page import Block, Line, Table
from coord.faces.pages.words import unknown
from coord.service import worktrees

blocks = singledispatch(unknown)


@blocks.register
def _trees(result: worktrees.Trees) -> list[Block]:
    if not result.trees:
        return [Line("no worktrees; `coord worktree add` makes one for each agent")]
    rows = tuple(
        (tree.agent, tree.branch, f"+{tree.ahead} -{tree.behind}", _dirt(tree), tree.path, "; ".join(tree.notes))
        for tree in result.trees
    )
    return [Table(("agent", "branch", f"to {result.base or 'no base'}", "uncommitted", "path", ""), rows)]


@blocks.register
def _tree(tree: worktrees.Tree) -> list[Block]:
    kept = f"; its work is kept on {tree.kept}" if tree.kept else ""
    branch = f"; the branch {tree.branch} stays" if tree.branch else ""
    return [Line(f"removed {tree.path}{branch}{kept}", "green")]


def _dirt(tree: worktrees.Tree) -> str:
    return "folder is gone" if tree.missing else f"{len(tree.dirty)} files" if tree.dirty else ""
