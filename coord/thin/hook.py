"""`coord hook`: hand what a coding assistant tells its hook to the daemon, and its answer back.

Run as a file by a bare interpreter (`python -I -S hook.py CLIENT`) it takes little more than that
interpreter; where no daemon answers it becomes `coord hook --here`, which does the work itself.
"""

import os
import sys
from _collections_abc import Callable  # at hand already; `collections` is not

if not __package__:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from coord.thin import reach

# A daemon that is stopped still has a door; one that lives says at once that it is at work.
_BEGINS_WITHIN, _ENDS_WITHIN, _NOTED_WITHIN = 0.5, 8.0, 0.5
_ELSEWHERE = "/"
# A client that ends cancels its hooks soon, Claude Code after 1.5 s: too early for a checkpoint where much else runs.
_LAST, _LAST_WITHIN = b'"hook_event_name":"SessionEnd"', 1.0


def main(words: list[str]) -> int:
    """Answer one hook; returns its exit status."""
    if words[1:] in (["wait"], ["monitor"]):
        from coord.thin import wait

        return wait.main(words)
    if words[1:]:
        write(2, b"coord hook: behind the client it knows `wait` and `monitor` alone, and lets everything through\n")
        return 1
    call = Call(words[0] if words else "")
    if not call.common:
        return call.nowhere()
    status = call.asked(given)
    if status is not None:
        return status
    return _outlived(call) if _is_last(call.payload) else _as_a_whole(call)


class Call:
    """One call of a hook: what the client says, and where; `waits` is what a waiter asks."""

    def __init__(self, client: str, payload: "bytes | None" = None) -> None:
        self.client = client
        self.payload = everything(0) if payload is None else payload
        self.here = here()
        self.parent = os.getppid()
        self.waits = ""
        self.common = reach.common(self.here) or reach.common(os.environ.get("CLAUDE_PROJECT_DIR") or self.here)

    def nowhere(self) -> int:
        """Return the status where no repository is; where that cannot be told, say so."""
        if self.here != _ELSEWHERE:
            return 0
        write(
            2, b"coord hook: the folder that this session is in is gone: nobody's leases are looked at, no mail comes\n"
        )
        return 1

    def program(self) -> list[str]:
        """Return the program that answers without a daemon, given the payload."""
        return [sys.executable, "-P", "-m", "coord.thin.here", self.client, str(self.parent), self.waits]

    def asked(self, give: "Callable[[bytes, bytes, bytes, bytes], int]") -> int | None:
        """Give the daemon's answer, tell it so, and return the status; None where it gives none."""
        door = reach.connect(self.common)
        if door is None:
            return None
        try:
            return self._answered(door, give)
        finally:
            door.close()

    def _answered(self, door: "reach.Door", give: "Callable[[bytes, bytes, bytes, bytes], int]") -> int | None:
        told = (os.environ.get(name, "") for name in ("COORD_AGENT", "CODEX_HOME", "TMUX", "TMUX_PANE"))
        facts = "\0".join((self.here, str(self.parent), self.client, self.waits, *told))
        try:
            door.settimeout(_BEGINS_WITHIN)
            reach.send(door, b"hook", os.fsencode(facts), self.payload)
            if reach.receive(door) is None:
                return None
            door.settimeout(_ENDS_WITHIN)
            answer = reach.receive(door)
        except OSError:
            return None  # it ended meanwhile, or is stopped
        if answer is None:
            return None
        status = give(*answer)
        if status == int(answer[0]):
            try:
                door.sendall(b"k")
                door.settimeout(_NOTED_WITHIN)
                door.recv(1)  # it closes the door when all is noted, and whoever looks next finds it
            except OSError:
                return status  # it ended meanwhile, and hands the same mail over once more
        return status


def given(status: bytes, out: bytes, err: bytes, refusal: bytes) -> int:
    """Say the answer, and return the status; a refusal that cannot be said on the output is one by the status."""
    try:
        write(1, out)
    except OSError:
        status, err = (b"2", b"%b\n%b" % (refusal, err)) if refusal else (b"1", err)
    try:
        write(2, err)
    except OSError:
        return int(status)
    return int(status)


def here() -> str:
    """Return where the hook was called; elsewhere, where that folder is gone: the client tells it once more."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        os.chdir(_ELSEWHERE)
        return _ELSEWHERE


def _is_last(payload: bytes) -> bool:
    """Tell whether a session ends, without the 10 ms that reading JSON costs; an edit is never taken for that."""
    return _LAST in payload.replace(b" ", b"") and b'"tool_name"' not in payload


def _outlived(call: Call) -> int:
    """Have it done by a process that nobody cancels, and wait for that as long as the client lets this one live."""
    import select

    waiting, working = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.set_inheritable(working, True)  # it closes when all is done
        return _as_a_whole(call)
    os.close(working)
    if not select.select([waiting], [], [], _LAST_WITHIN)[0]:
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _as_a_whole(call: Call) -> int:
    """Become the program that does it all; a child feeds it the payload, since the disk may be full."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            write(writing, call.payload)
        finally:
            os._exit(0)
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)
    return os.execv(sys.executable, call.program())


def everything(descriptor: int) -> bytes:
    """Read to the end."""
    chunks = []
    while chunk := os.read(descriptor, 1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def write(descriptor: int, data: bytes) -> None:
    """Write all of DATA."""
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
