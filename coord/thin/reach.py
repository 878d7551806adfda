"""Find the repository around a folder and the daemon that watches it: no git, no coord, no `socket`, no `json`.

A bare interpreter starts in 10 ms; the modules that one would import for this take as long again.
"""

import _socket
import os

DOOR = "door"
Door = _socket.socket
_PRIVATE = "coord"
_LONGEST_LINE, _MOST = 200, 32 << 20


def common(start: str) -> str:
    """Return git's common directory of the repository around START, or "" where there is none."""
    folder = os.path.realpath(start)
    while True:
        entry = f"{folder}/.git"
        if os.path.isdir(entry):
            return entry
        if os.path.isfile(entry):
            return _linked(entry, folder)
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return ""


def connect(common_folder: str) -> "_socket.socket | None":
    """Return a connection to the daemon's door, or None where nobody listens."""
    # A socket's path may have 107 bytes at most, a repository's more: so it is named from its own folder.
    here = os.open(".", os.O_RDONLY)
    door = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        os.chdir(f"{common_folder}/{_PRIVATE}")
        door.connect(DOOR)
    except OSError:
        door.close()
        return None
    finally:
        os.fchdir(here)
        os.close(here)
    return door


def send(door: "_socket.socket", *fields: bytes) -> None:
    """Send some fields: their lengths on a line, then themselves."""
    door.sendall(b" ".join(b"%d" % len(field) for field in fields) + b"\n" + b"".join(fields))


def receive(door: "_socket.socket") -> list[bytes] | None:
    """Return the fields that were sent; None where the other side ended in the middle, or speaks something else."""
    line = b""
    while not line.endswith(b"\n"):
        byte = door.recv(1)
        if not byte or len(line) > _LONGEST_LINE:
            return None
        line += byte
    words = line.split()
    if not words or not all(word.isdigit() for word in words) or sum(map(int, words)) > _MOST:
        return None
    fields = []
    for length in map(int, words):
        field = bytearray()
        while len(field) < length:
            chunk = door.recv(min(length - len(field), 1 << 16))
            if not chunk:
                return None
            field += chunk
        fields.append(bytes(field))
    return fields


def _linked(entry: str, top: str) -> str:
    with open(entry, "rb") as file:
        words = os.fsdecode(file.read())
    private = os.path.join(top, words.removeprefix("gitdir:").strip())
    try:
        with open(f"{private}/commondir", "rb") as file:
            return os.path.realpath(os.path.join(private, os.fsdecode(file.read()).strip()))
    except OSError:
        return os.path.realpath(private)
