"""What a path means, by where one stands and how the file system compares names."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.model.errors import LeaseHeld, Usage
from coord.model.records import Lock
from coord.service import locks
from coord.service.coord import Coord

Open = Callable[..., Coord]


def taken(coord: Coord, *scopes: str, shared: bool = False) -> tuple[Lock, ...]:
    return locks.acquire(coord, scopes, shared=shared).locks


def may_write(coord: Coord, path: str) -> bool:
    (verdict,) = locks.check(coord, (path,)).verdicts
    return verdict.may_write


def test_paths_from_a_subfolder_and_absolute_ones(repo: Path, coord_for: Open, tmp_path: Path) -> None:
    home = coord_for("backend")
    taken(home, "apps_script/chefs.js")
    inside = coord_for("frontend", repo / "apps_script")
    assert not may_write(inside, "chefs.js")
    assert not may_write(inside, "../apps_script/chefs.js")
    assert may_write(inside, "../web_app/chefs.js")
    assert not may_write(inside, str(repo / "web_app/../apps_script/chefs.js"))
    worktree = home.worktree_of("frontend")
    git(repo, "worktree", "add", "-q", str(worktree))
    standing = coord_for("", worktree / "apps_script")
    assert standing.whoever() == "frontend"
    for text in ("chefs.js", str(worktree / "apps_script/chefs.js"), str(repo / "apps_script/chefs.js")):
        assert not may_write(standing, text)
    (tmp_path / "short").symlink_to(repo)
    assert not may_write(coord_for("frontend"), str(tmp_path / "short/apps_script/chefs.js"))
    assert not may_write(coord_for("frontend", tmp_path / "short/apps_script"), "chefs.js")
    for outside in (str(tmp_path), "../..", f"{repo}-other/x"):
        with pytest.raises(Usage, match="outside"):
            locks.check(inside, (outside,))
    assert inside.scope(f"{repo}/task:1") == r"\task:1"


def test_an_absolute_path_into_a_worktree_that_lies_inside_home(repo: Path, coord_for: Open) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write("worktrees: {path: 'trees/{name}'}\n")
    coord = coord_for("backend")
    assert coord.scope(str(repo / "trees/frontend/web_app/x.js")) == "web_app/x.js"
    assert coord.scope(str(repo / "trees/frontend")) == "**"
    assert coord.scope(str(repo / "trees/other")) == "trees/other"


def test_letter_case_and_unicode_form_as_the_file_system_has_them(repo: Path, coord_for: Open) -> None:
    nfc, nfd = (unicodedata.normalize(form, "docs/café.md") for form in ("NFC", "NFD"))
    taken(coord_for("backend"), nfc, "Notes.md")
    plain = coord_for("frontend")
    assert may_write(plain, nfd)
    assert may_write(plain, "NOTES.md")
    git(repo, "config", "core.ignorecase", "true")
    git(repo, "config", "core.precomposeunicode", "true")
    folding = coord_for("frontend")
    for text in (nfd, nfc.upper(), "notes.MD"):
        assert not may_write(folding, text)
        with pytest.raises(LeaseHeld):
            taken(folding, text)
    (kept,) = taken(coord_for("backend"), "NOTES.md")
    assert (kept.scope, kept.token) == ("Notes.md", 2)
    assert len(locks.break_(coord_for("owner"), "notes.md", reason="x").locks) == 1
