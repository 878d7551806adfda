"""Faults planted in a repository in which coord works, one function each, for the doctor to find."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import credentials
import psutil
import pytest
from byhand import ID, drop, message
from support import git

from coord.git import repo as repository
from coord.model import codec, keys
from coord.model.records import Change, Process
from coord.service import locks, mail, worktrees
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.doctor import watches
from coord.stores import oslock

LATER = timedelta(days=2)
OLD = time.time() - 7200


@dataclass
class Farm:
    """A repository with some work in it, and what a planted fault may need."""

    home: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def common(self) -> Path:
        return self.home / ".git"

    @property
    def private(self) -> Path:
        return self.common / "coord"

    def open(self, who: str = "owner") -> Coord:
        return Coord.open(self.home, who=who)

    def mail(self) -> Path:
        return next((self.home / "inbox/frontend").glob("*.md"))


def work(home: Path) -> None:
    """Do a little of everything, and leave it all in the ledger."""
    with Coord.open(home, who="backend") as backend:
        for word in ("one", "two", "three"):
            mail.send(backend, ("frontend", "security"), Prose(f"word {word}\n"))
        locks.acquire(backend, ("apps_script/**",))
    with Coord.open(home, who="security") as security:
        mail.read(security, limit=2)
    with Coord.open(home, who="owner") as owner:
        owner.indexed().close()


def dead() -> Process:
    child = subprocess.Popen(["sleep", "60"])
    found = oslock.process_of(child.pid)
    child.kill()
    child.wait()
    assert found is not None
    return found


def old(path: Path) -> Path:
    os.utime(path, (OLD, OLD))
    return path


def git_too_old(farm: Farm) -> None:
    real = shutil.which("git")
    folder = farm.home.parent / "bin"
    folder.mkdir()
    script = folder / "git"
    script.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo git version 2.30.1;; *) exec {real} "$@";; esac\n')
    script.chmod(0o755)
    farm.monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    repository.version.cache_clear()


def network(farm: Farm) -> None:
    mount = SimpleNamespace(mountpoint=str(farm.home.parent), fstype="nfs4")
    root = SimpleNamespace(mountpoint="/", fstype="ext4")
    farm.monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [root, mount])


def synced(farm: Farm) -> None:
    there = farm.home.parent / "OneDrive - Farm"
    there.mkdir()
    farm.home = farm.home.rename(there / "farm")


def letter_case(farm: Farm) -> None:
    os.link(farm.common / "HEAD", farm.common / "hEAD")


def unwritable(farm: Farm) -> None:
    (farm.home / "inbox/backend").chmod(0o500)


def unreadable(farm: Farm) -> None:
    farm.mail().chmod(0)


def world_writable(farm: Farm) -> None:
    farm.private.chmod(0o777)


def clock_behind_ledger(farm: Farm) -> None:
    coord = farm.open()
    event = coord.event("mail.sent", "from tomorrow")
    coord.ledger.append([event], parent=coord.ledger.tip(), now=coord.now() + LATER)


def clock_behind_commit(farm: Farm) -> None:
    farm.monkeypatch.setenv("GIT_COMMITTER_DATE", f"@{int(time.time()) + 90_000} +0000")
    git(farm.home, "commit", "-q", "--allow-empty", "-m", "from tomorrow")
    farm.monkeypatch.delenv("GIT_COMMITTER_DATE")


def record_from_the_future(farm: Farm) -> None:
    record = message(id=f"7Z{ID[2:]}", thread=f"7Z{ID[2:]}")
    with farm.open() as coord:
        coord.record(coord.event("mail.sent", "soon", [Change(keys.message("backend", record), codec.encode(record))]))


def inotify(farm: Farm) -> None:
    limits = farm.home.parent / "proc/sys/fs/inotify"
    limits.mkdir(parents=True)
    (limits / "max_user_watches").write_text("20\n")
    (limits / "max_user_instances").write_text("128\n")
    farm.monkeypatch.setattr(watches, "PROC", farm.home.parent / "proc")


def instances(farm: Farm) -> None:
    inotify(farm)
    (watches.PROC / "sys/fs/inotify/max_user_watches").write_text("5000\n")
    (watches.PROC / "sys/fs/inotify/max_user_instances").write_text("5\n")
    fds = watches.PROC / "42/fd"
    fds.mkdir(parents=True)
    (watches.PROC / "42/fdinfo").mkdir()
    for number in range(3):
        (fds / f"{number}").symlink_to("anon_inode:inotify")
        (watches.PROC / f"42/fdinfo/{number}").write_text("pos:\t0\ninotify wd:1 ino:2\n")


def config_wrong(farm: Farm) -> None:
    path = farm.home / ".coord.yaml"
    path.write_text(path.read_text().replace("coordinator:", "cordinator:"))


def config_missing(farm: Farm) -> None:
    (farm.home / ".coord.yaml").unlink()


def private_missing(farm: Farm) -> None:
    shutil.rmtree(farm.private)


def stale_lock(farm: Farm) -> None:
    script = """
import os, sys
from pathlib import Path
from coord.service.coord import Coord
with Coord.open(Path(sys.argv[1])).store.exclusive("leases"):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script, str(farm.home)], check=False).returncode == 9


def half_done(farm: Farm) -> None:
    coord = farm.open("backend")
    record = message(to=("frontend", "security"))
    changes = [Change(keys.message(name, record), codec.encode(record)) for name in record.to]
    coord.journal.append(coord.event("mail.sent", "backend -> all: hi", changes), dead())
    drop(farm.home, changes[0].key, changes[0].data or b"")


def uncommitted(farm: Farm) -> None:
    coord = farm.open("backend")
    record = message()
    change = Change(keys.message("frontend", record), codec.encode(record))
    event = coord.event("mail.sent", "backend -> frontend: hi", [change])
    coord.store.apply([change], commit=lambda: coord.journal.append(event, dead()))
    coord.journal.done(event.id)


def journal_state(farm: Farm) -> None:
    path = farm.private / "journal/state.json"
    path.write_bytes(path.read_bytes()[:30])


def journal_garbage(farm: Farm) -> None:
    (segment,) = (farm.private / "journal").glob("*.log")
    with segment.open("ab") as file:
        file.write(b"\ndeadbeef {}\n\n0000 what is this\n")


def journal_torn(farm: Farm) -> None:
    (segment,) = (farm.private / "journal").glob("*.log")
    with segment.open("ab") as file:
        file.write(b'\n12345678 {"ki')
    for path in (farm.private / "journal").iterdir():
        old(path)


def half_adopted(farm: Farm) -> None:
    drop(farm.home, "inbox/frontend/note.md~0123abcd.taken", b"From: owner\n\nby hand\n")


def temporary_files(farm: Farm) -> None:
    process = dead()
    name = f"{process.pid}~{process.started_at}~{process.boot.replace('/', '%2F')}~0123"
    drop(farm.private, f"tmp/{name}", b"half a mess")
    drop(farm.home, f"inbox/backend/.{name}", b"half a message")
    drop(farm.home, "inbox/.coord.tmp", b"half a mark")
    old(farm.home / "inbox/.coord.tmp")


def ticket(farm: Farm) -> None:
    process = dead()
    plain = f'{{"process": {{"pid": {process.pid}, "started_at": "{process.started_at}", "boot": "{process.boot}"}}}}'
    drop(farm.private, f"waiting/{ID}", plain.encode())


def bell(farm: Farm) -> None:
    folder = farm.private / "bells/daemon.bell"
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "0123456789abcdef.fifo")


def git_leftovers(farm: Farm) -> None:
    drop(farm.common, "objects/pack/tmp_pack_aB3dEf", b"PACK and no more")
    old(farm.common / "objects/pack/tmp_pack_aB3dEf")


def git_crashes(farm: Farm) -> None:
    drop(farm.common, "fast_import_crash_4711", b"it crashed\n")
    drop(farm.common, "objects/pack/pack-0123.keep", b"fast-import")
    for name in ("fast_import_crash_4711", "objects/pack/pack-0123.keep"):
        old(farm.common / name)


def git_lock(farm: Farm) -> None:
    for name in ("refs/heads/coord/ledger.lock", "index.lock"):
        drop(farm.common, name, b"")
        old(farm.common / name)


def ledger_missing(farm: Farm) -> None:
    git(farm.home, "update-ref", "-d", "refs/heads/coord/ledger")


def ledger_torn(farm: Farm) -> None:
    (farm.common / "refs/heads/coord/ledger").write_bytes(b"")


def ledger_of_nothing(farm: Farm) -> None:
    (farm.common / "refs/heads/coord/ledger").write_text(f"{'12' * 20}\n")


def ledger_rewound(farm: Farm) -> None:
    git(farm.home, "branch", "-f", "coord/ledger", "coord/ledger~3")


def ledger_diverged(farm: Farm) -> None:
    git(farm.home, "branch", "-f", "coord/ledger", "coord/ledger~3")
    coord = farm.open("backend")
    record = message()
    change = Change(keys.message("security", record), codec.encode(record))
    coord.ledger.append([coord.event("mail.sent", "elsewhere", [change])], parent=coord.ledger.tip(), now=coord.now())


def ledger_blocked(farm: Farm) -> None:
    git(farm.home, "update-ref", "-d", "refs/heads/coord/ledger")
    shutil.rmtree(farm.common / "refs/heads/coord", ignore_errors=True)
    git(farm.home, "branch", "coord")


def from_a_backup(farm: Farm) -> None:
    backup = farm.home.parent / "backup"
    shutil.copytree(farm.home / "inbox", backup)
    with farm.open("backend") as backend:
        for word in ("four", "five", "six"):
            mail.send(backend, ("frontend",), Prose(f"word {word}\n"))
    shutil.rmtree(farm.home / "inbox")
    backup.rename(farm.home / "inbox")


def edited(farm: Farm) -> None:
    with farm.mail().open("ab") as file:
        file.write(b"PS by hand\n")
    drop(farm.home, keys.message("backend", message()), codec.encode(message()))


def mailbox_missing(farm: Farm) -> None:
    shutil.rmtree(farm.home / "inbox/frontend")


def mailbox_is_a_link(farm: Farm) -> None:
    elsewhere = farm.home.parent / "elsewhere"
    (farm.home / "inbox/frontend").rename(elsewhere)
    (elsewhere / "by hand.md").write_text("From: owner\n\nin there\n")
    (farm.home / "inbox/frontend").symlink_to(elsewhere)


def inbox_is_a_link(farm: Farm) -> None:
    (farm.home / "inbox").rename(farm.home.parent / "elsewhere")
    (farm.home / "inbox").symlink_to("../elsewhere")


def emptied(farm: Farm) -> None:
    for path in (farm.home / "inbox").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def credential(farm: Farm) -> None:
    _, text = next(one for one in credentials.made(3) if "\n" not in one[1])
    with farm.mail().open("a") as file:
        file.write(f"\nthe key is {text}\n")


def torn(farm: Farm) -> None:
    farm.mail().write_bytes(b"---\nid: 01")
    drop(farm.home, f"checkpoints/backend/{ID}-x.md", b"no front matter\n")


def too_large(farm: Farm) -> None:
    with farm.mail().open("ab") as file:
        file.write(b"x" * (1 << 20))


def index_missing(farm: Farm) -> None:
    for path in farm.private.glob("index.db*"):
        path.unlink()


def index_damaged(farm: Farm) -> None:
    path = farm.private / "index.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


def index_wrong(farm: Farm) -> None:
    with closing(sqlite3.connect(farm.private / "index.db")) as database, database:
        database.execute("UPDATE records SET blob = ? WHERE live", ["f" * 40])


def index_without_tables(farm: Farm) -> None:
    with closing(sqlite3.connect(farm.private / "index.db")) as database:
        database.executescript("DROP TABLE events; DROP TABLE records")


def tracked(farm: Farm) -> None:
    git(farm.home, "add", "-f", str(farm.mail()))


def not_ignored(farm: Farm) -> None:
    (farm.common / "info/exclude").write_text("*.swp\n")


def unignored(farm: Farm) -> None:
    (farm.home / ".gitignore").write_text("!/locks\n")


def daemon_dead(farm: Farm) -> None:
    process = dead()
    plain = f'{{"process": {{"pid": {process.pid}, "started_at": "{process.started_at}", "boot": "{process.boot}"}}, '
    drop(farm.private, "daemon.json", f'{plain}"since": "2026-11-22T12:00:00Z"}}'.encode())


def worktree_gone(farm: Farm) -> None:
    worktrees.add(farm.open(), ("backend",))
    there = farm.home.parent / "agent-backend"
    git(there, "checkout", "-q", "--detach")
    git(there, "commit", "-q", "--allow-empty", "-m", "on no branch")
    shutil.rmtree(there)


def worktree_links(farm: Farm) -> None:
    worktrees.add(farm.open(), ("backend",))
    there = farm.home.parent / "agent-backend"
    (there / "locks").unlink()
    (there / "inbox").unlink()
    (there / "inbox").symlink_to("nowhere")


def worktree_cut_off(farm: Farm) -> None:
    worktrees.add(farm.open(), ("backend",))
    (farm.home.parent / "agent-backend/.git").write_text("gitdir: /nowhere/.git/worktrees/agent-backend\n")


Plant = Callable[[Farm], None]
MENDED: dict[Plant, str] = {
    unwritable: "no-access",
    unreadable: "no-access",
    world_writable: "world-writable",
    config_missing: "config-missing",
    private_missing: "private-missing",
    stale_lock: "stale-lock",
    half_done: "half-done",
    uncommitted: "uncommitted",
    journal_state: "journal-state",
    journal_garbage: "journal-garbage",
    journal_torn: "journal-garbage",
    half_adopted: "half-adopted",
    temporary_files: "temporary-files",
    ticket: "tickets-of-the-dead",
    bell: "bells-unheard",
    git_leftovers: "git-leftovers",
    git_crashes: "git-crashes",
    git_lock: "stale-git-lock",
    ledger_missing: "ledger-missing",
    ledger_torn: "ledger-missing",
    ledger_of_nothing: "ledger-missing",
    ledger_rewound: "ledger-rewound",
    ledger_diverged: "ledger-diverged",
    from_a_backup: "files-from-a-backup",
    edited: "edited-by-hand",
    mailbox_missing: "folder-missing",
    mailbox_is_a_link: "folder-is-a-link",
    inbox_is_a_link: "folder-is-a-link",
    emptied: "folder-emptied",
    torn: "record-damaged",
    too_large: "record-damaged",
    index_missing: "index-missing",
    index_damaged: "index-damaged",
    index_wrong: "index-damaged",
    index_without_tables: "index-damaged",
    not_ignored: "live-folder-not-ignored",
    daemon_dead: "daemon-dead",
    worktree_gone: "worktree-gone",
    worktree_links: "worktree-links",
    worktree_cut_off: "worktree-cut-off",
}
BY_HAND: dict[Plant, str] = {
    git_too_old: "git-too-old",
    network: "network-file-system",
    synced: "synced-folder",
    letter_case: "case-insensitive",
    clock_behind_ledger: "clock-behind-ledger",
    clock_behind_commit: "clock-behind-commit",
    record_from_the_future: "record-from-the-future",
    credential: "record-with-a-credential",
    inotify: "inotify-limit",
    instances: "inotify-limit",
    config_wrong: "config-wrong",
    ledger_blocked: "ledger-blocked",
    tracked: "live-folder-tracked",
    unignored: "live-folder-not-ignored",
}
EVERY = {**MENDED, **BY_HAND}
