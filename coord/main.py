"""Composition root: joins the derived commands with the few that have a shape of their own."""

import gc
import os
import sys
from functools import partial

from coord import deferral

# Loaded at first use. Parties that cost more than 8 ms: git 65, sqlite_utils 65, filelock 35,
# rich.console 25, psutil 15, inspect 8; and what only mistakes and completion need. Then coord's own rooms
# that one command in ten needs: 150 ms in all.
_RICH = ("rich", "rich.cells", "rich.console", "rich.table", "rich.text")
_PARTIES = (
    *("inspect", "ipaddress", "sqlite3", "git", "sqlite_utils", "filelock", "psutil", "click.shell_completion"),
    *("difflib", *_RICH),
)
_NOUNS = (
    "agents",
    "bench",
    "checkpoints",
    "decisions",
    "doctor",
    "foresight",
    "guarding",
    "history",
    "locks",
    "mail",
    "merges",
    "sessions",
    "setup",
    "status",
    "verify",
    "watching",
    "worktrees",
)
# Where a noun has a room of its own.
_BELOW = {
    "bench": "measuring.bench",
    "doctor": "doctor.command",
    "guarding": "guard.guarding",
    "sessions": "session.sessions",
}

# And those that only who writes, who asks the ledger, or who meets the unusual, needs.
_ROOMS = (
    "coord.git.history",
    "coord.git.ledger",
    "coord.git.repo",
    "coord.git.tracked",
    "coord.index",
    "coord.model.mending",
    "coord.model.scope",
    "coord.model.secrets",
    "coord.model.yamlevents",
    "coord.service.byhand.adopt",
    "coord.service.brake",
    "coord.service.committer",
    "coord.service.delivery",
    "coord.service.guard.placing",
    "coord.service.heldback",
    "coord.service.keepup",
    "coord.service.mergegraph",
    "coord.service.restoring",
    "coord.service.screen",
    "coord.service.testruns",
    "coord.stores.journal",
)

# GitPython asks for git at its import and fails without it; coord says so itself, in its own words.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
deferral.defer(_PARTIES)
deferral.defer(_ROOMS)
deferral.defer(f"coord.service.{_BELOW.get(noun, noun)}" for noun in _NOUNS)
deferral.defer(f"coord.faces.pages.{noun}" for noun in _NOUNS)

from coord.faces import cli, options, own, page
from coord.faces.mcp import command as mcp_command
from coord.service import commands

_BELOW_WATCH = "watch "


def tree() -> cli.Tree:
    """Return the whole command line."""
    found = {name: partial(commands.find, name) for name in commands.LISTED}
    below = {name.removeprefix(_BELOW_WATCH): one for name, one in found.items() if name.startswith(_BELOW_WATCH)}
    derived = {name: one for name, one in found.items() if not name.startswith(_BELOW_WATCH)}
    owned = own.commands(watch, below) | {"mcp": partial(mcp_command.made, mcp), "hook": partial(own.hook, hook)}
    return cli.Tree("coord", derived, owned, help=own.WELCOME, version=True)


def watch(given: options.Given, asked: own.WatchOptions) -> None:
    """Run the daemon; imported here because it brings watchdog and its threads with it."""
    from coord.daemon import run
    from coord.faces import served
    from coord.faces.hooks import serving
    from coord.faces.mcp import hosting, tokens

    coord = given.open()

    def say(line: str) -> None:
        page.write([page.Line(line)], sys.stdout)
        sys.stdout.flush()

    if asked.detach:
        cli.show(run.detach(coord, *(("--http", asked.http) if asked.http else ())), given)
    elif asked.once:
        run.once(coord, say=say)
    else:
        host = hosting.Hosting(say)
        if asked.http:
            listener = hosting.listening(asked.http)
            tokens.Tokens(coord.private).prepare(coord.config.everybody)
            host.listen(listener, coord.home)
            say(f"http://{hosting.place(listener)}/mcp is open to the tokens in {coord.private / tokens.FOLDER}")
        commanded = served.visitors(coord.place.common)
        answers = {"hook": serving.visitors(), "command": commanded, "mcp": host.answer}
        run.watch(coord, seconds=asked.seconds, say=say, answers=answers)


def hook(client: str, beside: str | None) -> int:
    """Answer a hook in this process, or wait beside a session."""
    from coord.faces.hooks import serving
    from coord.thin import wait

    if beside:
        return wait.main([client, beside])
    return serving.here(client, parent=os.getppid())


def mcp(given: options.Given, channel: int | None) -> None:
    """Serve a coding assistant, or all that the daemon hands over; imported here because it brings the SDK with it."""
    from coord.faces.mcp import host

    if channel is not None:
        host.host(channel)
    host.here(given.start(), given.who)


def _trace() -> None:
    sys.excepthook(*sys.exc_info())


def main() -> None:
    """Run the command line of this process."""
    gc.freeze()  # what was imported stays: looking through it for garbage at the end takes a tenth of a short command
    if "_COORD_COMPLETE" in os.environ:
        tree().main(prog_name="coord")
    sys.exit(cli.run(tree(), sys.argv[1:], trace=_trace if os.environ.get("COORD_DEBUG") else None))
