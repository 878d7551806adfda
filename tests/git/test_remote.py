"""A branch at a real remote: looked at, moved, refused, and what is said where it cannot be reached."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from support import eventually
from support import git as sh

from coord.git import remote
from coord.git.remote import Answer, Call
from coord.git.repo import Git


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "here"
    made.mkdir()
    sh(made, "init", "-q", "-b", "main")
    sh(made, "init", "-q", "--bare", "-b", "main", "../far.git")
    sh(made, "remote", "add", "origin", "../far.git")
    return made


def commit(top: Path, subject: str) -> str:
    sh(top, "commit", "-q", "--allow-empty", "-m", subject)
    return sh(top, "rev-parse", "HEAD")


def ended(call: Call) -> Answer:
    eventually(call.poll, within=30)
    answer = call.poll()
    assert answer is not None
    return answer


def push(top: Path, new: str, old: str) -> Answer:
    return ended(remote.push(Git(top), "origin", "main", new, old))


def look(top: Path, *, rewritten: bool = False) -> Answer:
    return ended(remote.look(Git(top), "origin", "main", rewritten=rewritten))


def far(top: Path) -> str:
    return sh(top.parent / "far.git", "rev-parse", "main")


def hook(top: Path, name: str, text: str) -> None:
    path = top.parent / "far.git/hooks" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_branch_is_made_moved_and_looked_at(top: Path) -> None:
    one = commit(top, "one")
    assert look(top).outcome == "absent"
    assert push(top, one, "") == Answer("done") and far(top) == one
    two = commit(top, "two")
    assert push(top, two, one) == Answer("done") and far(top) == two
    assert look(top) == Answer("done") and sh(top, "rev-parse", remote.ref("origin", "main")) == two
    assert not (top / ".git/FETCH_HEAD").exists()
    sh(top, "update-ref", "refs/remotes/origin/main", one)
    assert look(top) == Answer("done") and sh(top, "rev-parse", "origin/main") == one, "not seen by its owner"
    assert push(top, two, one) == Answer("done"), "it is there already"


@pytest.mark.parametrize("expected", ["", "one"])
def test_it_moves_only_from_where_it_was_expected_to_be(top: Path, expected: str) -> None:
    one = commit(top, "one")
    push(top, one, "")
    two = commit(top, "two")
    push(top, two, one)
    sh(top, "reset", "-q", "--hard", one)
    assert push(top, commit(top, "mine"), one if expected else "").outcome == "moved"
    assert far(top) == two


@pytest.mark.parametrize("name", ["pre-receive", "update"])
def test_one_that_moves_while_it_is_pushed_is_not_overwritten(top: Path, name: str) -> None:
    """The expectation is looked at here, before the push: the remote itself must hold to it as well."""
    one = commit(top, "one")
    push(top, one, "")
    two = commit(top, "two")
    sh(top, "push", "-q", "origin", f"{two}:refs/heads/other")
    hook(top, name, f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {two} {one}")
    sh(top, "reset", "-q", "--hard", one)
    assert push(top, commit(top, "mine"), one).outcome == "moved"
    assert far(top) == two


def test_one_whose_lock_is_held_is_not_taken_for_moved(top: Path) -> None:
    one = commit(top, "one")
    push(top, one, "")
    (top.parent / "far.git/refs/heads/main.lock").touch()
    assert push(top, commit(top, "mine"), one).outcome == "unreachable"
    assert far(top) == one


@pytest.mark.parametrize(
    ("name", "words"),
    [("pre-receive", "pre-receive hook declined"), ("update", "hook declined")],
)
def test_what_a_hook_of_the_remote_refuses_is_refused_in_its_words(top: Path, name: str, words: str) -> None:
    hook(top, name, "echo 'main is protected: \x1b[31mopen a pull request' >&2; exit 1")
    answer = push(top, commit(top, "one"), "")
    assert answer.outcome == "refused" and words in answer.words
    assert "remote: main is protected: open a pull request" in answer.words.splitlines()
    assert "failed to push" not in answer.words and "\x1b" not in answer.words


def test_a_branch_that_is_checked_out_there_is_refused(top: Path) -> None:
    one = commit(top, "one")
    push(top, one, "")
    sh(top.parent / "far.git", "config", "core.bare", "false")
    assert push(top, commit(top, "two"), one).outcome == "refused"


def test_what_was_rewritten_there_is_taken_only_where_that_is_asked(top: Path) -> None:
    one, two = commit(top, "one"), commit(top, "two")
    push(top, two, "")
    assert look(top).outcome == "done"
    sh(top.parent / "far.git", "update-ref", "refs/heads/main", one)
    assert look(top).outcome == "moved" and sh(top, "rev-parse", remote.ref("origin", "main")) == two
    assert look(top, rewritten=True).outcome == "done" and sh(top, "rev-parse", remote.ref("origin", "main")) == one


def test_one_that_cannot_be_reached_says_why(top: Path) -> None:
    one = commit(top, "one")
    sh(top, "remote", "set-url", "origin", str(top.parent / "gone.git"))
    for answer in (look(top), push(top, one, "")):
        assert answer.outcome == "unreachable" and "does not appear to be a git repository" in answer.words


def stand_in(top: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """Put a program called ssh before the real one; returns where it notes what it was given."""
    folder, noted = top.parent / "bin", top.parent / "noted"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\necho "$@" >> {noted}\n{text}\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    sh(top, "remote", "set-url", "origin", "ssh://nobody@example.invalid/far.git")
    return noted


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


class _Asks(BaseHTTPRequestHandler):
    """A host that lets nobody in without a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="far"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@contextmanager
def serving() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Asks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_ssh_is_told_not_to_ask(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = stand_in(top, monkeypatch, "! (: </dev/tty) 2>/dev/null && echo 'Permission denied' >&2; exit 255")
    sh(top, "config", "core.sshCommand", "ssh -i my.key")
    answer = look(top)
    assert answer.outcome == "unreachable" and "Permission denied" in answer.words
    assert noted.read_text().startswith("-i my.key -o BatchMode=yes")


def test_nobody_is_asked_for_a_password(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = top.parent / "asked"
    monkeypatch.setenv("GIT_ASKPASS", f"touch {asked}; echo")
    monkeypatch.setenv("SSH_ASKPASS", f"touch {asked}; echo")
    sh(top, "config", "core.askPass", f"touch {asked}; echo")
    with serving() as port:
        sh(top, "remote", "set-url", "origin", f"http://127.0.0.1:{port}/far.git")
        answer = look(top)
    assert answer.outcome == "unreachable" and "terminal prompts disabled" in answer.words
    assert not asked.exists()


def test_one_that_never_answers_is_ended_with_all_that_it_started(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = stand_in(top, monkeypatch, "echo $$ >> noted-pid; exec sleep 600")
    call = remote.look(Git(top), "origin", "main", rewritten=False, limit=0.2)
    eventually(noted.exists)
    answer = ended(call)
    assert answer == Answer("unreachable", "it took too long and was ended")
    pid = int((top / "noted-pid").read_text())
    eventually(lambda: not alive(pid), what="ssh ended")


def test_one_that_is_stopped_leaves_nothing_at_work(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(top, monkeypatch, "trap '' TERM; echo $$ >> noted-pid; sleep 600 & wait; sleep 600")
    call = remote.look(Git(top), "origin", "main", rewritten=False)
    eventually((top / "noted-pid").exists)
    call.stop()
    pid = int((top / "noted-pid").read_text())
    eventually(lambda: not alive(pid), what="ssh ended")
