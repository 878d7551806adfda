"""One call of a tool: open the repository as whoever calls, run the command, say what came of it."""

import io
import threading
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any

from coord.faces import page, render, report
from coord.faces.mcp import again
from coord.faces.mcp.tools import Tool
from coord.model.codec import to_plain
from coord.model.errors import CoordError, Unavailable
from coord.model.untrusted import clean_line, clean_text
from coord.model.values import frozen
from coord.service.clock import SystemClock
from coord.service.session import speaking
from coord.service.session.speaking import NOWHERE, Origin


@frozen
class Caller:
    """Who calls: where their client stands, and who it says they are; else their session tells, else their worktree."""

    cwd: Path
    who: str = ""
    origin: Origin = NOWHERE


@frozen
class Outcome:
    """What a call came to: text for a model, and the same for a program, or the facts of an error."""

    text: str
    structured: object = None
    failed: bool = False
    facts: Mapping[str, object] = field(default_factory=dict)


class Withdrawn(Unavailable):
    """Raised inside a command whose caller wants it no more."""

    code = "withdrawn"


class Hand(SystemClock):
    """A clock that the caller can stop: a command that looks at it then ends there, before it changes anything more.

    Commands that wait look at the clock in every turn, and every event is dated before it is noted.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let no command go on that looks here."""
        self._stopped.set()

    def now(self) -> datetime:
        """Return the wall clock's moment."""
        self._look()
        return super().now()

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        self._look()
        return super().monotonic()

    def _look(self) -> None:
        if self._stopped.is_set():
            raise Withdrawn("the caller took the call back")


def call(
    tool: Tool, given: Mapping[str, Any], caller: Caller, *, hand: Hand, key: str = "", since: float = 0.0
) -> Outcome:
    """Run TOOL; whatever goes wrong is an outcome, too.

    KEY makes a command that knows idempotency keys do once what is asked twice. SINCE is the moment
    since which it may have been done already, 0 where it is asked for the first time.
    """
    try:
        positional, named = tool.arguments(given)
        if key and named.get("key") == "":
            named["key"] = key
        with tool.command.opens(caller.cwd, who=caller.who) as opened:
            opened.clock = hand
            if not caller.who and (agent := speaking.agent(opened, caller.origin)):
                opened.speaks(agent)
            if who := opened.whoever():
                opened.presence.note(who, tool.command.name)
            result = tool.command(opened, *positional, **named)
            if since:
                result = again.completed(opened, tool, result, since)
        return _done(result, opened.left)
    except CoordError as fault:
        return failure(again.warned(fault) if since and tool.command.writes else fault)
    except OSError as fault:
        return failure(report.from_os(fault))


def failure(fault: CoordError) -> Outcome:
    """Say what went wrong so that a model can act on it: what, who, until when, and the next step."""
    text = fault.message + (f"\nnext: {fault.hint}" if fault.hint else "")
    facts = {"code": fault.code, "retryable": fault.retryable, **fault.facts}
    return Outcome(clean_text(text), failed=True, facts={name: _clean(to_plain(one)) for name, one in facts.items()})


def text_of(result: object) -> str:
    """Return what the command line prints of a result; others' words are quoted in it."""
    out = io.StringIO()
    page.write(render.blocks(result), out)
    return out.getvalue().rstrip("\n")


def _done(result: object, left: CoordError | None) -> Outcome:
    text = text_of(result)
    if left is not None:
        text += f"\ndone, but not yet in the ledger: {clean_line(left.message)}\nnext: {clean_line(left.hint)}"
    return Outcome(text, structured=_clean(to_plain(result)))


def _clean(plain: object) -> object:
    """Return PLAIN without what a terminal would obey or an eye would miss: a client may print it as it is."""
    if isinstance(plain, str):
        return clean_text(plain)
    if isinstance(plain, Mapping):
        return {clean_line(name): _clean(value) for name, value in plain.items()}
    return [_clean(one) for one in plain] if isinstance(plain, list) else plain
