"""What the daemon takes away by itself: only what the ledger holds, and logs that nobody waits for."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support import git

from coord.daemon import settled
from coord.daemon.plan import Aged, Ruled
from coord.model import ids, keys
from coord.model.errors import NotFound
from coord.service import decisions, upkeep, verify, watching
from coord.service.byhand import adopt
from coord.service.command import Prose
from coord.service.coord import Coord

Open = Callable[..., Coord]


def look(coord: Coord) -> tuple[tuple[Aged, ...], tuple[Ruled, ...], tuple[Aged, ...]]:
    coord.committer.settle()
    coord.index.sync()
    found = settled.look(coord)
    return found.dead, found.decisions, found.logs


def test_dead_letters_are_retired_once_the_ledger_has_them(repo: Path, coord_for: Open) -> None:
    coord = coord_for("owner")
    (repo / "inbox/backend/x.md").write_text("---\nto: nobody\n---\nhello\n")
    adopt.adopt(coord, "inbox/backend/x.md")
    dead, _, _ = look(coord)
    assert [one.name.endswith(".why.md") for one in dead].count(True) == 1
    assert len(dead) == 2
    assert upkeep.retire(coord, [one.name for one in dead], "dead letter") == 2
    assert list((repo / "inbox/.dead").iterdir()) == []
    assert look(coord)[0] == ()
    verify.verify(coord)
    assert "mail.retired" in git(repo, "log", "-1", "--format=%B", "coord/ledger")


def test_a_dead_letter_that_the_ledger_does_not_have_stays(repo: Path, coord_for: Open) -> None:
    coord = coord_for("owner")
    (repo / "inbox/backend/x.md").write_bytes(b"x" * (2 << 20))
    adopt.adopt(coord, "inbox/backend/x.md")
    (large,) = (repo / "inbox/.dead").iterdir()
    assert look(coord)[0] == ()
    assert upkeep.retire(coord, [f"{keys.DEAD}/{large.name}"], "dead letter") == 0
    assert large.exists()


def test_a_retired_decision_is_in_the_ledger_and_the_next_step_says_so(repo: Path, coord_for: Open) -> None:
    coord = coord_for("backend")
    (repo / ".coord.yaml").write_text((repo / ".coord.yaml").read_text() + "decisions: {keep: 1}\n")
    coord.reload()
    first = decisions.record(coord, "a", Prose("b")).decision
    assert look(coord)[1] == ()
    decisions.record(coord, "c", Prose("d"))
    decisions.outcome(coord, first.id, Prose("well"))
    found = look(coord)[1]
    assert [one.open for one in found] == [False, True]
    assert upkeep.retire(coord, [found[0].key], "settled") == 1
    assert len(decisions.list_(coord).items) == 1
    with pytest.raises(NotFound) as fault:
        decisions.outcome(coord, first.id, Prose("better"), again=True)
    assert "coord log --kind decision" in fault.value.hint
    coord.settle()
    assert "decision.retired" in git(repo, "log", "-1", "--format=%B", "coord/ledger")
    verify.verify(coord)


def test_the_daemons_log_begins_anew_and_goes_on(repo: Path, coord_for: Open) -> None:
    coord = coord_for("owner")
    path = watching.log(coord)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as daemon:
        daemon.write(b"early\n" + b"x" * (2 << 20) + b"\nlate\n")
        daemon.flush()
        coord.index.sync()
        assert settled.look(coord).told == path.stat().st_size
        watching.trim(coord)
        daemon.write(b"later\n")
    assert path.read_bytes() == b"later\n"
    old = path.with_name("watch.log.old").read_bytes()
    assert len(old) == 1 << 20
    assert old.endswith(b"x\nlate\n")


def test_the_logs_of_gates_go_with_time(repo: Path, coord_for: Open) -> None:
    coord = coord_for("backend")
    gone = ids.ulid(coord.now() + timedelta(days=1), b"0123456789")
    folder = coord.private / "logs"
    folder.mkdir(exist_ok=True)
    for name in (f"gate-{gone}-test.log", "watch.log", "gate-x.log"):
        (folder / name).touch()
    (log,) = look(coord)[2]
    assert log == Aged(f"gate-{gone}-test.log", ids.time_of(gone))
    assert isinstance(log.since, datetime)
    upkeep.discard(coord, [log.name, log.name])
    assert sorted(path.name for path in folder.iterdir()) == ["gate-x.log", "watch.log"]
