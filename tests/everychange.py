"""Two commits between which every kind of change lies, and a checkout of the first."""

from pathlib import Path

from support import git as sh

HOSTILE = 'line\nbreak "é" x'


def write(path: Path, data: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    return path


def made_in(folder: Path) -> Path:
    """A checkout of main at OLD; `next` is NEW: every kind of change."""
    made = folder.resolve() / "home é"
    made.mkdir()
    sh(made, "init", "-q", "-b", "main")
    sh(made, "config", "user.name", "t")
    sh(made, "config", "user.email", "t@example.invalid")
    files = ("same", "edit", "gone", "mode", "tolink", "file", "dir/one", "dir/two", HOSTILE)
    for name in files:
        write(made / name, f"{name}\n")
    write(made / ".gitignore", "*.o\n")
    sh(made, "add", "-A")
    sh(made, "commit", "-q", "-m", "old")
    sh(made, "checkout", "-q", "-b", "next")
    for name in ("edit", HOSTILE):
        write(made / name, f"{name}\nnew\n")
    (made / "mode").chmod(0o755)
    for name in ("gone", "tolink", "file", "dir/one", "dir/two"):
        (made / name).unlink()
    (made / "dir").rmdir()
    write(made / "dir", "a file now\n")
    write(made / "file/below", "below\n")
    (made / "tolink").symlink_to("edit")
    write(made / "fresh/new file", "fresh\n")
    write(made / "added.o", "tracked though ignored\n")
    sh(made, "add", "-A", "-f")
    sh(made, "commit", "-q", "-m", "new")
    sh(made, "checkout", "-q", "main")
    return made


def ends(top: Path) -> tuple[str, str]:
    return sh(top, "rev-parse", "main"), sh(top, "rev-parse", "next")


def assert_landed(top: Path) -> None:
    assert sh(top, "status", "--porcelain") == ""
    assert not (top / ".git/index.lock").exists()
    assert sorted(path.name for path in (top / ".git").glob("index*")) == ["index"]
    assert sh(top, "diff", "--no-ext-diff", "next") == ""
    assert (top / "edit").read_text() == "edit\nnew\n" and (top / "dir").is_file()
