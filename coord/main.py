"""Composition root: joins the derived commands with the few that have a shape of their own."""

import importlib.util
import sys

# What costs more than 15 ms to import and is not needed by every command; measured, not guessed:
# git 65 ms, sqlite_utils 65, filelock 35, watchdog 25, rich.console 25, psutil 15.
_DEFERRED = ("git", "sqlite_utils", "filelock", "psutil", "rich")


def _defer(names: tuple[str, ...]) -> None:
    """Let these modules load at their first use instead of at their import."""
    for name in names:
        spec = importlib.util.find_spec(name) if name not in sys.modules else None
        if spec is None or spec.loader is None:
            continue
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


_defer(_DEFERRED)

from coord.faces import cli, own
from coord.service.commands import COMMANDS


def tree() -> cli.Tree:
    """Return the whole command line."""
    table: dict[str, cli.AnyCommand | cli.click.Command] = {command.name: command for command in COMMANDS}
    return cli.Tree("coord", table | own.commands(watch), help=own.WELCOME)


def watch(given: cli.Given, options: own.WatchOptions) -> int:
    """Run the daemon; imported here because it brings watchdog and threads with it."""
    from coord.daemon import run

    return run.watch(given.open(), detach=options.detach, seconds=options.seconds)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(cli.run(tree(), sys.argv[1:]))
