"""What a merge leaves to people: versions and lines of each path in conflict."""

from pathlib import Path

import pytest
from support import git as sh

from coord.git import conflict, merge
from coord.git.conflict import Clash, Hunk
from coord.git.repo import Git

Files = dict[str, bytes | None]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path.resolve()
    sh(made, "init", "-q", "-b", "main")
    return made


def save(top: Path, branch: str, files: Files) -> str:
    sh(top, "checkout", "-q", "-B", branch, *(["main"] if branch != "main" else []))
    for name, data in files.items():
        if data is None:
            (top / name).unlink()
        else:
            (top / name).write_bytes(data)
    sh(top, "add", "-A")
    sh(top, "commit", "-q", "--allow-empty", "-m", branch)
    return sh(top, "rev-parse", "HEAD")


def found(top: Path, start: Files, ours: Files, theirs: Files, most: int = 99) -> dict[str, Clash]:
    save(top, "main", start)
    one, two = save(top, "one", ours), save(top, "two", theirs)
    return {clash.path: clash for clash in conflict.clashes(Git(top), one, two, most=most)}


def test_each_place_has_what_the_base_and_both_sides_have(top: Path) -> None:
    start = b"a\nb\nc\nd\ne\nf\ng\n"
    (clash,) = found(top, {"f": start}, {"f": b"a\n1\nc\nd\ne\n2\ng\n"}, {"f": b"a\nx\ny\nc\nd\ne\ng\n"}).values()
    assert clash.hunks == (Hunk(2, b"b", b"1", b"x\ny"), Hunk(6, b"f", b"2", b""))
    blobs = [sh(top, "rev-parse", f"{branch}:f") for branch in ("main", "one", "two")]
    assert [clash.base, clash.ours, clash.theirs] == blobs


def test_a_file_that_one_side_removed_or_both_made_says_so(top: Path) -> None:
    start: Files = {"gone": b"x\n", "kept": b"k\n"}
    clashes = found(top, start, {"gone": None, "new": b"1\n"}, {"gone": b"y\n", "new": b"2\n"})
    assert set(clashes) == {"gone", "new"}
    assert not clashes["gone"].ours and clashes["gone"].theirs and not clashes["gone"].hunks
    assert not clashes["new"].base and clashes["new"].hunks == (Hunk(1, b"", b"1", b"2"),)


def test_binary_and_huge_files_have_no_lines(top: Path) -> None:
    huge = b"line\n" * 300_000
    start: Files = {"bin": b"\0a", "huge": huge}
    clashes = found(top, start, {"bin": b"\0b", "huge": b"1\n" + huge}, {"bin": b"\0c", "huge": b"2\n" + huge})
    assert set(clashes) == {"bin", "huge"} and not any(clash.hunks for clash in clashes.values())


def test_marks_that_a_file_has_itself_are_text(top: Path) -> None:
    marks = b"<<<<<<< mine\n=======\n||||||| base\n>>>>>>> yours\n"
    (clash,) = found(top, {"f": b"a\n"}, {"f": marks + b"1\n"}, {"f": b"2\n"}).values()
    (hunk,) = clash.hunks
    assert hunk.base == b"a" and hunk.theirs == b"2" and hunk.ours == marks + b"1"


def test_names_and_settings_cannot_mislead_it(top: Path) -> None:
    sh(top, "config", "merge.conflictStyle", "merge")
    names = ['new\nline "q" \x01 é', "-x", ":(glob)*"]
    clashes = found(top, dict.fromkeys(names, b"0\n"), dict.fromkeys(names, b"1\n"), dict.fromkeys(names, b"2\n"))
    assert set(clashes) == set(names)
    assert clashes["-x"].hunks == (Hunk(1, b"0", b"1", b"2"),)


def test_of_very_many_only_the_first_are_looked_at(top: Path) -> None:
    names = [f"f{number:03}" for number in range(300)]
    clashes = found(top, dict.fromkeys(names, b"0\n"), dict.fromkeys(names, b"1\n"), dict.fromkeys(names, b"2\n"), 7)
    assert list(clashes) == names[:7] and all(clash.hunks for clash in clashes.values())


def test_what_merges_cleanly_has_none(top: Path) -> None:
    assert not found(top, {"f": b"0\n"}, {"g": b"1\n"}, {"h": b"2\n"})


def test_arrivals_are_the_steps_by_which_a_path_came_to_the_branch(top: Path) -> None:
    start = save(top, "main", {"f": b"0\n", "g": b"0\n"})
    save(top, "one", {"f": b"1\n"})
    save(top, "two", {"g": b"1\n"})
    sh(top, "checkout", "-q", "main")
    for branch in ("one", "two"):
        sh(top, "merge", "-q", "--no-ff", "-m", f"Merge {branch}\n\nCoord-Agent: {branch}", branch)
    assert merge.already_in(Git(top), "main", "one")
    (message,) = conflict.arrivals(Git(top), start, "main", ["f"])
    assert message.strip() == "Merge one\n\nCoord-Agent: one"
