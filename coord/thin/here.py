"""`coord hook --here` at once: a hook in a process of its own, without the command line and what only that needs."""

import gc
import os
import sys

from coord import deferral

# What only some hooks need is loaded when they do.
_LATER = (
    *("git", "sqlite_utils", "filelock", "psutil", "difflib", "inspect", "ipaddress", "socket"),
    *("rich", "rich.cells", "rich.console", "rich.table"),
    *("rich.text", "coord.git.history", "coord.git.ledger", "coord.git.repo", "coord.git.tracked"),
    *("coord.git.worktree", "coord.git.maintain", "coord.index", "coord.model.eventline", "coord.model.mending"),
    *("coord.model.routing", "coord.model.secrets", "coord.model.trailers", "coord.model.yamlevents"),
    *("coord.model.yamltext", "coord.service.byhand.adopt", "coord.service.brake", "coord.service.branches"),
    *("coord.service.session.brief", "coord.service.checkpoints", "coord.service.committer"),
    *("coord.service.decisions", "coord.service.delivery", "coord.service.guard.editing"),
    *("coord.service.session.handing", "coord.service.byhand.handwritten", "coord.service.letters"),
    *("coord.service.locks", "coord.service.session.parting", "coord.service.screen", "coord.service.standing"),
    *("coord.service.wake.calling", "coord.service.guard.trespass", "coord.service.wake.waiters"),
    *("coord.service.wake.waking", "coord.stores.journal", "coord.tmux"),
)

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
deferral.defer(_LATER)


def main() -> None:
    """Answer the hook that this process is."""
    client, parent, waits = sys.argv[1:]
    try:
        gc.disable()  # all that loads stays: looking through it for garbage finds none
        from coord.faces.hooks import serving  # once what it does without is deferred

        gc.freeze()
        gc.enable()
        sys.exit(serving.here(client, parent=int(parent), waits=waits))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
