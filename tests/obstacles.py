"""A branch on its way through the queue as the daemon runs it, and the owner's checkout beside it."""

from collections.abc import Callable
from pathlib import Path

from queueing import queue
from sacred import assert_as_git_would, picture
from support import git

from coord.daemon import run
from coord.service import mail, merges
from coord.service.coord import Coord

As = Callable[..., Coord]


def write(top: Path, name: str, content: str | bytes) -> Path:
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return top / name


def commit(top: Path, words: str = "work") -> str:
    git(top, "add", "-A")
    git(top, "commit", "-qm", words)
    return git(top, "rev-parse", "HEAD")


def ask(coord_for: As) -> None:
    with coord_for("backend") as coord:
        merges.request(coord)


def daemon(coord_for: As) -> None:
    with coord_for("owner") as coord:
        run.once(coord, say=lambda _: None)


def landed(repo: Path, coord_for: As) -> None:
    """Let the daemon merge what was asked for; the owner's checkout then is what git itself would check out."""
    ask(coord_for)
    daemon(coord_for)
    assert not queue(coord_for("owner")), queue(coord_for("owner"))
    assert git(repo, "merge-base", "--is-ancestor", "agent/backend", "main") == "", what(coord_for)
    assert_as_git_would(repo, repo.parent / "scratch")


def back(repo: Path, coord_for: As) -> str:
    """Let the daemon send back what was asked for, with nothing touched; return what its author is told."""
    ask(coord_for)
    before = picture(repo), git(repo, "rev-parse", "main")
    daemon(coord_for)
    assert (picture(repo), git(repo, "rev-parse", "main")) == before
    assert not queue(coord_for("owner"))
    return what(coord_for)


def what(coord_for: As) -> str:
    with coord_for("backend") as coord:
        letters = [item.message for item in mail.list_(coord).items if item.message.subject.startswith("not merged")]
    return f"{letters[-1].subject}\n{letters[-1].body}" if letters else ""


def waits(repo: Path, coord_for: As, word: str) -> None:
    """Let the daemon look twice at what was asked for: it waits untouched, and the owner is told once."""
    before = picture(repo), git(repo, "rev-parse", "main")
    daemon(coord_for)
    daemon(coord_for)
    assert (picture(repo), git(repo, "rev-parse", "main")) == before
    (one,) = queue(coord_for("owner"))
    assert one.state == "queued" and one.result.startswith("waits: ") and word in one.result, one
    letters = [item.message for item in mail.list_(coord_for("owner")).items]
    (told,) = [letter for letter in letters if letter.subject == "merge waits: agent/backend"]
    assert word in told.body
