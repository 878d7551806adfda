"""The command line, derived from the list of commands.

`--as`, `--repo` and `--json` are options of every level, so they are accepted before and
after any subcommand; the innermost one wins.
"""

import difflib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TextIO

import click

from coord.faces import jsontext, meter, options, page, render, report, wire
from coord.faces.options import Given
from coord.model.codec import to_plain
from coord.model.errors import CoordError, Usage
from coord.model.regex import regex
from coord.model.untrusted import clean_line
from coord.service.command import Command, Param
from coord.service.coord import Coord

AnyCommand = Command[Any, Any]
Maker = Callable[[], click.Command]
_READ_LIMIT = 4 << 20
_OPTION = regex("-[a-z]|--[a-z][a-z-]{1,20}")


class Leaf(click.Command):
    """A click command whose help opens with an example."""

    def __init__(
        self,
        name: str,
        *,
        example: str = "",
        words: Sequence[tuple[str, str]] = (),
        tell: Callable[[], str] | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name, add_help_option=False, **rest)
        self.params.extend([*options.common(), options.helping()])
        self.example = example
        self.words = words
        self.tell = tell

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what it does, which is put together only now."""
        self.help = self.tell() if self.tell else self.help
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the positional words mean, then the options."""
        if self.words:
            with formatter.section("Words"):
                formatter.write_dl(list(self.words))
        super().format_options(ctx, formatter)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, then the usage line."""
        _write_example(formatter, self.example)
        super().format_usage(ctx, formatter)


def _write_example(formatter: click.HelpFormatter, example: str) -> None:
    if example:
        formatter.write(f"Example: {example}\n\n")


class Tree(click.Group):
    """A click group over commands named `noun verb`; each is made, and its module loaded, when it is asked for."""

    def __init__(
        self,
        name: str,
        derived: Mapping[str, Callable[[], AnyCommand]],
        own: Mapping[str, Maker] | None = None,
        *,
        example: str = "",
        version: bool = False,
        **rest: Any,
    ) -> None:
        super().__init__(name, add_help_option=False, **rest)
        self.params.extend([*options.common(), *([options.version()] if version else []), options.helping()])
        self.derived = derived
        self.own = own or {}
        self.example = example

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, then the usage line."""
        _write_example(formatter, self.example)
        super().format_usage(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the words that may follow: coord's own first, then those derived, in the order of their list."""
        del ctx
        return list(dict.fromkeys((*self.own, *(name.partition(" ")[0] for name in self.derived))))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command or the group of that name."""
        del ctx
        if cmd_name in self.own:
            return self.own[cmd_name]()
        if cmd_name in self.derived:
            return leaf(self.derived[cmd_name]())
        below = {name.partition(" ")[2]: one for name, one in self.derived.items() if name.startswith(f"{cmd_name} ")}
        return Tree(cmd_name, below, help=GROUPS.get(cmd_name, ""), no_args_is_help=True) if below else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            close = difflib.get_close_matches(args[0], known, n=1, cutoff=0.5)
            near = f"did you mean `{ctx.command_path} {close[0]}`? " if close else ""
            raise Usage(
                f"there is no command `{ctx.command_path} {args[0]}`", hint=f"{near}see `{ctx.command_path} --help`"
            )
        return super().resolve_command(ctx, args)


GROUPS = {
    "agents": "coord in the files that coding assistants read.",
    "mail": "Send and read messages.",
    "lock": "Lease paths and globs, and see who holds what.",
    "checkpoint": "Save where you are, and carry on from it.",
    "decision": "Record choices and what came of them.",
    "ledger": "The record of everything, on a branch of its own.",
    "worktree": "A checkout of its own for each agent.",
    "merge": "The queue of branches waiting to be merged.",
    "session": "The coding assistants whose hooks call coord.",
}


def leaf(command: AnyCommand) -> click.Command:
    """Derive the click command of a service command."""

    def run(**values: Any) -> None:
        context = click.get_current_context()
        given = context.ensure_object(Given)
        positional, named = arguments(command.params, values)
        with given.open(command.opens) as opened:
            if who := opened.whoever():
                opened.presence.note(who, command.name)
            if opened.wrong is not None:
                _warn(f"coord: going on all the same: {opened.wrong.message}", opened.wrong.hint, given)
            with _metered(opened, given.terminal.progress):
                result = command(opened, *positional, **named)
        show(result, given)
        if opened.left is not None:
            _warn(f"coord: done, but not yet in the ledger: {opened.left.message}", opened.left.hint, given)
        if status := getattr(result, "exit_status", 0):
            context.exit(status)

    return Leaf(
        command.name.rpartition(" ")[2],
        params=[*map(_parameter, command.params), *([options.override()] if command.writes else [])],
        callback=run,
        tell=partial(_told, command),
        short_help=command.summary,
        example=command.example,
        words=[(_metavar(param), param.help.rstrip("…")) for param in command.params if param.positional],
    )


def _told(command: AnyCommand) -> str:
    text, _, failures = command.help.partition("\nRaises:\n")
    # The backspace keeps click from joining the lines of a list.
    return f"{text.rstrip()}\n\n\b\nFails when:\n{failures}" if failures else text


def _warn(message: str, hint: str, given: Given) -> None:
    click.echo(clean_line(message), given.terminal.err)
    click.echo(f"  next: {clean_line(hint)}", given.terminal.err)


@contextmanager
def _metered(opened: Coord, progress: TextIO | None) -> Iterator[None]:
    """Show how far a long reading of the ledger is, where somebody looks."""
    if progress is None:
        yield
        return
    opened.tell = told = meter.Meter(progress)
    try:
        yield
    finally:
        told.end()


def arguments(params: Sequence[Param], values: Mapping[str, Any]) -> tuple[list[object], dict[str, object]]:
    """Type the values of a command line by the command's parameters."""
    positional: list[object] = []
    named: dict[str, object] = {}
    for param in params:
        value = values[param.name]
        if value is None or (param.many and value == () and not param.required):
            typed: object = param.default
        elif param.many:
            pieces = [
                piece.strip() for text in value for piece in (text.split(",") if param.help.endswith("…") else [text])
            ]
            typed = tuple(wire.parse(param, piece) for piece in pieces if piece)
        elif param.kind == "flag":
            typed = value
        else:
            typed = wire.parse(param, _from_stream(value) if param.kind == "prose" else value)
        if param.positional:
            positional.append(typed)
        else:
            named[param.name] = typed
    return positional, named


def _from_stream(text: str) -> str:
    if text != "-":
        return text
    data = sys.stdin.buffer.read(_READ_LIMIT)
    try:
        return data.decode()
    except UnicodeDecodeError as fault:
        raise Usage(
            f"standard input is not UTF-8 (byte {fault.start})", hint="send text, or attach a file by its path"
        ) from None


def _parameter(param: Param) -> click.Parameter:
    if param.positional:
        # A default, and be it None, would stand in for a word that must be given.
        rest: dict[str, Any] = {} if param.required else {"default": () if param.many else None}
        return click.Argument(
            [param.name], nargs=-1 if param.many else 1, required=param.required, metavar=_metavar(param), **rest
        )
    spelled = f"--{wire.option(param)}"
    if param.kind == "flag":
        return options.option([param.name, spelled], is_flag=True, default=bool(param.default), help=param.help)
    default = param.default if param.default not in (None, "", ()) else None
    shown = render.default(default) if default is not None else None
    return options.option(
        [param.name, spelled],
        multiple=param.many,
        required=param.required,
        metavar="|".join(param.choices) if param.choices else param.kind.upper(),
        help=f"{param.help}  [default: {shown}]" if shown else param.help,
    )


def _metavar(param: Param) -> str:
    name = param.name.upper().rstrip("_")
    return f"{name}..." if param.many else name


def show(result: object, given: Given) -> None:
    """Print a result: JSON where asked for, else a page for people."""
    terminal = given.terminal
    if given.as_json:
        click.echo(jsontext.dumps(to_plain(result), terminal.encoding, indent=2), terminal.out)
    else:
        page.write(render.blocks(result), terminal.out, terminal.environ)


def run(tree: click.Group, argv: Sequence[str], *, trace: Callable[[], None] | None = None) -> int:
    """Run a command line and return its exit status; nothing is raised.

    No traceback is shown; a fault of coord's own calls TRACE where one is given.
    """
    given = Given()
    if sys.stdout is None:  # whatever is opened next would be it
        closed = Usage("standard output is closed", hint="send it somewhere, if only to /dev/null")
        return _fail(closed, given, argv)
    for stream in (sys.stdout, sys.stderr):
        # A word that the stream's encoding lacks must not end a command that has done its work.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = tree.main(list(argv), prog_name="coord", standalone_mode=False, obj=given)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (KeyboardInterrupt, click.Abort):
        click.echo("coord: interrupted; nothing is half done", err=True)
        return report.INTERRUPTED
    except (BrokenPipeError, SystemExit):  # click leaves by itself when the reader of its output has gone
        _let_go()
        return 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as fault:
        return _fail(_from_click(fault), given, argv)
    except CoordError as fault:
        return _fail(fault, given, argv)
    except OSError as fault:
        return _fail(report.from_os(fault), given, argv)
    except Exception as fault:
        if trace is not None:
            trace()
        again = "set COORD_DEBUG=1 and run it again for the traceback, then report it"
        return _fail(CoordError(f"an error of coord itself: {type(fault).__name__}: {fault}", hint=again), given, argv)


def _release() -> None:
    """Let go of what standard output does not take: Python would try that once more at its end, and fail of it."""
    try:
        sys.stdout.flush()
    except OSError:
        _let_go()


def _let_go() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _from_click(fault: click.ClickException) -> CoordError:
    context = getattr(fault, "ctx", None)
    path = context.command_path if context is not None else "coord"
    if isinstance(fault, click.NoSuchOption):
        return _no_option(fault, path)
    return Usage(fault.format_message().rstrip("."), hint=f"see `{path} --help`")


def _no_option(fault: click.NoSuchOption, path: str) -> Usage:
    """Refuse an option that is none; it may be text, even a secret, so only what looks like an option is repeated."""
    named = f"option {fault.option_name}" if _OPTION.fullmatch(fault.option_name) else "such option"
    near = f"did you mean {' or '.join(fault.possibilities)}? " if fault.possibilities else ""
    text = "text that begins with - goes last, behind --, or give - and send it through standard input"
    return Usage(f"`{path}` has no {named}", hint=f"{near}{text}; see `{path} --help`")


def _fail(error: CoordError, given: Given, argv: Sequence[str]) -> int:
    told = report.failure(error, given.terminal.encoding)
    if (given.as_json or "--json" in argv) and sys.stdout is not None:
        with suppress(OSError):
            click.echo(told.json)
            return told.exit_status
    click.echo(told.text, err=True)
    if sys.stdout is not None:
        _release()
    return told.exit_status
