"""`coord hook CLIENT wait`: sleep beside an idle session, and wake it when mail comes.

A client that lets a hook run beside it goes on when that hook ends with 2. What decides is coord, in the
daemon or in a process of its own; here one only sleeps, on a bell that every delivery to the agent's
mailbox rings, and leaves when the client ends or a newer waiter has taken the place.

`coord hook CLIENT monitor` runs beside the client as long as that does, and prints a line to wake it: in
place of the waiter of its session, where that is gone.
"""

import os
import select
import time

from coord.thin import hook

KEEP = 75  # the status of "go on waiting"; what to wait at is on the output
_SETTLED, _BURST = 0.2, 2.0  # seconds: a burst of mail is over when none came for so long, or has lasted so long
_TICK = 5.0  # between two looks for what rings no bell
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # between two questions about mail that is not to be told yet
_TRIES = 5
_FIRST = {"wait": "new", "monitor": "beside"}
_LATER = {"wait": "again", "monitor": "instead"}
_UNTOLD = b'{"hook_event_name": "Stop"}'  # a monitor is told nothing: coord knows its session by the client's process


class Place:
    """What to wait at, as coord says: `token` is in `file` until another waiter has come."""

    def __init__(self, told: bytes) -> None:
        words = os.fsdecode(told).split("\0")
        self.file, self.token, self.bell, self.mailbox = words[:4]
        self.owner = int(words[4])
        self.again = words[5] == "again"

    def is_mine(self) -> bool:
        """Tell whether no newer waiter has come, and nobody sent this one away; a monitor has no place to lose."""
        if not self.token:
            return True
        try:
            with open(self.file, "rb") as file:
                return os.fsdecode(file.read()) == self.token
        except OSError:
            return False

    def names(self) -> "frozenset[str]":
        """Return the names in the mailbox that may be unread mail."""
        try:
            return frozenset(name for name in os.listdir(self.mailbox) if name != "read" and not name.startswith("."))
        except OSError:
            return frozenset()


def main(words: list[str]) -> int:
    """Wait until the session is to be woken (2), or for good reason no longer (0)."""
    if os.environ.get("CLAUDE_CODE_SESSION_ATTENDED") == "0":
        return 0  # one that answers a single prompt would wait for us before it ends
    client, role = words
    call = hook.Call(client, _UNTOLD if role == "monitor" else None)
    if not call.common:
        return call.nowhere()
    status, out, err = _ask(call, _FIRST[role])
    if status != KEEP:
        hook.write(2, err)
        return status
    place = Place(out)
    with Ears(place) as ears:
        return _wait(call, role, place, ears)


def _wait(call: "hook.Call", role: str, place: Place, ears: "Ears") -> int:
    asked: frozenset[str] = frozenset()
    pause = _FIRST_PAUSE
    while ears.until_worth_asking(asked, pause if place.again else None):
        asked = place.names()
        status, out, err = _ask(call, _LATER[role])
        if status == 2 and role == "monitor":
            try:
                hook.write(1, err)
            except OSError:
                return 0  # nobody listens any more
        elif status in (0, 2):
            hook.write(2, err)
            return status
        place.again = status != KEEP or Place(out).again
        pause = min(2 * pause, _LONGEST_PAUSE) if place.again else _FIRST_PAUSE
    return 0


def _ask(call: "hook.Call", what: str) -> tuple[int, bytes, bytes]:
    """Return coord's answer; the daemon notes that a session is woken once it hears that we have it."""
    call.waits = f"{what} {os.getpid()}"
    answer: list[tuple[int, bytes, bytes]] = []

    def give(status: bytes, out: bytes, err: bytes, _refusal: bytes) -> int:
        answer.append((int(status), out, err))
        return int(status)

    if call.asked(give) is not None:
        return answer[0]
    return _by_a_child(call)


def _by_a_child(call: "hook.Call") -> tuple[int, bytes, bytes]:
    """Let a process of its own answer: this one stays small."""
    given, told, failed = os.pipe(), os.pipe(), os.pipe()
    ends = ((given[0], 0), (told[1], 1), (failed[1], 2))
    actions = [(os.POSIX_SPAWN_DUP2, end, number) for end, number in ends]
    program = call.program()
    child = os.posix_spawn(program[0], program, os.environ, file_actions=actions)
    for end, _ in ends:
        os.close(end)
    _feed(given[1], call.payload)
    out, err = _both(told[0], failed[0])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), out, err


def _both(first: int, second: int) -> "tuple[bytes, bytes]":
    """Read two pipes to their ends, and close them; whoever fills one does not wait until the other is read."""
    found = {first: b"", second: b""}
    poll = select.poll()
    for end in found:
        poll.register(end, select.POLLIN)
    left = len(found)
    while left:
        for end, _ in poll.poll():
            chunk = os.read(end, 1 << 16)
            found[end] += chunk
            if not chunk:
                poll.unregister(end)
                os.close(end)
                left -= 1
    return found[first], found[second]


def _feed(end: int, data: bytes) -> None:
    try:
        hook.write(end, data)
    except OSError:
        return  # it ended before it read; its status says why
    finally:
        os.close(end)


class Ears:
    """Hears the bell of a mailbox, and the end of the client."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.path, self.ends = _listen(place.bell)
        self.owner = -1
        self.poll = select.poll()
        self.poll.register(self.ends[0], select.POLLIN)
        try:
            self.owner = os.pidfd_open(place.owner)
            self.poll.register(self.owner, select.POLLIN)
        except (AttributeError, OSError):
            self.owner = -1

    def __enter__(self) -> "Ears":
        return self

    def __exit__(self, *_: object) -> None:
        for end in (*self.ends, self.owner):
            if end >= 0:
                os.close(end)
        try:
            os.unlink(self.path)
        except OSError:
            return

    def until_worth_asking(self, asked: "frozenset[str]", pause: "float | None") -> bool:
        """Sleep until mail came that was not ASKED about, or PAUSE is over; False when it is time to leave."""
        over = None if pause is None else time.monotonic() + pause
        while self.place.is_mine() and self._is_owned():
            names = self.place.names()
            if names - asked:
                return self._settled()
            left = over - time.monotonic() if over is not None and names else _TICK
            if left <= 0:
                return True
            self._sleep(min(left, _TICK))
        return False

    def _settled(self) -> bool:
        """Let a burst of mail come to its end, so that it wakes once."""
        over = time.monotonic() + _BURST
        while self._sleep(_SETTLED) and time.monotonic() < over:
            time.sleep(_SETTLED / 4)  # an end of the client is heard for ever
        return self.place.is_mine() and self._is_owned()

    def _sleep(self, seconds: float) -> bool:
        """Sleep until something is heard (True), at most so long."""
        heard = self.poll.poll(seconds * 1000)
        for end, _ in heard:
            if end == self.ends[0]:
                os.read(end, 1 << 16)
        return bool(heard)

    def _is_owned(self) -> bool:
        if self.owner >= 0:
            ended = select.poll()
            ended.register(self.owner, select.POLLIN)
            return not ended.poll(0)
        try:
            os.kill(self.place.owner, 0)
        except OSError:
            return False
        return True


def _listen(folder: str) -> tuple[str, tuple[int, int]]:
    """Open a FIFO as `stores/bell.py` does: ringers see it once it is read; its own writer keeps it from ending."""
    for left in reversed(range(_TRIES)):
        token = os.urandom(8).hex()
        hidden, path = f"{folder}/.{token}", f"{folder}/{token}.fifo"
        ends: list[int] = []
        try:
            os.makedirs(folder, exist_ok=True)
            os.mkfifo(hidden, 0o600)
            ends.append(os.open(hidden, os.O_RDONLY | os.O_NONBLOCK))
            ends.append(os.open(hidden, os.O_WRONLY | os.O_NONBLOCK))
            os.rename(hidden, path)
        except FileNotFoundError:  # taken for what a dead one left
            for end in ends:
                os.close(end)
            if not left:
                raise
        else:
            return path, (ends[0], ends[1])
    raise FileNotFoundError(folder)
