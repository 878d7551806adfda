"""Faults planted in the ledger, the journal, the live folders and the index; and all of them with their codes."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import credentials
import planted_ground as ground
from byhand import ID, drop, message
from farming import Farm, dead, old
from support import git

from coord.model import codec, keys
from coord.model.records import Change
from coord.service import mail
from coord.service.command import Prose


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


def ledger_missing(farm: Farm) -> None:
    git(farm.home, "update-ref", "-d", "refs/heads/coord/ledger")


def ledger_torn(farm: Farm) -> None:
    (farm.common / "refs/heads/coord/ledger").write_bytes(b"")


def ledger_of_nothing(farm: Farm) -> None:
    (farm.common / "refs/heads/coord/ledger").write_text(f"{'12' * 20}\n")


def ledger_of_code(farm: Farm) -> None:
    git(farm.home, "update-ref", "refs/heads/coord/ledger", "main")


def ledger_a_blob(farm: Farm) -> None:
    blob = git(farm.home, "rev-parse", "main:README.md")
    (farm.common / "refs/heads/coord/ledger").write_text(f"{blob}\n")


def ledger_a_tree(farm: Farm) -> None:
    tree = git(farm.home, "rev-parse", "main^{tree}")
    (farm.common / "refs/heads/coord/ledger").write_text(f"{tree}\n")


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


def for_nobody(farm: Farm) -> None:
    for key in (
        "inbox/x.md",
        "inbox/ghost/a.md",
        "inbox/merges/m.md",
        "inbox/backend/sub/s.md",
        "inbox/owner/read/r.md",
    ):
        drop(farm.home, key, b"hello?\n")
        old(farm.home / key)


def index_missing(farm: Farm) -> None:
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (farm.private / name).unlink(missing_ok=True)


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


Plant = Callable[[Farm], None]
MENDED: dict[Plant, str] = {
    ground.unwritable: "no-access",
    ground.unreadable: "no-access",
    ground.world_writable: "world-writable",
    ground.config_missing: "config-missing",
    ground.private_missing: "private-missing",
    ground.private_a_file: "private-missing",
    ground.misplaced: "private-misplaced",
    ground.misplaced_folders: "private-misplaced",
    ground.misplaced_journal: "private-misplaced",
    ground.config_empty: "config-empty",
    ground.bench_left: "bench-left",
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
    ground.git_leftovers: "git-leftovers",
    ground.git_crashes: "git-crashes",
    ground.git_lock: "stale-git-lock",
    ledger_missing: "ledger-missing",
    ledger_torn: "ledger-missing",
    ledger_of_nothing: "ledger-missing",
    ledger_of_code: "ledger-foreign",
    ledger_a_blob: "ledger-foreign",
    ledger_a_tree: "ledger-foreign",
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
    ground.not_ignored: "live-folder-not-ignored",
    ground.daemon_dead: "daemon-dead",
    ground.left_running: "test-left-running",
    ground.worktree_gone: "worktree-gone",
    ground.worktree_links: "worktree-links",
    ground.worktree_cut_off: "worktree-cut-off",
    ground.guard_missing: "guard-missing",
}
BY_HAND: dict[Plant, str] = {
    ground.git_too_old: "git-too-old",
    ground.network: "network-file-system",
    ground.synced: "synced-folder",
    ground.disk_full: "disk-full",
    ground.no_names_left: "disk-full",
    ground.read_only: "read-only",
    ground.letter_case: "case-insensitive",
    ground.clock_behind_ledger: "clock-behind-ledger",
    ground.clock_behind_commit: "clock-behind-commit",
    ground.record_from_the_future: "record-from-the-future",
    credential: "record-with-a-credential",
    for_nobody: "mail-for-nobody",
    ground.inotify: "inotify-limit",
    ground.instances: "inotify-limit",
    ground.config_wrong: "config-wrong",
    ledger_blocked: "ledger-blocked",
    ground.tracked: "live-folder-tracked",
    ground.unignored: "live-folder-not-ignored",
}
EVERY = {**MENDED, **BY_HAND}
