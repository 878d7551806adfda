"""What strangers leave where coord looks: it is read, or named as unreadable, and stops nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import git

from coord.daemon import run
from coord.faces import wire
from coord.model import codec, ids, keys
from coord.model.errors import Usage
from coord.service import history, locks, mail
from coord.service.command import Prose
from coord.service.coord import Coord

Open = Callable[..., Coord]
EXPIRED = "granted_at: 2020-11-22T12:00:00Z\nexpires_at: 2020-11-22T12:30:00Z\n"
LASTING = "granted_at: 2020-11-22T12:00:00Z\nexpires_at: 2120-11-22T12:30:00Z\n"


def written(repo: Path, name: str, times: str, scope: str = "docs") -> Path:
    path = repo / "locks" / name
    path.write_text(f"format: 1\nscope: {scope}\nholder: backend\ntoken: 7\n{times}")
    return path


@pytest.mark.parametrize("path", [".gitignore", ".github/workflows/ci.yml", ".github/**", ".env"])
def test_a_dot_file_can_be_leased(repo: Path, coord_for: Open, path: str) -> None:
    coord = coord_for("backend")
    (lock,) = locks.acquire(coord, (path,)).locks
    assert lock.scope == path
    assert locks.list_(coord).locks == (lock,)
    (file,) = (repo / "locks").glob("*.yaml")
    assert codec.decode_lock(file.read_bytes(), "x") == lock
    assert keys.is_record(f"locks/{file.name}")
    assert locks.release(coord).locks == (lock,)
    assert not list((repo / "locks").glob("*.yaml"))


def test_a_lease_under_any_name_expires_once(repo: Path, coord_for: Open) -> None:
    file = written(repo, "mine.yaml", EXPIRED)
    coord = coord_for("backend")
    for _ in range(2):
        run.once(coord, say=lambda _line: None)
    assert not file.exists()
    assert mail.list_(coord).unread == 1
    assert [one.kind for one in history.log(coord, kind="lease.expired").events] == ["lease.expired"]


def test_a_lease_under_any_name_is_renewed_in_its_own_place_and_released(repo: Path, coord_for: Open) -> None:
    file = written(repo, "mine.yaml", LASTING)
    copy = written(repo, "copy of mine.yaml", LASTING)
    coord = coord_for("backend")
    (renewed,) = locks.renew(coord).locks
    assert renewed.token == 7
    assert not file.exists() and not copy.exists()
    assert [path.name for path in (repo / "locks").glob("*.yaml")] == ["docs.yaml"]
    file = written(repo, "other.yaml", LASTING, scope="web_app")
    locks.release(coord)
    assert not list((repo / "locks").glob("*.yaml"))


def test_mail_with_an_id_beyond_all_dates_hides_no_other(repo: Path, coord_for: Open) -> None:
    (repo / "inbox/frontend/7ZZZZZZZZZZZZZZZZZZZZZZZZZ-x.md").write_text("no front matter\n")
    mail.send(coord_for("backend"), ("frontend",), Prose("hello"))
    assert [item.message.sender for item in mail.list_(coord_for("frontend")).items] == ["backend", "unknown"]
    assert ids.time_of("7" + "Z" * 25).year == 9999


def test_a_forged_event_does_not_stop_the_daemon(repo: Path, coord_for: Open) -> None:
    forged = "mail: x\n\nCoord-Event: mail.reminded\nCoord-Id: zz\nCoord-Cause: q\nCoord-Level: high\nCoord-Token: x\n"
    tree = git(repo, "rev-parse", "coord/ledger^{tree}")
    commit = git(repo, "commit-tree", "-p", "coord/ledger", "-m", forged, tree)
    git(repo, "update-ref", "refs/heads/coord/ledger", commit)
    run.once(coord_for("owner"), say=lambda _line: None)
    assert history.log(coord_for("owner")).events[0].id == "zz"


@pytest.mark.parametrize("text", ["9" * 20, "-" + "9" * 30, "9" * 5_000])
def test_a_number_that_no_database_takes_is_refused(text: str) -> None:
    (limit,) = (param for param in history.log.params if param.name == "limit")
    with pytest.raises(Usage, match="--limit"):
        wire.parse(limit, text)
