"""Bring worktrees along after a landing."""

from coord.daemon.plan import Action, Follow, View
from coord.model.foresight import BASE


def follow(view: View) -> list[Action]:
    """Bring along each clean worktree that is behind, and finish what was begun.

    Not what conflicts with the base: of that its agent is told as of any conflict. Nor, until the base moves
    again, what was told that it cannot follow.
    """
    clashing = {one.first for one in view.conflicts if one.second == BASE and one.marks}
    wanted = view.config.worktrees.follow != "off" and view.steady
    return [
        Follow(one.agent) for one in view.behind if one.begun or (wanted and not one.told and one.agent not in clashing)
    ]
