"""A Postgres server of one's own, with fsync, as the floor of a lease: the pair that a lease table needs."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from coord.service.measuring.benchrows import Work

_POLL = 0.001
_ELSEWHERE = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
_TABLE = "CREATE TABLE leases (scope text PRIMARY KEY, holder text, token bigserial, granted timestamptz DEFAULT now())"
_OPTIONS = "-c listen_addresses= -c max_connections=250 -c unix_socket_permissions=0777"


def missing() -> str:
    """Return why no server can be run here, or ""."""
    return "" if _binaries() is not None else "no Postgres on this machine"


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a server with its data in FOLDER, with the settings it comes with, and yield how to connect."""
    binaries, data = _binaries(), folder / "data"
    assert binaries is not None
    who = _unprivileged()
    folder.mkdir()
    # A socket's path may have about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="pg-") as socket:
        for place in (folder, Path(socket)):
            if who:
                shutil.chown(place, who)
        _run([binaries / "initdb", "-D", data, "-A", "trust", "-U", "bench"], who)
        control = [binaries / "pg_ctl", "-D", data, "-w", "-s", "-l", folder / "log"]
        _run([*control, "-o", f"{_OPTIONS} -k {socket}", "start"], who)
        try:
            where = f"host={socket} user=bench dbname=postgres"
            with psycopg.connect(where, autocommit=True) as connection:
                connection.execute(_TABLE)
            yield where
        finally:
            _run([*control, "-m", "immediate", "stop"], who)


def leasing(where: str, holder: str, scope: str) -> Work:
    """Return the work of a contender: to take a lease, asking every millisecond until it is free, and give it back."""
    connection = psycopg.connect(where, autocommit=True)

    def pair(path: str = scope) -> None:
        ask = "INSERT INTO leases (scope, holder) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        while not connection.execute(ask, (path, holder)).rowcount:
            time.sleep(_POLL)
        connection.execute("DELETE FROM leases WHERE scope = %s AND holder = %s", (path, holder))

    for _ in range(6):  # after five, psycopg has the server prepare the statement
        pair(f"warm/{holder}")
    return pair


def _binaries() -> Path | None:
    on_path = [Path(found).parent for found in (shutil.which("initdb"),) if found]
    found = [*on_path, *(place for pattern in _ELSEWHERE for place in Path("/").glob(pattern[1:]))]
    return next((place for place in found if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


def _unprivileged() -> str:
    """Return whom to run the server as: it refuses to run as root."""
    if os.geteuid() != 0:
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _run(words: list[object], who: str) -> None:
    # Output goes to a file: the server would keep a pipe open.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [str(word) for word in words], stdout=said, stderr=said, cwd="/", user=who or None, check=False
        )
        if done.returncode:
            said.seek(0)
            raise RuntimeError(f"{words[0]}: {said.read().decode()}")
