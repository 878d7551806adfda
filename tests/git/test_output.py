"""What git prints is read as it is meant, whatever bytes names and contents have."""

import subprocess
from pathlib import Path

import pytest
from support import git as sh

from coord.git import objects, output
from coord.git.output import Change
from coord.git.repo import Git

ODD = b"a\n:100644 \xff\t b"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with an odd name in a commit, and a merge that is unlike both of its parents."""
    made = tmp_path.resolve()
    sh(made, "init", "-q", "-b", "main")
    stream = b"".join(
        b"commit refs/heads/%s\nmark :%d\ncommitter O <o@example.com> 1700000000 +0000\ndata 1\nx\n%s"
        b'M %s inline "f"\ndata 1\n%s\nM 644 inline "a\\n:100644 \\377\\t b"\ndata 3\nodd\n'
        % (branch, mark, parents, mode, text)
        for mark, branch, parents, mode, text in (
            (1, b"start", b"", b"644", b"0"),
            (2, b"one", b"from :1\n", b"644", b"1"),
            (3, b"two", b"from :1\n", b"644", b"2"),
            (4, b"main", b"from :2\nmerge :3\n", b"120000", b"3"),
        )
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=made, check=True, input=stream)
    return made


def test_objects_are_read_in_order_and_what_is_not_there_is_none(top: Path) -> None:
    git = Git(top)
    names = [b"main:" + ODD, b"main:no\nsuch\nfile", b"main:f", b"0" * 40, b"start:f"]
    assert [*objects.contents(git, names)] == [b"odd", None, b"3", None, b"0"]
    assert [*objects.contents(git, names, largest=1)] == [None, None, b"3", None, b"0"]
    assert [*objects.contents(git, [])] == []
    tree = sh(top, "rev-parse", "main^{tree}")
    assert objects.kinds(git, ["main^{tree}", "none", "main:f"]) == [
        (tree, "tree"),
        ("", ""),
        (sh(top, "rev-parse", "main:f"), "blob"),
    ]


def test_a_log_tells_of_a_merge_what_it_became(top: Path) -> None:
    words = ("log", "-z", "--format=tformat:%H%x00%B%x00", "--raw", "--no-abbrev", "--root", "-c", "main")
    read = {head[0]: changes for head, changes in output.commits(iter(Git(top).run(*words).out.split(b"\0")), 2)}
    blobs = {name: sh(top, "rev-parse", f"{name}:f") for name in ("start", "one", "two", "main")}
    assert read[sh(top, "rev-parse", "main")] == [Change("f", "100644", "120000", blobs["one"], blobs["main"])]
    assert read[sh(top, "rev-parse", "two")] == [Change("f", "100644", "100644", blobs["start"], blobs["two"])]
    first = read[sh(top, "rev-parse", "start")]
    assert [one.path.encode(errors="surrogateescape") for one in first] == [ODD, b"f"]
    assert all(one.added and not one.removed for one in first)


def test_a_merge_in_memory_tells_the_sides_of_what_conflicts(top: Path) -> None:
    tree, sides = output.merged(Git(top).run(*output.MERGE, "one", "two", check=False).out)
    assert sh(top, "cat-file", "-t", tree) == "tree"
    assert [(one.path, one.mode, one.side) for one in sides] == [("f", "100644", side) for side in (1, 2, 3)]
    assert sides[1].blob == sh(top, "rev-parse", "one:f")
    assert output.merged(Git(top).run(*output.MERGE, "one", "start").out) == (sh(top, "rev-parse", "one^{tree}"), [])
