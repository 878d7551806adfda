"""Ways to wake a session beside which nobody can wait: the client's own program is asked to.

`codex queue` puts a message into a running session, which takes it up within seconds. The message is the
constant one; whose mail it is about, the hook that the session then calls says. Gemini has no such program: there,
if the owner allows it, tmux types that line.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from coord import tmux
from coord.model.errors import NotFound, TimedOut, Unavailable
from coord.model.records import Message
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.service.session.sessions import Kept, Session
from coord.service.wake import waking

WAYS = {"codex": "codex queue", "gemini": "tmux"}
_PATIENCE, _LONGEST = 1.0, 60.0


@dataclass(slots=True)
class Under:
    """A way under way: `ends` is the moment by which it must have ended."""

    process: subprocess.Popen[bytes]
    way: str
    ends: float


def due(coord: Coord) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Yield the sessions that are to be called now: client, id, way, and for which messages."""
    for client, way in WAYS.items():
        for kept in sessions.every(coord, client):
            if found := _found(coord, kept):
                yield client, kept.session.id, way, tuple(message.id for message in found)


def begin(coord: Coord, client: str, session: str, way: str) -> Under | None:
    """Begin to wake a session; None where there is no reason any more.

    Raises:
        NotFound: the client's program is not there.
        Unavailable: it cannot be started, or another hook of the session takes too long.
    """
    with suppress(TimedOut), sessions.opened(coord, client, session, timeout=_PATIENCE) as kept:
        found = _found(coord, kept)
        if not found:
            return None
        kept.session = waking.called(kept.session, way, found, coord.now())
        return Under(_started(coord, kept.session), way, coord.clock.monotonic() + _LONGEST)
    return None


def ended(under: Under, now: float) -> str | None:
    """Return how it ended, "" where it did as it should; None while it goes on. One that hangs is ended."""
    status = under.process.poll()
    if status is None and now > under.ends:
        under.process.kill()
        under.process.wait()
        return f"{under.way} took longer than {_LONGEST:g} s"
    if status is None:
        return None
    if under.way == "tmux" and status in tmux.WORDS:
        return f"tmux: {tmux.WORDS[tmux.Ended(status)]}"
    return f"{under.way} ended with status {status}" if status else ""


def pane(terminal: tuple[str, ...]) -> tuple[str, str]:
    """Return the socket of a server of tmux and the pane in it, as TMUX and TMUX_PANE say; "" each if not."""
    match terminal:
        case (server, name) if server.startswith("/") and tmux.is_pane(name):
            return server.split(",", 1)[0], name
    return "", ""


def _found(coord: Coord, kept: Kept) -> tuple[Message, ...]:
    """Return the mail for which a session is to be called now."""
    session = kept.session
    if coord.config.hooks.wake == "off" or session.agent not in coord.config.names or not sessions.is_there(session):
        return ()
    if WAYS[session.client] == "tmux" and (coord.config.hooks.nudge != "tmux" or not session.pane):
        return ()
    if waking.is_patient(session, coord.now()):  # one call brings all that came meanwhile
        return ()
    return waking.due(coord, session.agent, kept)


def _started(coord: Coord, session: Session) -> subprocess.Popen[bytes]:
    words = _words(coord, session)
    if shutil.which(words[0]) is None:
        raise NotFound(
            f"{words[0]} is not on the daemon's PATH: it wakes no session", hint="start the daemon where it is"
        )
    env = {**os.environ, **({"CODEX_HOME": session.store} if session.store else {})}
    try:
        return subprocess.Popen(
            words,
            cwd=coord.home,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as fault:
        raise Unavailable(f"{words[0]} cannot be started: {fault}", hint="see `coord doctor`") from None


def _words(coord: Coord, session: Session) -> list[str]:
    if WAYS[session.client] == "codex queue":
        return ["codex", "queue", f"--thread={session.id}", f"--message={waking.NOTICE}"]
    if shutil.which("tmux") is None:
        raise NotFound("tmux is not on the daemon's PATH: it wakes no session", hint="install it, or hooks.nudge: off")
    assert session.process is not None
    lock = coord.private / sessions.FOLDER / f"pane-{session.pane[1:]}.nudged"
    return tmux.command(session.socket, session.pane, session.process.pid, lock, waking.NOTICE)
