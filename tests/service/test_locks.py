"""Leases through the service, on real files and real git."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import git

from coord.model.errors import BadRecord, LeaseHeld, NotFound, Refused, StaleToken, TimedOut, WouldDeadlock
from coord.model.leases import Ask
from coord.model.records import Lock
from coord.service import leasebook, locks, mail
from coord.service.coord import Coord
from coord.stores import oslock

Open = Callable[..., Coord]
MINUTE = timedelta(minutes=1)


class Moved:
    """A clock that a test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        """Return the moment it was set to."""
        return self.at

    def monotonic(self) -> float:
        """Return it in seconds."""
        return self.at.timestamp()


def held(coord: Coord) -> list[tuple[str, str, int]]:
    return [(lock.holder, lock.scope, lock.token) for lock in locks.list_(coord).locks]


def taken(coord: Coord, *scopes: str, shared: bool = False) -> tuple[Lock, ...]:
    return locks.acquire(coord, scopes, shared=shared).locks


def may_write(coord: Coord, path: str) -> bool:
    (verdict,) = locks.check(coord, (path,)).verdicts
    return verdict.may_write


def events(repo: Path) -> list[str]:
    return git(
        repo, "log", "--reverse", "--format=%(trailers:key=Coord-Event,valueonly,separator=)", "coord/ledger"
    ).split()


def waiting(coord: Coord, holder: str, scope: str) -> Ask:
    """Return an ask that this living process makes for HOLDER; hold its place with `leasebook.ticket`."""
    return Ask(
        ticket=coord.new_id(),
        holder=holder,
        scopes=(scope,),
        mode="exclusive",
        asked_at=coord.now(),
        process=oslock.me(),
    )


# ---- taking and being refused ----


def test_who_holds_it_until_when_by_which_token_and_what_to_do(repo: Path, coord_for: Open) -> None:
    with coord_for("backend") as coord:
        (lock,) = locks.acquire(coord, ("apps_script/**",), note="fixing it").locks
    with pytest.raises(LeaseHeld) as caught:
        taken(coord_for("frontend"), "apps_script/chefs.js")
    error = caught.value
    assert error.message == f"backend holds apps_script/** until {error.facts['expires_at'][0]} (“fixing it”)"  # type: ignore[index]
    assert (error.facts["holders"], error.facts["tokens"]) == (("backend",), (lock.token,))
    assert "--wait 10m" in error.hint
    assert "coord mail send backend" in error.hint
    file = repo / "locks/apps_script%2F%2A%2A.yaml"
    assert f"token: {lock.token}\n" in file.read_text()
    assert git(repo, "show", f"coord/ledger:locks/{file.name}") == file.read_text().strip()
    subject = f"backend|lease: backend: apps_script/** until {lock.expires_at:%H:%M}"
    assert git(repo, "log", "-1", "--format=%an|%s", "coord/ledger").startswith(subject[:14])


def test_several_scopes_all_or_nothing(coord_for: Open) -> None:
    taken(coord_for("backend"), "web_app")
    me = coord_for("frontend")
    with pytest.raises(LeaseHeld):
        taken(me, "docs/**", "web_app/index.html")
    assert [holder for holder, _, _ in held(me)] == ["backend"]
    both = taken(me, "docs/**", "README.md")
    assert [lock.token for lock in both] == [2, 3]


def test_sharing_and_holding_exclusively(coord_for: Open) -> None:
    backend, frontend = coord_for("backend"), coord_for("frontend")
    taken(backend, "docs", shared=True)
    taken(frontend, "docs", shared=True)
    assert len(held(backend)) == 2
    with pytest.raises(LeaseHeld, match="backend shares docs"):
        taken(coord_for("security"), "docs/x.md")
    with pytest.raises(LeaseHeld):
        taken(frontend, "docs")
    locks.release(backend, ("docs",))
    (upgraded,) = taken(frontend, "docs")
    assert (upgraded.mode, upgraded.token) == ("exclusive", 3)
    assert held(frontend) == [("frontend", "docs", 3)]


def test_taking_it_again_keeps_the_token_and_extends(coord_for: Open) -> None:
    coord = coord_for("backend")
    (first,) = locks.acquire(coord, ("docs",), ttl=MINUTE).locks
    (again,) = locks.acquire(coord, ("./docs/",), ttl=5 * MINUTE).locks
    assert (again.token, again.granted_at) == (first.token, first.granted_at)
    assert again.expires_at > first.expires_at
    assert len(held(coord)) == 1


@pytest.mark.parametrize("text", ["./apps_script", "web_app/../apps_script", "apps_script/", "apps_script//", "."])
def test_spellings_of_one_place_conflict(coord_for: Open, text: str) -> None:
    taken(coord_for("backend"), "apps_script/chefs.js")
    with pytest.raises(LeaseHeld):
        taken(coord_for("frontend"), text)


def test_a_glob_does_not_reach_below_a_file_that_is_there(repo: Path, coord_for: Open) -> None:
    taken(coord_for("backend"), "**/*.js")
    me = coord_for("frontend")
    taken(me, "README.md", "web_app/index.html")
    (repo / "link.md").symlink_to("README.md")
    (repo / "folder.md").symlink_to("web_app")
    taken(me, "link.md")
    with pytest.raises(LeaseHeld):
        taken(me, "folder.md")


def test_checking_a_path_that_is_to_be_written_takes_it_for_a_file(coord_for: Open) -> None:
    taken(coord_for("backend"), "**/*.js")
    me = coord_for("frontend")
    assert may_write(me, "web_app/new.html")
    assert not may_write(me, "web_app/new.js")
    assert not may_write(me, "apps_script")
    assert not may_write(me, "new/")


# ---- literal paths ----


def test_a_path_that_exists_is_meant_literally(repo: Path, coord_for: Open) -> None:
    page = repo / "app/[id]/page.tsx"
    page.parent.mkdir(parents=True)
    page.write_text("")
    (repo / "a*b.txt").write_text("")
    backend, frontend = coord_for("backend"), coord_for("frontend")
    (lock, star) = taken(backend, "app/[id]/page.tsx", "a*b.txt")
    assert (lock.scope, star.scope) == (r"app/\[id]/page.tsx", r"a\*b.txt")
    assert not may_write(frontend, "app/[id]/page.tsx")
    assert not may_write(frontend, str(page))
    assert may_write(frontend, "app/i/page.tsx")
    assert may_write(frontend, "aab.txt")
    assert taken(frontend, "app/[id]/*.css")[0].scope == r"app/\[id]/*.css"
    assert taken(frontend, "app/[xy]/*.css")[0].scope == "app/[xy]/*.css"
    standing = coord_for("security", repo / "app")
    assert not may_write(standing, "[id]/page.tsx")


# ---- tokens ----


def test_tokens_rise_across_release_and_without_private_state(repo: Path, coord_for: Open) -> None:
    tokens = []
    for _ in range(3):
        with Coord.open(repo, who="backend") as coord:
            tokens.append(taken(coord, "docs")[0].token)
            locks.release(coord)
    with Coord.open(repo, who="backend") as coord:
        tokens.append(taken(coord, "docs")[0].token)
    shutil.rmtree(repo / ".git/coord")
    with Coord.open(repo, who="frontend") as coord:
        assert held(coord) == [("backend", "docs", tokens[-1])]
        tokens.append(taken(coord, "web_app")[0].token)
        locks.release(coord)
    for note in ("torn", f"{1:020} another-boot\n"):
        (repo / ".git/coord/token").write_text(note)
        with Coord.open(repo, who="frontend") as coord:
            tokens.append(taken(coord, "web_app")[0].token)
            locks.release(coord)
    assert tokens == sorted(set(tokens))


def test_the_ledger_tells_the_last_token_of_a_grant_of_several(repo: Path, coord_for: Open) -> None:
    with coord_for("backend") as coord:
        assert [lock.token for lock in taken(coord, "docs", "web_app", "README.md")] == [1, 2, 3]
        locks.release(coord)
    shutil.rmtree(repo / ".git/coord")
    assert [lock.token for lock in taken(coord_for("frontend"), "docs")] == [4]


def test_a_grant_that_its_dead_maker_had_noted_is_finished_even_after_it_was_committed(
    repo: Path, coord_for: Open
) -> None:
    # A committer may commit an event whose maker still lives and dies before it publishes.
    script = """
import sys
from pathlib import Path
from coord.service import locks
from coord.service.coord import Coord
coord = Coord.open(Path(sys.argv[1]), who="backend")
append = coord.journal.append
def stop(event, process):
    append(event, process)
    print("noted", flush=True)
    sys.stdin.readline()
coord.journal.append = stop
locks.acquire(coord, ("docs",))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(repo)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "noted\n"
        coord_for("frontend").committer.settle()
        child.kill()
    with pytest.raises(LeaseHeld, match="backend holds docs"):
        taken(coord_for("frontend"), "docs")


# ---- giving back, renewing, breaking ----


def test_releasing_nothing_is_no_event(repo: Path, coord_for: Open) -> None:
    with coord_for("backend") as coord:
        before = coord.journal.size()
        assert locks.release(coord).locks == ()
        assert coord.journal.size() == before
        taken(coord, "docs")
        assert [lock.scope for lock in locks.release(coord).locks] == ["docs"]
    assert events(repo)[-2:] == ["lease.granted", "lease.released"]


def test_a_stale_token_renews_and_releases_nothing(coord_for: Open) -> None:
    coord = coord_for("backend")
    docs, web = taken(coord, "docs", "web_app")
    with pytest.raises(StaleToken):
        locks.release(coord, ("docs",), token=web.token)
    with pytest.raises(StaleToken):
        locks.renew(coord, token=99)
    assert [lock.scope for lock in locks.renew(coord, token=web.token).locks] == ["web_app"]
    assert [lock.token for lock in locks.renew(coord, ("docs", "docs/")).locks] == [docs.token]
    with pytest.raises(NotFound):
        locks.renew(coord_for("frontend"))


def test_an_expired_lease_is_not_renewed_past_somebody_who_waits(repo: Path, coord_for: Open) -> None:
    clock = Moved(datetime.now(UTC))
    backend, frontend = Coord.open(repo, who="backend", clock=clock), coord_for("frontend")
    locks.acquire(backend, ("docs",), ttl=MINUTE)
    with leasebook.ticket(frontend) as enqueue:
        enqueue(waiting(frontend, "frontend", "docs/x.md"))
        clock.at += MINUTE / 2
        locks.renew(backend, ttl=MINUTE)
        clock.at += 2 * MINUTE
        with pytest.raises(LeaseHeld, match=r"frontend has waited for docs/x\.md"):
            locks.renew(backend)
    locks.renew(backend)
    backend.settle()


def test_breaking_is_for_the_owner_and_the_coordinator_and_its_holder_is_told(coord_for: Open) -> None:
    backend = coord_for("backend")
    taken(backend, "docs", shared=True)
    taken(coord_for("frontend"), "docs", shared=True)
    with pytest.raises(Refused) as caught:
        locks.break_(backend, "docs", reason="mine")
    assert "pm-architect" in caught.value.hint
    assert len(locks.break_(coord_for("pm-architect"), "docs/", reason="crashed").locks) == 2
    assert held(backend) == []
    (told,) = mail.list_(coord_for("frontend")).items
    assert told.message.kind == "alert"
    assert "pm-architect broke it: “crashed”" in told.message.body
    taken(backend, "web_app")
    assert len(locks.break_(coord_for("owner"), "web_app", reason="x").locks) == 1
    with pytest.raises(NotFound, match="no lease on web_app"):
        locks.break_(coord_for("owner"), "web_app", reason="x")


def test_breaking_names_a_lease_as_the_list_shows_it_wherever_one_stands(repo: Path, coord_for: Open) -> None:
    taken(coord_for("backend"), "docs")
    locks.break_(coord_for("owner", repo / "web_app"), "docs", reason="x")
    assert held(coord_for("owner")) == []


def test_a_damaged_lock_refuses_everything_and_says_how_to_mend_it(repo: Path, coord_for: Open) -> None:
    (repo / "locks/docs.yaml").write_text("format: 1\nscope: docs\nholder: backend\n")
    with pytest.raises(BadRecord, match=r"locks/docs\.yaml") as caught:
        taken(coord_for("frontend"), "web_app")
    assert "mend or delete locks/docs.yaml" in caught.value.hint
    (repo / "locks/docs.yaml").unlink()
    taken(coord_for("frontend"), "web_app")


def test_waiting_that_would_close_a_circle_is_refused_with_the_circle(coord_for: Open) -> None:
    backend, frontend = coord_for("backend"), coord_for("frontend")
    taken(backend, "docs")
    taken(frontend, "web_app")
    with leasebook.ticket(frontend) as enqueue:
        enqueue(waiting(frontend, "frontend", "docs"))
        with pytest.raises(WouldDeadlock, match="backend waits for frontend waits for backend") as caught:
            locks.acquire(backend, ("web_app",), wait=MINUTE)
    assert caught.value.facts["circle"] == ("backend", "frontend", "backend")
    assert "release what you hold" in caught.value.hint
    assert os.listdir(backend.private / "waiting") == []


def test_whoever_is_next_is_woken_by_a_release_a_break_and_a_waiter_who_leaves(coord_for: Open) -> None:
    backend, frontend, owner = coord_for("backend"), coord_for("frontend"), coord_for("owner")
    first, second = waiting(backend, "backend", "docs"), waiting(frontend, "frontend", "docs/x.md")
    with frontend.bells.listen(leasebook.bell("frontend")) as bell:
        taken(owner, "docs/x.md")
        with leasebook.ticket(frontend) as enqueue:
            enqueue(second)
            locks.release(owner)
            assert bell.wait(5)
        for name in ("security", "pm-architect"):
            taken(coord_for(name), "docs", shared=True)
        with leasebook.ticket(frontend) as enqueue:
            enqueue(second)
            bell.drain()
            locks.break_(owner, "docs", reason="x")
            assert bell.wait(5)
            with pytest.raises(TimedOut), leasebook.ticket(backend) as before:
                before(first)
                raise TimedOut("waited in vain")
            assert bell.wait(5)


def test_a_place_that_another_had_before_is_its_last_holders(coord_for: Open) -> None:
    coord, frontend, security = coord_for("backend"), coord_for("frontend"), coord_for("security")
    locks.acquire(coord, ("docs",))
    first, second = waiting(frontend, "frontend", "docs"), waiting(security, "security", "docs/x.md")
    for ask in (first, replace(second, ticket=first.ticket)):
        with leasebook.ticket(coord) as enqueue:
            enqueue(ask)
            assert locks.list_(coord).waiting == (ask,)


def test_a_ticket_that_is_damaged_holds_up_nobody(coord_for: Open) -> None:
    coord = coord_for("backend")
    taken(coord, "docs")
    locks.release(coord)
    folder = coord.private / "waiting"
    folder.mkdir(exist_ok=True)
    for text in ("{", json.dumps({"process": 1}), "[]"):
        (folder / coord.new_id()).write_text(text)
    assert taken(coord_for("frontend"), "docs")[0].holder == "frontend"
