"""`coord hook`: hand what a coding assistant tells its hook to the daemon, and its answer back.

Run as a file by a bare interpreter (`python -I -S hook.py CLIENT`) it takes little more than that
interpreter; where no daemon answers it becomes `coord hook --here`, which does the work itself.
"""

import os
import sys

if not __package__:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from coord.thin import reach

# A daemon that is stopped still has a door; one that lives says at once that it is at work.
_BEGINS_WITHIN, _ENDS_WITHIN, _NOTED_WITHIN = 0.5, 8.0, 0.5


def main(words: list[str]) -> int:
    """Answer one hook; returns its exit status."""
    client = words[0] if words else ""
    payload = _stdin()
    here = os.getcwd()
    common = reach.common(here) or reach.common(os.environ.get("CLAUDE_PROJECT_DIR") or here)
    if not common:
        return 0
    door = reach.connect(common)
    if door is not None:
        try:
            status = _asked(door, here, client, payload)
        finally:
            door.close()
        if status is not None:
            return status
    return _as_a_whole(client, payload)


def _asked(door: "reach.Door", here: str, client: str, payload: bytes) -> int | None:
    """Pass on the daemon's answer, and tell it so; None where it gives none."""
    facts = "\0".join((here, str(os.getppid()), client, os.environ.get("COORD_AGENT", "")))
    try:
        door.settimeout(_BEGINS_WITHIN)
        reach.send(door, b"hook", os.fsencode(facts), payload)
        if reach.receive(door) is None:
            return None
        door.settimeout(_ENDS_WITHIN)
        answer = reach.receive(door)
    except OSError:
        return None  # it ended meanwhile, or is stopped
    if answer is None:
        return None
    status = _given(*answer)
    if status == int(answer[0]):
        try:
            door.sendall(b"k")
            door.settimeout(_NOTED_WITHIN)
            door.recv(1)  # it closes the door when all is noted, and whoever looks next finds it
        except OSError:
            return status  # it ended meanwhile, and hands the same mail over once more
    return status


def _given(status: bytes, out: bytes, err: bytes, refusal: bytes) -> int:
    """Say the answer; a refusal that cannot be said on the output is one by the exit status."""
    try:
        _write(1, out)
    except OSError:
        if not refusal:
            return 1
        status, err = b"2", refusal
    try:
        _write(2, err)
    except OSError:
        return int(status)
    return int(status)


def _as_a_whole(client: str, payload: bytes) -> int:
    """Become the program that does it all; a child feeds it the payload, since the disk may be full."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            _write(writing, payload)
        finally:
            os._exit(0)
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)
    return os.execv(sys.executable, [sys.executable, "-P", "-m", "coord.thin.here", client])


def _stdin() -> bytes:
    chunks = []
    while chunk := os.read(0, 1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
