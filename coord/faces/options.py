"""The options of every level, and what they said."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

import coord
from coord.faces.terminal import Terminal
from coord.model.errors import Usage
from coord.service.command import Opens
from coord.service.coord import Coord


@dataclass(slots=True)
class Given:
    """What the options of every level said, and where."""

    who: str = ""
    repo: str = ""
    as_json: bool = False
    allow_secret: bool = False
    terminal: Terminal = field(default_factory=Terminal.own)

    def start(self) -> Path:
        """Return the folder to look for the repository from.

        Raises:
            Usage: one stands in a folder that is gone.
        """
        try:
            return Path(self.terminal.folder, self.repo).resolve()
        except FileNotFoundError:
            raise Usage(
                "the folder that this was started in is gone", hint="go to one that is there, or give --repo PATH"
            ) from None

    def open(self, opens: Opens = Coord.open) -> Coord:
        """Open the repository as whoever is speaking."""
        opened = opens(self.start(), who=self.who or self.terminal.environ.get("COORD_AGENT", ""))
        if self.allow_secret:
            opened.screen.allow(opened.me())
        return opened


def common() -> list[click.Parameter]:
    """Return the options that every level accepts."""
    return [
        _kept("as", "who", metavar="NAME", help="Speak as this agent, or as owner."),
        _kept("repo", "repo", metavar="PATH", help="The repository; default: the one you stand in."),
        _kept("json", "as_json", is_flag=True, help="Print the result as JSON."),
    ]


def override() -> click.Option:
    """Return the option of every command that writes."""
    about = "Record it though it looks like a credential; only for --as owner, and noted in the ledger."
    return _kept("allow-secret", "allow_secret", is_flag=True, help=about)


def _kept(spelled: str, name: str, **rest: Any) -> click.Option:
    """Return an option that is kept in `Given` under NAME, wherever on the line it stands."""

    def keep(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Given), name, value)

    return option([f"--{spelled}"], expose_value=False, is_eager=True, callback=keep, **rest)


def option(names: list[str], *, help: str, **rest: Any) -> click.Option:
    """Return an option whose help is taken as it is: click would load `inspect` to clean it, before every command."""
    made = click.Option(names, **rest)
    made.help = help
    return made


def version() -> click.Option:
    """Return the option of the first level that shows the version."""

    def callback(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value:
            click.echo(f"coord {coord.__version__}")
            ctx.exit()

    return option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=callback, help="Show the version."
    )


def helping() -> click.Option:
    """Return the option that shows help, as click's own does."""

    def callback(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    return option(
        ["-h", "--help", "helping"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=callback,
        help="Show this message and exit.",
    )
