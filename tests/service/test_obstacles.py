"""What is in branches: it lands as git would have it, or goes back with a word."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from obstacles import ask, back, commit, daemon, landed, write
from queueing import configure
from support import git

from coord.service import worktrees
from coord.service.coord import Coord

As = Callable[..., Coord]


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Backend's worktree."""
    return Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)


# ---- links, modes, names ----


def test_links_of_every_kind(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'test -f inside && test -L outside && test -L nowhere && test -L web_app/index.html'")
    git(place, "merge", "-q", "main")
    (place / "inside").symlink_to("README.md")
    (place / "outside").symlink_to("/etc/hostname")
    (place / "nowhere").symlink_to("no/such/thing")
    (place / "apps_script/chefs.js").unlink()
    (place / "apps_script").rmdir()
    (place / "folder").symlink_to("web_app")
    (place / "apps_script").symlink_to("web_app")
    (place / "web_app/index.html").unlink()
    (place / "web_app/index.html").symlink_to("../README.md")
    commit(place)
    landed(repo, coord_for)
    assert (repo / "apps_script").is_symlink() and str((repo / "outside").readlink()) == "/etc/hostname"
    (place / "apps_script").unlink()
    write(place, "apps_script/again.js", "a folder again\n")
    (place / "inside").unlink()
    write(place, "inside", "a file now\n")
    commit(place)
    landed(repo, coord_for)
    assert not (repo / "inside").is_symlink() and not (repo / "web_app/again.js").exists()


def test_a_link_that_leads_out_of_the_checkout_is_not_written_through(
    repo: Path, coord_for: As, place: Path, tmp_path: Path
) -> None:
    """Main makes a folder of what the branch makes a link to elsewhere: whoever wins, nothing outside changes."""
    configure(repo, "test: 'true'")
    outside = tmp_path / "outside"
    outside.mkdir()
    (place / "data").symlink_to(outside)
    commit(place)
    write(repo, "data/file", "in the folder\n")
    commit(repo)
    assert "it conflicts in data" in back(repo, coord_for)
    assert not list(outside.iterdir())


def test_modes(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'test -x run.sh && ./run.sh && ! test -x README.md'")
    write(repo, "README.md", "# Farm\n").chmod(0o755)
    write(repo, "run.sh", "#!/bin/sh\nexit 1\n")
    commit(repo)
    git(place, "merge", "-q", "main")
    (place / "run.sh").chmod(0o755)
    (place / "README.md").chmod(0o644)
    commit(place, "modes alone")
    write(repo, "run.sh", "#!/bin/sh\nexit 0\n")
    commit(repo, "content alone")
    landed(repo, coord_for)
    assert os.access(repo / "run.sh", os.X_OK) and "exit 0" in (repo / "run.sh").read_text()


def test_a_mode_that_git_does_not_look_at_here(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    git(repo, "config", "core.fileMode", "false")
    (repo / "README.md").chmod(0o755)
    write(place, "README.md", "# Farm, more\n")
    commit(place)
    landed_blob = git(place, "rev-parse", "HEAD:README.md")
    ask(coord_for)
    daemon(coord_for)
    assert git(repo, "rev-parse", "main:README.md") == landed_blob and git(repo, "status", "--porcelain") == ""


def test_renames_are_followed(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'grep -q two docs/guide.md && grep -q head docs/guide.md && test -f lib/a'")
    lines = "".join(f"line {number}\n" for number in range(40))
    write(repo, "guide.md", lines)
    write(repo, "src/a", "a\n" + lines)
    commit(repo)
    git(place, "merge", "-q", "main")
    (place / "docs").mkdir()
    git(place, "mv", "guide.md", "docs/guide.md")
    git(place, "mv", "src", "lib")
    write(place, "docs/guide.md", lines.replace("line 2\n", "line two\n"))
    commit(place, "moved")
    write(repo, "guide.md", f"head\n{lines}")
    commit(repo, "written where it was")
    landed(repo, coord_for)
    assert not (repo / "guide.md").exists() and not (repo / "src").exists() and (repo / "lib/a").exists()


def test_a_file_added_to_a_folder_that_moved_is_asked_about(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    git(place, "mv", "web_app", "pages")
    commit(place)
    write(repo, "web_app/new.html", "<p>new\n")
    commit(repo)
    assert "it conflicts in pages/new.html" in back(repo, coord_for)


def test_one_file_renamed_to_two_names_goes_back(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    git(place, "mv", "README.md", "ours.md")
    commit(place)
    git(repo, "mv", "README.md", "theirs.md")
    commit(repo)
    word = back(repo, coord_for)
    assert "it conflicts in" in word and "ours.md" in word and "theirs.md" in word


def test_renames_of_case_alone(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'ls readme.md Web_App/index.html'")
    git(place, "mv", "README.md", "readme.md")
    git(place, "mv", "web_app", "tmp")
    git(place, "mv", "tmp", "Web_App")
    commit(place, "case")
    write(repo, "README.md", "# Farm, and more\n")
    commit(repo)
    landed(repo, coord_for)
    assert {"readme.md", "Web_App"} <= set(os.listdir(repo)) and (repo / "readme.md").read_text().endswith("more\n")
    assert "README.md" not in os.listdir(repo)


# ---- large and binary ----


def test_huge_and_binary_files(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'test $(wc -c <huge.bin) = 100663296 && test $(wc -c <picture) = 65536'")
    git(repo, "config", "core.bigFileThreshold", "8m")
    noise = os.urandom(1 << 16)
    write(place, "picture", noise)
    with (place / "huge.bin").open("wb") as file:
        for number in range(96):
            file.write(bytes([number, 0]) * (1 << 19))
    commit(place)
    landed(repo, coord_for)
    assert (repo / "picture").read_bytes() == noise


def test_a_binary_file_that_both_changed_goes_back(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    write(place, "picture", b"\0theirs" + os.urandom(512))
    commit(place)
    write(repo, "picture", b"\0ours" + os.urandom(512))
    commit(repo)
    assert "it conflicts in picture" in back(repo, coord_for)
