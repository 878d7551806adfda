"""The daemon itself, with a remote that does not answer, and killed while it pushes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from queueing import ask, branch, configure, queue
from support import eventually, git

from coord.service import mail, merges, watching
from coord.service.coord import Coord

As = Callable[..., Coord]


def watch(repo: Path, *more: str, **env: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "coord", "--repo", str(repo), "watch", *more]
    log = (repo.parent / "daemon.log").open("ab")
    with log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **env})


def test_a_remote_that_never_answers_holds_up_nothing_else(repo: Path, coord_for: As) -> None:
    ssh = repo.parent / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\necho $$ > {ssh}.pid\nexec sleep 600\n")
    ssh.chmod(0o755)
    configure(repo, "push: origin, ungated: allow")
    git(repo, "remote", "add", "origin", "ssh://nobody@example.invalid/far.git")
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    daemon = watch(repo, PATH=f"{ssh.parent}:{os.environ['PATH']}")
    noted = ssh.with_name("ssh.pid")
    eventually(lambda: noted.exists() and noted.read_text(), within=60, what="the remote is asked")
    asked = int(noted.read_text())
    (repo / "inbox/auto/x.md").write_text("---\nfrom: backend\n---\nweb_app/index.html is broken\n")
    eventually(lambda: mail.list_(coord_for("frontend")).unread == 1, within=30, what="routing")
    (late,) = ask(coord_for("frontend"), branch(repo, "late", {"late": "x\n"}))
    assert merges.cancel(coord_for("frontend"), late.id).state == "cancelled"
    assert psutil.pid_exists(asked) and len(queue(coord_for("owner"))) == 1
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0
    eventually(lambda: not psutil.pid_exists(asked), what="ssh ended")


def test_killed_while_it_pushes_the_next_daemon_settles_it(repo: Path, coord_for: As) -> None:
    far = repo.parent / "far.git"
    git(repo, "init", "-q", "--bare", "-b", "main", str(far))
    git(repo, "remote", "add", "origin", str(far))
    configure(repo, "push: origin, test: 'true'")
    git(repo, "push", "-q", "origin", "main")
    (far / "hooks/pre-receive").write_text("#!/bin/sh\ntouch seen; while ! test -e go; do sleep 0.02; done\n")
    (far / "hooks/pre-receive").chmod(0o755)
    (made,) = ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    before = git(repo, "rev-parse", "main")
    first = watch(repo)
    eventually((far / "seen").exists, within=60, what="the push")
    first.kill()
    first.wait()
    assert git(repo, "rev-parse", "main") == git(far, "rev-parse", "main") == before
    (one,) = queue(coord_for("owner"))
    assert (one.id, one.state) == (made.id, "landing")
    (far / "go").touch()
    second = watch(repo)
    eventually(lambda: not queue(coord_for("owner")), within=60, what="it lands")
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == 0
    assert git(repo, "rev-parse", "main") == git(far, "rev-parse", "main") == one.candidate
    assert (repo / "good").exists() and git(repo, "status", "--porcelain") == ""
    assert watching.find(coord_for("owner")).state != "running"
    told = [item.message.subject for item in mail.list_(coord_for("backend")).items]
    assert [subject for subject in told if subject.startswith("merged")] == ["merged: work into main (passed)"]


def test_once_pushes_what_waits_and_ends_where_the_remote_is_gone(repo: Path, coord_for: As) -> None:
    far = repo.parent / "far.git"
    git(repo, "remote", "add", "origin", str(far))
    configure(repo, "push: origin, ungated: allow")
    ask(coord_for("backend"), branch(repo, "work", {"good": "x\n"}))
    assert watch(repo, "--once").wait(120) == 0
    (one,) = queue(coord_for("owner"))
    assert "origin cannot be reached" in one.result
    git(repo, "init", "-q", "--bare", "-b", "main", str(far))
    assert watch(repo, "--once").wait(120) == 0
    assert not queue(coord_for("owner")) and git(repo, "rev-parse", "main") == git(far, "rev-parse", "main")
