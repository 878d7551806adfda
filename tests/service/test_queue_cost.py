"""What a clean merge costs in gits, and that what was spared lets nothing through."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from queueing import ask, branch, configure, drive, queue
from support import git, gits

from coord.git import refs
from coord.service import branches, mail
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]
_OPEN = "ungated: allow, into: line"


def stream(repo: Path, name: str, base: str, *changes: str) -> str:
    """Commit changes, in the words of `git fast-import`, on a branch without a checkout."""
    head = f"commit refs/heads/{name}\ncommitter Owner <owner@example.com> 1700000000 +0000\ndata 1\nx\nfrom {base}\n"
    words = head + "\n".join([*changes, "", ""])
    subprocess.run(["git", "fast-import", "--quiet", "--force"], cwd=repo, check=True, input=words, text=True)
    return git(repo, "rev-parse", name)


def test_a_clean_merge_takes_six_gits(repo: Path, coord_for: As) -> None:
    configure(repo, _OPEN)
    git(repo, "branch", "line")
    ask(coord_for("backend"), branch(repo, "one", {"one": "x\n"}), branch(repo, "two", {"two": "x\n"}))
    coord = coord_for("owner")
    coord.committer.settle()
    coord.commits = True  # as in the daemon, which commits beside it
    landing = Landing(coord)
    with gits() as ran:
        assert landing.advance("line")
    each = ["log", "merge-tree", "commit-tree"]
    assert sorted(words[0] for words in ran) == sorted(["config", "log", *each, *each, "update-ref"])
    coord.committer.settle()
    assert git(repo, "ls-tree", "--name-only", "line", "one", "two").split() == ["one", "two"]


@pytest.mark.parametrize("side", ["made there", "moved by a branch", "moved by the base", "by a merge"])
def test_no_merge_brings_a_link_into_the_live_folders(repo: Path, coord_for: As, side: str) -> None:
    configure(repo, _OPEN)
    git(repo, "config", "merge.directoryRenames", "true")  # git stops at such a merge by itself otherwise
    files = [f"M 644 inline old/{n}\ndata 2\n{n}\n" for n in range(3)]
    start = stream(repo, "line", git(repo, "rev-parse", "main"), *files)
    link = "M 120000 inline {}/x\ndata 4\n/etc"
    renames = [f"R old/{n} inbox/{n}" for n in range(3)]
    match side:
        case "made there":
            stream(repo, "work", start, link.format("inbox"))
        case "moved by a branch":
            stream(repo, "work", start, *renames)
            stream(repo, "line", start, link.format("old"))
        case "moved by the base":
            stream(repo, "work", start, link.format("old"))
            stream(repo, "line", start, *renames)
        case "by a merge":
            made = stream(repo, "aside", start, link.format("inbox"))
            gone = stream(repo, "back", made, "D inbox/x")
            tree = git(repo, "rev-parse", f"{made}^{{tree}}")
            merged = git(repo, "commit-tree", tree, "-p", gone, "-p", made, "-m", "x")
            git(repo, "branch", "work", merged)
            git(repo, "branch", "-f", "line", gone)
    before = git(repo, "rev-parse", "line")
    merged_tree = git(repo, "merge-tree", "--write-tree", "line", "work").split()[0]
    assert "120000" in git(repo, "ls-tree", "-r", merged_tree, "inbox/x"), "else this proves nothing"
    ask(coord_for("backend"), "work")
    drive(Landing(coord_for("owner")))
    assert git(repo, "rev-parse", "line") == before and not queue(coord_for("owner"))
    (word,) = [item.message for item in mail.list_(coord_for("backend")).items if "not merged" in item.message.subject]
    assert "own links in a commit: inbox/x" in word.subject


@pytest.mark.parametrize("state", ["plain", "packed", "both", "alias", "other case", "missing", "tag", "odd"])
def test_a_branch_is_found_in_files_as_git_finds_it(repo: Path, coord_for: As, state: str) -> None:
    coord, common = coord_for("owner"), repo / ".git"
    git(repo, "branch", "a/b")
    name = "a/b"
    match state:
        case "packed" | "both":
            git(repo, "pack-refs", "--all")
            if state == "both":
                git(repo, "update-ref", "refs/heads/a/b", git(repo, "commit-tree", "HEAD^{tree}", "-m", "new"))
        case "alias":
            git(repo, "symbolic-ref", "refs/heads/alias", "refs/heads/a/b")
            name = "alias"
        case "other case":
            name = "A/b"
        case "missing":
            name = "a"
        case "tag":
            git(repo, "tag", "t")
            name = "refs/tags/t"
        case "odd":
            name = "../heads/a/b"
    found = refs.exact(common, branches.ref(name))
    assert (found is not None) == (state in ("plain", "packed", "both"))
    if found is not None:
        assert branches.located(coord, name) == (name, found) == (name, git(repo, "rev-parse", "a/b"))
    elif state == "alias":
        assert branches.located(coord, name) == ("a/b", git(repo, "rev-parse", "a/b"))
