"""Faults planted in what coord stands on: the machine, git, the configuration, processes, worktrees."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
from byhand import ID, drop, message
from farming import LATER, Farm, dead, old
from support import eventually, git

from coord.git import repo as repository
from coord.model import codec, keys
from coord.model.records import Change
from coord.service import worktrees
from coord.service.doctor import watches
from coord.service.guard import placing


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


def private_a_file(farm: Farm) -> None:
    private_missing(farm)
    farm.private.write_text("what is this?\n")


def misplaced(farm: Farm) -> None:
    """Folders and files have changed places, all that coord keeps."""
    for name in ("journal/state.json", "index.db", "daemon.json", "healed", "guards/doctor.lock"):
        swap(farm.private / name)


def misplaced_folders(farm: Farm) -> None:
    for name in ("journal", "guards", "bells", "tmp", "seen", "kept"):
        swap(farm.private / name)


def misplaced_journal(farm: Farm) -> None:
    swap(next((farm.private / "journal").glob("*.log")))


def swap(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text(f"instead of {path.name}\n")
    else:
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)
        (path / "within").write_text(f"instead of {path.name}\n")


def config_empty(farm: Farm) -> None:
    (farm.home / ".coord.yaml").write_text(" \n")


def bench_left(farm: Farm) -> None:
    drop(farm.private, "bench/repository/inbox/agent-000/x.md", b"words to measure with\n")


def disk_full(farm: Farm) -> None:
    _disk(farm, f_bavail=3)


def no_names_left(farm: Farm) -> None:
    _disk(farm, f_favail=0)


def read_only(farm: Farm) -> None:
    _disk(farm, f_flag=os.ST_RDONLY)


def _disk(farm: Farm, **given: int) -> None:
    told = {"f_flag": 0, "f_bavail": 1 << 30, "f_frsize": 4096, "f_files": 1 << 20, "f_favail": 1 << 20}
    farm.monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(**(told | given)))


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


DAEMON = """
import sys, time
from datetime import timedelta
from pathlib import Path
from coord.git import gate
from coord.git.repo import Git
top = Path(sys.argv[1])
step = gate.Step("test", sys.argv[2], timedelta(60), top / ".git/log")
running = gate.start(Git(top), "HEAD", (step,), folder=top / ".git/coord/gates")
while running.poll() is None:
    time.sleep(0.005)
"""


def left_running(farm: Farm) -> None:
    note = farm.home.parent / "began"
    with subprocess.Popen([sys.executable, "-c", DAEMON, str(farm.home), f'touch "{note}"; sleep 60']) as daemon:
        eventually(note.exists)
        daemon.kill()


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


def guard_missing(farm: Farm) -> None:
    placing.install(farm.open())
    (farm.common / "hooks/pre-commit").write_text("#!/bin/sh\necho anew\n")
