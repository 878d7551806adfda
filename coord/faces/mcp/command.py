"""`coord mcp`: what a coding assistant starts as its server; it speaks the protocol on its standard streams."""

from collections.abc import Callable

import click

from coord.faces import cli, options

Serve = Callable[[options.Given, int | None], None]


def made(serve: Serve) -> click.Command:
    """Return the command; SERVE serves in this process: its streams, or what comes over a channel from the daemon."""

    def run(here: bool, host: int | None) -> None:
        del here
        serve(click.get_current_context().ensure_object(options.Given), host)

    return cli.Leaf(
        "mcp",
        callback=run,
        params=[
            click.Option(["--here"], is_flag=True, help="Serve in this process, also where a daemon runs."),
            click.Option(["--host"], type=int, hidden=True),
        ],
        help=(
            "Serve a coding assistant: tools, resources and prompts over standard input and output, in the Model "
            "Context Protocol.\n\nAssistants start it by themselves. With a daemon it only passes lines to the one "
            "process that serves them all, and outlives restarts of both; without, it serves by itself."
        ),
        short_help="Serve a coding assistant over the Model Context Protocol.",
        example="coord mcp --as backend",
    )
