"""Composition root: joins the derived commands with the few that have a shape of their own."""

import os
import sys
import traceback

import click

from coord import deferral

# What costs more than 15 ms to import and is not needed by every command; measured, not guessed:
# git 65 ms, sqlite_utils 65, filelock 35, rich.console 25, psutil 15.
_DEFERRED = ("git", "sqlite_utils", "filelock", "psutil", "rich", "rich.console", "rich.table", "rich.text")


deferral.defer(_DEFERRED)

from coord.faces import cli, own, page
from coord.service.commands import COMMANDS

_BELOW_WATCH = "watch "


def tree() -> cli.Tree:
    """Return the whole command line."""
    below = {one.name.removeprefix(_BELOW_WATCH): one for one in COMMANDS if one.name.startswith(_BELOW_WATCH)}
    derived: dict[str, cli.AnyCommand | click.Command] = {
        one.name: one for one in COMMANDS if not one.name.startswith(_BELOW_WATCH)
    }
    mine = own.commands(watch, below)
    return cli.Tree("coord", {"init": mine["init"], **derived, **mine}, help=own.WELCOME, version=True)


def watch(given: cli.Given, options: own.WatchOptions) -> None:
    """Run the daemon; imported here because it brings watchdog and its threads with it."""
    from coord.daemon import run

    coord = given.open()

    def say(line: str) -> None:
        page.write([page.Line(line)], sys.stdout)
        sys.stdout.flush()

    if options.detach:
        cli.show(run.detach(coord), given)
    elif options.once:
        run.once(coord, say=say)
    else:
        run.watch(coord, seconds=options.seconds, say=say)


def main() -> None:
    """Run the command line of this process."""
    if "_COORD_COMPLETE" in os.environ:
        tree().main(prog_name="coord")
    sys.exit(cli.run(tree(), sys.argv[1:], trace=traceback.print_exc if os.environ.get("COORD_DEBUG") else None))
