import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.git import history, names, stale
from coord.git.ledger import REF, Ledger
from coord.git.repo import Git
from coord.model import ids
from coord.model.errors import LedgerMoved, Refused, Unavailable
from coord.model.records import Change, Event

NOW = datetime(2026, 11, 22, 12, 3, 11, tzinfo=UTC)
LOCK = f".git/{REF}.lock"


def sh(cwd: Path, *args: str, stdin: str = "") -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True, input=stdin)
    return done.stdout.strip()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def event(*changes: Change, subject: str = "a -> b: hello", agent: str = "backend", at: datetime = NOW) -> Event:
    return Event(
        id=ids.ulid(at, os.urandom(10)), kind="mail.sent", agent=agent, subject=subject, at=at, changes=changes
    )


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "project"
    made.mkdir()
    sh(made, "init", "-q", "-b", "main")
    sh(made, "config", "user.name", "t")
    sh(made, "config", "user.email", "t@example.invalid")
    (made / "file").write_text("code\n")
    sh(made, "add", "file")
    sh(made, "commit", "-q", "-m", "start")
    return made


def fsck(top: Path) -> None:
    done = subprocess.run(["git", "fsck", "--strict", "--full"], cwd=top, capture_output=True, text=True, check=False)
    found = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(("dangling", "notice"))]
    assert (done.returncode, found) == (0, [])


def test_one_commit_for_each_event(top: Path) -> None:
    book = Ledger(Git(top))
    assert book.tip() is None
    first = event(Change("inbox/b/x.md", b"one"), Change("inbox/c/x.md", b"one"))
    second = event(Change("inbox/b/x.md", None), Change("inbox/b/read/x.md", b"one"), at=NOW + timedelta(seconds=5))
    third = event(subject="nothing changed")
    tip = book.append([first, second, third], parent=None, now=NOW + timedelta(hours=1))
    assert book.tip() == sh(top, "rev-parse", REF) == tip
    assert sh(top, "log", "--format=%ae %at %ct %ce", REF).splitlines() == [
        f"backend@coord.local {int(moment.timestamp())} {int(NOW.timestamp()) + 3600} coord@coord.local"
        for moment in (third.at, second.at, first.at)
    ]
    assert sorted(history.tree(Git(top), tip)) == ["inbox/b/read/x.md", "inbox/c/x.md"]
    assert sh(top, "show", f"{REF}:inbox/c/x.md") == "one"
    fsck(top)


def test_equal_contents_are_one_blob_and_a_batch_is_one_pack(top: Path) -> None:
    before = len(list((top / ".git/objects/pack").glob("*.pack")))
    batch = [event(Change(f"inbox/a{number}/x.md", b"the same")) for number in range(13)]
    tip = Ledger(Git(top)).append(batch, parent=None, now=NOW)
    assert len(set(history.tree(Git(top), tip).values())) == 1
    assert len(list((top / ".git/objects/pack").glob("*.pack"))) == before + 1


def test_a_thousand_events_in_a_batch(top: Path) -> None:
    batch = [event(Change(f"inbox/a{n % 13}/{n:04}.md", b"body %d" % n), subject=f"number {n}") for n in range(1000)]
    tip = Ledger(Git(top)).append(batch, parent=None, now=NOW)
    assert sh(top, "rev-list", "--count", tip) == "1000"
    assert len(history.tree(Git(top), tip)) == 1000
    assert [entry.id for entry in history.entries(Git(top))] == [one.id for one in batch]


def test_removing_what_is_not_there_is_no_error(top: Path) -> None:
    tip = Ledger(Git(top)).append([event(Change("inbox/none/x.md", None), Change("y", None))], parent=None, now=NOW)
    assert history.tree(Git(top), tip) == {}


def test_removing_what_git_could_never_hold_is_no_error(top: Path) -> None:
    tip = Ledger(Git(top)).append([event(Change("inbox/a/git~1", None))], parent=None, now=NOW)
    assert sh(top, "ls-tree", "-r", tip) == ""


def test_the_wrong_parent_is_refused_and_nothing_changes(top: Path) -> None:
    book = Ledger(Git(top))
    one = book.append([event()], parent=None, now=NOW)
    two = book.append([event()], parent=one, now=NOW)
    for wrong in (None, one, sh(top, "rev-parse", "main"), "0" * 40):
        with pytest.raises(LedgerMoved) as caught:
            book.append([event()], parent=wrong, now=NOW)
        assert caught.value.retryable
        assert book.tip() == two


def test_a_ledger_set_back_is_noticed(top: Path) -> None:
    book = Ledger(Git(top))
    one = book.append([event()], parent=None, now=NOW)
    two = book.append([event()], parent=one, now=NOW)
    sh(top, "update-ref", REF, one)
    with pytest.raises(LedgerMoved):
        book.append([event()], parent=two, now=NOW)
    sh(top, "update-ref", "-d", REF)
    with pytest.raises(LedgerMoved):
        book.append([event()], parent=one, now=NOW)
    assert book.tip() is None


def test_git_itself_refuses_what_moved_between_the_look_and_the_write(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, real = Ledger(Git(top)), Git.peek
    answers: list[str | None] = [None]

    def late(git: Git, common: Path, ref: str) -> str | None:
        return answers.pop(0) if answers else real(git, common, ref)

    first = book.append([event()], parent=None, now=NOW)
    monkeypatch.setattr(Git, "peek", late)
    with pytest.raises(LedgerMoved):
        book.append([event()], parent=None, now=NOW)
    second = book.append([event()], parent=first, now=NOW)
    answers.append(first)
    with pytest.raises(LedgerMoved):
        book.append([event()], parent=first, now=NOW)
    assert book.tip() == second


def test_packed_references_are_read(top: Path) -> None:
    book = Ledger(Git(top))
    one = book.append([event()], parent=None, now=NOW)
    sh(top, "pack-refs", "--all")
    assert not (top / ".git" / REF).exists()
    assert book.tip() == one
    assert book.append([event()], parent=one, now=NOW) == book.tip()
    fsck(top)


@pytest.mark.parametrize("mac", [False, True])
def test_when_it_returns_the_names_are_durable_too(top: Path, mac: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def note(descriptor: int, *_: int) -> int:
        synced.extend(str(path) for path in folders if os.path.samestat(path.stat(), os.fstat(descriptor)))
        return 0

    book = Ledger(Git(top))
    book.append([event()], parent=None, now=NOW)
    if mac:
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    else:
        monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    folders = [top / ".git/objects/pack", top / ".git/refs/heads/coord", top / ".git/refs/heads"]
    monkeypatch.setattr(*((fcntl, "fcntl", note) if mac else (os, "fsync", note)))
    book.append([event()], parent=book.tip(), now=NOW)
    assert synced == [str(folder) for folder in folders]


def test_the_users_index_head_and_files_are_untouched(top: Path) -> None:
    (top / "staged").write_text("x")
    sh(top, "add", "staged")
    files = [top / ".git" / name for name in ("index", "HEAD", "config", "refs/heads/main")]
    before = [file.read_bytes() for file in files]
    book, tip = Ledger(Git(top)), None
    for number in range(5):
        tip = book.append([event(Change(f"inbox/a/{number}.md", b"x"))], parent=tip, now=NOW)
    assert [file.read_bytes() for file in files] == before
    assert sh(top, "status", "--porcelain") == "A  staged"
    assert sh(top, "branch", "--list", "--format=%(refname:short)").splitlines() == ["coord/ledger", "main"]


def test_it_needs_no_identity_and_runs_no_hook(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = top / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    sh(top, "config", "--unset", "user.name")
    sh(top, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_INDEX_FILE", str(top / "elsewhere"))
    assert Ledger(Git(top)).append([event()], parent=None, now=NOW)
    assert not (top / "ran").exists()


def test_a_branch_in_the_way_is_named(top: Path) -> None:
    sh(top, "branch", "coord")
    with pytest.raises(Refused, match="a branch named coord ") as caught:
        Ledger(Git(top)).append([event()], parent=None, now=NOW)
    assert "git branch -m coord" in caught.value.hint


def test_it_works_from_a_linked_worktree_and_in_a_sha256_repository(top: Path) -> None:
    other = top.parent / "other"
    sh(top, "worktree", "add", "-q", str(other), "-b", "x")
    assert Ledger(Git(other)).append([event()], parent=None, now=NOW) == sh(top, "rev-parse", REF)
    made = top.parent / "sha256"
    sh(top.parent, "init", "-q", "--object-format=sha256", str(made))
    book = Ledger(Git(made))
    one = book.append([event(Change("inbox/a/x.md", b"x"))], parent=None, now=NOW)
    assert len(book.append([event()], parent=one, now=NOW)) == 64
    assert history.tree(Git(made), one) == {"inbox/a/x.md": history.blob_id(b"x", "sha256")}


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("any")
    sh(made, "init", "-q")
    return made


@settings(deadline=None, print_blob=True, max_examples=60)
@given(st.lists(TEXT.filter(names.fits), min_size=1, max_size=6), TEXT, TEXT, st.binary())
def test_any_key_subject_agent_and_body_come_back(
    one_for_all: Path, names: list[str], subject: str, agent: str, body: bytes
) -> None:
    git, keys = Git(one_for_all), {f"inbox/a/{name}" for name in names}
    one, two = event(*(Change(key, body) for key in sorted(keys)), subject=subject, agent=agent), event()
    ref = f"refs/heads/coord/{one.id}"
    tip = Ledger(git, ref).append([one, two], parent=None, now=NOW)
    assert set(history.tree(git, tip)) == keys
    assert [entry.id for entry in history.entries(git, until=ref)] == [one.id, two.id]


def test_what_any_key_subject_and_agent_left_is_sound(one_for_all: Path) -> None:
    fsck(one_for_all)


@pytest.mark.parametrize(
    "subject", ["x\n\nCoord-Id: forged", "x\0y", "\x1b[31m", "\ndone\n", "M 100644 :1 x", "é" * 200]
)
def test_hostile_subjects_forge_nothing(top: Path, subject: str) -> None:
    sent = event(Change("inbox/a/x.md", b"commit refs/heads/main\ndone\n"), subject=subject, agent="a <b>\nx")
    tip = Ledger(Git(top)).append([sent], parent=None, now=NOW)
    (found,) = history.entries(Git(top))
    assert (found.commit, found.id) == (tip, sent.id)
    assert history.ids_in(Git(top), None, tip) == {sent.id}
    fsck(top)


@pytest.mark.parametrize(
    "key", ["", "a//b", "../x", "a/./b", "/x", "a/", ".git/config", "a/.GIT/x", "a/.g\u200cit", "git~1", ".gitmodules",
            ".git::$INDEX_ALLOCATION", ".git .", "a\0b", "inbox/.dead/..", "gi7eba~1"]
)  # fmt: skip
def test_keys_that_git_would_not_take_are_refused(top: Path, key: str) -> None:
    assert not names.fits(key)
    with pytest.raises(Refused, match="cannot be a path"):
        Ledger(Git(top)).append([event(Change(key, b"x"))], parent=None, now=NOW)
    assert Ledger(Git(top)).tip() is None


def test_bytes_that_are_no_text_are_a_fine_name(top: Path) -> None:
    key = os.fsdecode(b'inbox/.dead/\xff\xfe\n"x\\.md')
    tip = Ledger(Git(top)).append([event(Change(key, b"x"))], parent=None, now=NOW)
    assert list(history.tree(Git(top), tip)) == [key]
    assert [change[1] for entry in history.entries(Git(top)) for change in entry.changes] == [key]


def test_a_lock_left_by_a_killed_git_is_taken_away(top: Path) -> None:
    book = Ledger(Git(top))
    one = book.append([event()], parent=None, now=NOW)
    (top / LOCK).touch()
    assert book.append([event()], parent=one, now=NOW) == book.tip() != one
    assert not (top / LOCK).exists()


def test_a_lock_is_left_to_a_living_git(top: Path) -> None:
    hook = top / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n[ $1 = prepared ] || exit 0\ntouch held\nwhile [ -e held ]; do sleep 0.05; done\n")
    hook.chmod(0o755)
    book = Ledger(Git(top))
    one = book.append([event()], parent=None, now=NOW)
    with subprocess.Popen(["git", "update-ref", REF, "main"], cwd=top) as slow:
        try:
            until((top / "held").exists)
            with pytest.raises(Unavailable, match=f"process {slow.pid}"):
                book.append([event()], parent=one, now=NOW)
        finally:
            (top / "held").unlink()
    assert slow.returncode == 0
    assert book.tip() == sh(top, "rev-parse", "main")


@pytest.mark.parametrize("where", ["elsewhere", "here", "by name", "told so", "told elsewhere"])
def test_a_git_that_works_elsewhere_owns_no_lock_here(top: Path, where: str) -> None:
    other = top.parent / "other"
    sh(top.parent, "init", "-q", str(other))
    book = Ledger(Git(top))
    book.append([event()], parent=None, now=NOW)
    named = [f"--git-dir={top / '.git'}"] if where == "by name" else []
    command = ["git", *named, "-c", f"alias.slow=!touch {top}/in; sleep 60 & wait", "slow"]
    place = top if where == "here" else other
    told = {"told so": "../project/.git", "told elsewhere": ".git"}
    env = os.environ | ({"GIT_DIR": told[where]} if where in told else {})
    with subprocess.Popen(command, cwd=place, env=env, start_new_session=True) as slow:
        try:
            until((top / "in").exists)
            until(lambda: time.time() - slow_since(slow) > 0.1)
            (top / LOCK).touch()
            if "elsewhere" in where:
                assert stale.remove(top / LOCK, top / ".git", watch=0.05)
            else:
                with pytest.raises(Unavailable, match=f"process {slow.pid}"):
                    stale.remove(top / LOCK, top / ".git", watch=0.05)
        finally:
            os.killpg(slow.pid, signal.SIGKILL)
    assert (top / LOCK).exists() == ("elsewhere" not in where)


def test_a_git_that_only_packs_owns_no_lock(top: Path) -> None:
    book = Ledger(Git(top))
    book.append([event()], parent=None, now=NOW)
    packing = ["git", "-c", "pack.threads=1", "pack-objects", "-q", "--stdout"]
    with subprocess.Popen(packing, cwd=top, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as slow:
        until(lambda: time.time() - slow_since(slow) > 0.1)
        (top / LOCK).touch()
        assert stale.remove(top / LOCK, top / ".git", watch=0.05)
        slow.kill()


def slow_since(process: subprocess.Popen[bytes]) -> float:
    return psutil.Process(process.pid).create_time()


def test_a_lock_that_changes_hands_is_in_use(top: Path) -> None:
    lock = top / "x.lock"
    lock.touch()
    busy = threading.Event()

    def others() -> None:
        while not busy.wait(0.01):
            os.utime(lock)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        with pytest.raises(Unavailable, match="in use"):
            stale.remove(lock, top / ".git", watch=0.2)
    finally:
        busy.set()
        thread.join()
    assert stale.remove(lock, top / ".git", watch=0.05)
    assert not stale.remove(lock, top / ".git")
