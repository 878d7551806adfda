"""The few commands with a shape of their own: init, watch, hook, completion."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import click
import click.shell_completion

from coord.faces import cli, options
from coord.model.errors import Usage
from coord.model.values import frozen
from coord.service import setup

WELCOME = """Let many coding agents work in one repository without getting in each other's way.

Messages, locks and checkpoints are files in the repository; git is the ledger; `coord
watch` makes things happen by themselves. Start with `coord init`.
"""


@frozen
class WatchOptions:
    """What `coord watch` was asked for."""

    detach: bool = False
    once: bool = False
    seconds: float | None = None
    http: str = ""


RunWatch = Callable[[options.Given, WatchOptions], None]
RunHook = Callable[[str, str | None], int]


def commands(run_watch: RunWatch, below_watch: Mapping[str, Callable[[], cli.AnyCommand]]) -> dict[str, cli.Maker]:
    """Return by name what makes these commands."""
    return {"init": _init, "watch": partial(_watch, run_watch, below_watch), "completion": _completion}


def _init() -> click.Command:
    def run(agents: tuple[str, ...], from_file: str | None) -> None:
        given = click.get_current_context().ensure_object(options.Given)
        names = tuple(name.strip() for text in agents for name in text.split(",") if name.strip())
        source = Path(from_file).absolute() if from_file else None
        cli.show(setup.init(given.start(), agents=names, from_file=source), given)

    return cli.Leaf(
        "init",
        callback=run,
        params=[
            click.Option(["--agents"], multiple=True, metavar="A,B,C", help="The agents' names."),
            click.Option(["--from", "from_file"], metavar="FILE", help="Import a claude-flow.yaml."),
        ],
        help=(
            "Set coord up in a git repository.\n\nWrites .coord.yaml if there is none, makes inbox/, locks/ and "
            "checkpoints/, hides them from the code branches through .git/info/exclude, and starts the ledger branch "
            "coord/ledger. Safe to run again; on a clone it brings the ledger's state back into files. Nothing else in "
            "the repository changes."
        ),
        short_help="Set coord up in a git repository.",
        example="coord init --agents backend,frontend,security",
    )


def _watch(run_watch: RunWatch, below: Mapping[str, Callable[[], cli.AnyCommand]]) -> click.Command:
    def run(detach: bool, once: bool, seconds: float | None, http: str) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            if detach and once:
                raise Usage("--detach and --once exclude each other", hint="give one of them")
            run_watch(context.ensure_object(options.Given), WatchOptions(detach, once, seconds, http))

    return cli.Tree(
        "watch",
        below,
        invoke_without_command=True,
        callback=run,
        params=[
            click.Option(["--detach"], is_flag=True, help="Run in the background; see `coord watch status`."),
            click.Option(["--once"], is_flag=True, help="Do what there is to do now, and end."),
            click.Option(["--seconds"], type=float, help="End by itself after this long."),
            click.Option(
                ["--http"],
                default="",
                metavar="[HOST:]PORT",
                help="Serve assistants over HTTP as well; to this machine alone unless HOST says otherwise.",
            ),
        ],
        help=(
            "Run the daemon: route mail, expire leases, retire stale mail, merge what is queued.\n\nOne per "
            "repository; a second one says who runs and exits. Every other command works without it."
        ),
        short_help="Run the daemon that makes things happen by themselves.",
        example="coord watch --detach",
    )


def hook(run_hook: RunHook) -> click.Command:
    """Return the command that coding assistants call."""

    def run(client: str, beside: str | None, here: bool) -> None:
        del here
        click.get_current_context().exit(run_hook(client, beside))

    return cli.Leaf(
        "hook",
        callback=run,
        params=[
            click.Argument(["client"], metavar="claude|codex|gemini"),
            click.Argument(
                ["beside"], metavar="[wait|monitor]", required=False, type=click.Choice(["wait", "monitor"])
            ),
            click.Option(["--here"], is_flag=True, help="Do it in this process, also where a daemon runs."),
        ],
        help=(
            "Answer a hook of a coding assistant.\n\nThe assistant runs it: it writes what happens to standard input "
            "and obeys what it reads. An edit of what another agent has leased is refused. Mail, and where the last "
            "session stopped, are added to what the model sees. Where coord is not set up, nothing happens.\n\n"
            "With `wait` it sleeps beside an idle session and ends with status 2 when mail comes: for one that lets "
            "a hook run on, and goes on itself when that ends so (Claude Code's `asyncRewake`).\n\n"
            "With `monitor` it runs beside the assistant and prints a line when mail comes to an idle session beside "
            "which nothing sleeps any more (a monitor of Claude Code's plugin)."
        ),
        short_help="Answer a hook of a coding assistant.",
        example="coord hook claude",
    )


def _completion() -> click.Command:
    def run(shell: str) -> None:
        kind = click.shell_completion.get_completion_class(shell)
        if kind is None:
            raise Usage(f"no completion for {shell!r}", hint="bash, zsh and fish are known")
        root = click.get_current_context().find_root().command
        click.echo(kind(root, {}, "coord", "_COORD_COMPLETE").source())

    return cli.Leaf(
        "completion",
        callback=run,
        params=[click.Argument(["shell"], metavar="bash|zsh|fish")],
        help="Print the completion script of a shell.",
        example='eval "$(coord completion bash)"',
    )
