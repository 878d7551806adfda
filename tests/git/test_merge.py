import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import eventually
from support import git as sh

from coord.git import merge, worktree
from coord.git.repo import Git
from coord.model.errors import Conflict, NotFound, Refused, Unavailable

HOSTILE = 'new\nline "q" \x01 é'
AT = datetime(2026, 11, 22, 12, 3, 11, tzinfo=UTC)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve()
    sh(made, "init", "-q", "-b", "main")
    sh(made, "config", "user.name", "t")
    sh(made, "config", "user.email", "t@example.invalid")
    save(made, {"a": b"a\n1\n2\n", "b": b"b\n", "bin": b"\0x", "rn": b"1\n2\n3\n4\n", HOSTILE: b"x\n"}, "start")
    return made


def save(top: Path, files: dict[str, bytes | None], subject: str, branch: str = "") -> str:
    if branch:
        sh(top, "checkout", "-q", "-B", branch, "main")
    for name, data in files.items():
        if data is None:
            (top / name).unlink()
        else:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(data)
    sh(top, "add", "-A")
    sh(top, "commit", "-q", "--allow-empty", "-m", subject)
    return sh(top, "rev-parse", "HEAD")


def parted(top: Path, one: dict[str, bytes | None], two: dict[str, bytes | None]) -> merge.Prediction:
    save(top, one, "one", "one")
    save(top, two, "two", "two")
    return merge.predict(Git(top), "one", "two")


def test_a_clean_merge_gives_the_tree_that_git_merge_gives(top: Path) -> None:
    found = parted(top, {"a": b"0\na\n1\n2\n", "d/new": b"n"}, {"a": b"a\n1\n2\n3\n"})
    assert found.clean and found.conflicts == ()
    sh(top, "checkout", "-q", "one")
    sh(top, "merge", "-q", "--no-edit", "two")
    assert sh(top, "rev-parse", "HEAD^{tree}") == found.tree


@pytest.mark.parametrize(
    ("one", "two", "paths"),
    [
        ({"a": b"one\n"}, {"a": b"two\n"}, {"a"}),
        ({"b": None}, {"b": b"b\n2\n"}, {"b"}),
        ({"bin": b"\0one"}, {"bin": b"\0two"}, {"bin"}),
        ({"n": b"one"}, {"n": b"two"}, {"n"}),
        ({"rn": None, "r1": b"1\n2\n3\n4\n"}, {"rn": None, "r2": b"1\n2\n3\n4\n"}, {"rn", "r1", "r2"}),
        ({HOSTILE: b"one"}, {HOSTILE: b"two"}, {HOSTILE}),
        ({"a": None, "a/x": b"1"}, {"a": b"two"}, set()),
    ],
)
def test_conflicts_name_their_paths(
    top: Path, one: dict[str, bytes | None], two: dict[str, bytes | None], paths: set[str]
) -> None:
    found = parted(top, one, two)
    assert not found.clean
    assert set(found.conflicts) == paths or (not paths and found.conflicts)
    assert sh(top, "cat-file", "-t", found.tree) == "tree"


def test_a_submodule_that_both_sides_moved(top: Path) -> None:
    commits = [save(top, {"b": str(n).encode()}, str(n), "elsewhere") for n in range(3)]
    sh(top, "checkout", "-q", "main")
    for branch, commit in (("", commits[0]), ("one", commits[1]), ("two", commits[2])):
        if branch:
            sh(top, "checkout", "-q", "-B", branch, "main")
        sh(top, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
        sh(top, "commit", "-q", "-m", "sub")
    found = merge.predict(Git(top), "one", "two")
    assert not found.clean and found.conflicts == ("sub",)


def test_what_cannot_be_merged_is_refused_with_a_word(top: Path) -> None:
    git = Git(top)
    sh(top, "checkout", "-q", "--orphan", "lone")
    sh(top, "commit", "-q", "-m", "lone")
    with pytest.raises(Refused, match="share no history"):
        merge.predict(git, "main", "lone")
    for name in ("nothing", "--help", "main:a"):
        with pytest.raises(NotFound, match="names no commit"):
            merge.predict(git, "main", name)


def test_touched_by_tells_who_changed_it_on_each_side(top: Path) -> None:
    save(top, {HOSTILE: b"0"}, "before they part")
    save(top, {"a": b"one\n"}, "one changed a", "one")
    save(top, {"b": b"one\n"}, "one changed b")
    save(top, {"a": b"one more\n"}, "one changed a \x1b[31magain")
    save(top, {"a": b"two\n", HOSTILE: b"2"}, "two changed both", "two")
    git = Git(top)
    found = merge.touched_by(git, "one", "two", ["a", HOSTILE])
    assert [(touch.side, touch.author) for touch in found] == [("base", "t"), ("base", "t"), ("head", "t")]
    assert found[1].subject == "one changed a" and found[2].subject == "two changed both"
    assert "\x1b" not in found[0].subject
    assert found[0].commit == sh(top, "rev-parse", "one")
    many = merge.touched_by(git, "one", "two", [*(f"no/such{n}" for n in range(1200)), "b"])
    assert [touch.subject for touch in many] == ["one changed b"]
    assert merge.touched_by(git, "one", "two", [":(glob)**"]) == ()
    assert merge.touched_by(git, "one", "two", []) == ()


def test_commit_and_move_publish_a_merge(top: Path) -> None:
    found = parted(top, {"c": b"c"}, {"d": b"d"})
    git = Git(top)
    one, two = (sh(top, "rev-parse", name) for name in ("one", "two"))
    made = merge.commit(git, found.tree, [one, two], "title é\n\n#body\n", author=("backend", "b@coord.local"), at=AT)
    shown = sh(top, "log", "-1", "--format=%an|%ae|%cn|%at|%ct|%P|%B", made)
    assert (
        shown == f"backend|b@coord.local|coord|{int(AT.timestamp())}|{int(AT.timestamp())}|{one} {two}|title é\n\n#body"
    )
    assert not merge.already_in(git, "one", "two")
    merge.move(git, "refs/heads/one", made, one, message="coord: landed")
    assert merge.already_in(git, "one", "two") and sh(top, "rev-parse", "one") == made
    assert "coord: landed" in sh(top, "reflog", "show", "one")
    with pytest.raises(Conflict, match="refs/heads/one moved") as caught:
        merge.move(git, "refs/heads/one", made, one)
    assert caught.value.facts["found"] == made
    with pytest.raises(Conflict):
        merge.move(git, "refs/heads/two", made, "")
    with pytest.raises(Conflict, match="at nothing"):
        merge.move(git, "refs/heads/none", made, one)
    with pytest.raises(Unavailable, match="cannot be moved"):
        merge.move(git, "refs/heads/one/below", two, "")


@pytest.mark.parametrize("place", [".", "../linked"])
def test_a_move_takes_away_what_a_killed_git_left_locked_and_leaves_a_living_ones(top: Path, place: str) -> None:
    save(top, {"a": b"one\n"}, "one", "one")
    one = sh(top, "rev-parse", "one")
    two = sh(top, "commit-tree", "-p", one, "-m", "two", "one^{tree}")
    sh(top, "checkout", "-q", "--detach")
    if place != ".":
        sh(top, "worktree", "add", "-q", "--detach", place)
    git = Git(top / place)
    sh(git.cwd, "checkout", "-q", "one")
    locks = [top / ".git/refs/heads/one.lock", worktree.private(git) / "HEAD.lock"]
    words = ["git", "update-ref", "--stdin"]
    with subprocess.Popen(words, cwd=git.cwd, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as other:
        assert other.stdin is not None
        other.stdin.write(f"start\nupdate refs/heads/one {two}\nprepare\n".encode())
        other.stdin.flush()
        eventually(lambda: all(lock.exists() for lock in locks), what="locking")
        with pytest.raises(Unavailable, match=f"process {other.pid}"):
            merge.move(git, "refs/heads/one", two, one)
        other.kill()
    assert all(lock.exists() for lock in locks)
    merge.move(git, "refs/heads/one", two, one)
    assert sh(top, "rev-parse", "one") == two
    assert not any(lock.exists() for lock in locks)


def test_merging_touches_neither_checkout_nor_index(top: Path) -> None:
    save(top, {"a": b"one\n"}, "one", "one")
    save(top, {"b": b"two\n"}, "two", "two")
    (top / "a").write_bytes(b"dirty")
    index = (top / ".git/index").read_bytes()
    found = merge.predict(Git(top), "one", "two")
    merge.commit(Git(top), found.tree, ["one", "two"], "m", author=("x", "x@x"), at=AT)
    assert (top / ".git/index").read_bytes() == index
    assert (top / "a").read_bytes() == b"dirty"
    assert sh(top, "symbolic-ref", "HEAD") == "refs/heads/two"


def test_already_in(top: Path) -> None:
    git = Git(top)
    save(top, {"a": b"1"}, "one", "one")
    assert merge.already_in(git, "one", "main") and not merge.already_in(git, "main", "one")
    with pytest.raises(NotFound):
        merge.already_in(git, "main", "nothing")
