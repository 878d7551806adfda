"""`coord hook`: hand what a coding assistant tells its hook to the daemon, and its answer back.

Run as a file by a bare interpreter (`python -I -S hook.py CLIENT`) it takes little more than that
interpreter; where no daemon answers it becomes `coord hook --here`, which does the work itself.
"""

import os
import sys

if not __package__:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from coord.thin import reach

_ASKED = ("COORD_AGENT", "COORD_SESSION", "CLAUDE_PROJECT_DIR", "CLAUDE_PLUGIN_ROOT")


def main(words: list[str]) -> int:
    """Answer one hook; returns its exit status."""
    payload = _stdin()
    answer = _asked(words, payload)
    if answer is None:
        return _as_a_whole(words, payload)
    status, out, err = answer
    _write(1, out)
    _write(2, err)
    return int(status)


def _asked(words: list[str], payload: bytes) -> list[bytes] | None:
    here = os.getcwd()
    common = reach.common(here)
    door = reach.connect(common) if common else None
    if door is None:
        return None
    facts = "\0".join([here, str(os.getppid()), *words, *(f"{name}={os.environ.get(name, '')}" for name in _ASKED)])
    try:
        reach.send(door, b"hook", os.fsencode(facts), payload)
        return reach.receive(door)
    except OSError:
        return None  # it ended meanwhile
    finally:
        door.close()


def _as_a_whole(words: list[str], payload: bytes) -> int:
    """Become the program that does it all, with the payload where it was."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(payload)
        file.seek(0)
        os.dup2(file.fileno(), 0)
    return os.execv(sys.executable, [sys.executable, "-P", "-m", "coord", "hook", "--here", *words])


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
