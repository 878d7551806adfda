"""What is there after mending is what should be there; rebuilding yields what was."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import balance
import farming
import planted
import planted_ground
import pytest
import tiers
from byhand import ID, drop, message
from farming import Farm
from planted import MENDED
from support import git

from coord.git import history
from coord.model import codec, keys
from coord.service import mail, verify
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.doctor import command, examination, patient
from coord.service.doctor.command import Report
from coord.service.doctor.finding import Finding
from coord.service.doctor.kept import Kept


@pytest.fixture
def farm(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Farm:
    farming.work(repo)
    return Farm(repo, monkeypatch)


def examined(farm: Farm, *, fix: bool = False, rebuild: bool = False) -> Report:
    return command.doctor(patient.opened(farm.home), fix=fix, rebuild=rebuild)


def records(farm: Farm) -> dict[str, bytes]:
    store = farm.open().store
    return {key: stored.data for key in store.list("") if (stored := store.get(key)) is not None}


def agrees(farm: Farm) -> bool:
    return verify.verify(farm.open(), deep=True).ok


@pytest.mark.parametrize(
    "plant",
    [
        planted.from_a_backup,
        planted.mailbox_missing,
        planted.mailbox_is_a_link,
        planted.inbox_is_a_link,
        planted.emptied,
        planted.too_large,
        planted.torn,
        planted.ledger_rewound,
        planted.ledger_missing,
        planted.ledger_torn,
        planted.ledger_of_nothing,
        planted.ledger_of_code,
        planted.ledger_a_blob,
        planted.ledger_a_tree,
        planted.index_damaged,
        planted.journal_state,
        planted_ground.unreadable,
    ],
    ids=lambda plant: plant.__name__,
)
def test_the_records_are_what_they_were(farm: Farm, plant: planted.Plant) -> None:
    before = records(farm)
    plant(farm)
    with_news = dict(before)
    if plant is planted.from_a_backup:
        coord = farm.open()
        tree = history.tree(coord.git, "coord/ledger")
        with_news = dict(zip(tree, history.blobs(coord.git, tree.values()), strict=True))
        assert len(with_news) == len(before) + 3
    examined(farm, fix=True)
    after = records(farm)
    assert {key: data for key, data in after.items() if keys.is_record(key)} == with_news
    assert agrees(farm)


def test_files_of_which_one_is_too_large_for_git_are_not_taken_for_the_empty_ones_of_the_beginning(farm: Farm) -> None:
    planted.too_large(farm)
    fresh = [message(id=f"{ID[:-1]}{last}", subject=last) for last in "XYZ"]
    for record in fresh:
        drop(farm.home, keys.message("security", record), codec.encode(record))
    before = balance.live(farm.home)
    assert "files-from-a-backup" not in {one.code for one in examined(farm, fix=True).findings}
    assert balance.lost(farm.home, before) == set()
    assert all((farm.home / keys.message("security", record)).exists() for record in fresh)


def test_mail_that_went_with_its_mailbox_is_named(farm: Farm) -> None:
    planted.mailbox_missing(farm)
    found = {one.code: one.where for one in examined(farm).findings}
    assert found["folder-missing"] == "inbox/frontend"
    assert found["records-missing"].count("inbox/frontend/") == 3


def test_hand_written_mail_behind_a_link_comes_along(farm: Farm) -> None:
    planted.mailbox_is_a_link(farm)
    examined(farm, fix=True)
    assert (farm.home / "inbox/frontend/by hand.md").read_text() == "From: owner\n\nin there\n"
    assert (farm.home.parent / "elsewhere/by hand.md").exists(), "nothing outside is touched"


def test_joined_histories_have_the_news_of_both_sides(farm: Farm) -> None:
    before = records(farm)
    planted.ledger_diverged(farm)
    here = message(id=f"{ID[:-1]}Z", subject="here", thread=ID)
    with farm.open("backend") as coord:  # an event on top of the strange history, as any command makes one
        mail.send(coord, ("owner",), Prose("on top\n"))
    drop(farm.home, keys.message("pm-architect", here), codec.encode(here))
    examined(farm, fix=True)
    after = records(farm)
    assert before.items() <= after.items()
    assert keys.message("security", message()) in after
    assert keys.message("pm-architect", here) in after
    assert len(after) == len(before) + 3
    assert agrees(farm)
    subjects = [entry.subject for entry in history.entries(farm.open().git)]
    assert sum("word" in subject for subject in subjects) >= 3


def test_an_event_that_was_begun_reaches_everybody(farm: Farm) -> None:
    planted.half_done(farm)
    examined(farm, fix=True)
    for name in ("frontend", "security"):
        assert (farm.home / keys.message(name, message())).exists()


def test_a_lost_ledger_without_a_trace_is_begun_anew_from_the_files(farm: Farm) -> None:
    before = records(farm)
    planted.ledger_missing(farm)
    planted_ground.private_missing(farm)
    report = examined(farm, fix=True)
    assert report.healthy, report
    assert records(farm) == before
    assert agrees(farm)


def test_a_lost_ledger_is_found_by_what_a_damaged_note_still_shows(farm: Farm) -> None:
    tip = git(farm.home, "rev-parse", "coord/ledger")
    state = farm.private / "journal/state.json"
    state.write_bytes(state.read_bytes() + b"}")
    planted.ledger_missing(farm)
    examined(farm, fix=True)
    assert git(farm.home, "merge-base", "coord/ledger", tip) == tip


def test_what_is_put_aside_never_goes_through_a_link_that_was(farm: Farm) -> None:
    kept = Kept(farm.open())
    planted.inbox_is_a_link(farm)
    kept.move(farm.home / "inbox")
    drop(farm.home, "inbox/frontend/x", b"x")
    kept.move(farm.home / "inbox/frontend")
    assert not (farm.home.parent / "elsewhere/frontend/x").exists()
    assert (farm.home / kept.names[1] / "x").read_bytes() == b"x"


def test_the_last_commit_of_a_worktree_that_is_gone_is_kept(farm: Farm) -> None:
    planted_ground.worktree_gone(farm)
    examined(farm, fix=True)
    (kept,) = git(farm.home, "for-each-ref", "--format=%(subject)", "refs/coord/trash").splitlines()
    assert kept == "on no branch"


def test_rebuilding_yields_what_was_there(farm: Farm) -> None:
    drop(farm.home, "inbox/frontend/note to adopt.md", b"by hand\n")
    planted.uncommitted(farm)
    before = records(farm)
    report = examined(farm, rebuild=True)
    assert (report.healthy, report.rebuilt) == (True, sum(map(keys.is_record, before)))
    assert {Path(name).name.partition("-")[0] for name in report.kept} == {"index.db"}
    assert agrees(farm)
    assert records(farm) == before
    assert (farm.home / "inbox/frontend/note to adopt.md").read_bytes() == b"by hand\n"


def test_rebuilding_makes_all_anew_and_keeps_what_hands_wrote(farm: Farm) -> None:
    before = records(farm)
    changed = farm.mail()
    changed.write_bytes(changed.read_bytes() + b"PS\n")
    fresh = keys.message("backend", message())
    drop(farm.home, fresh, codec.encode(message()))
    next((farm.home / "locks").glob("*.yaml")).unlink()
    planted.index_damaged(farm)
    report = examined(farm, rebuild=True)
    after = records(farm)
    assert after.pop(fresh) == codec.encode(message())
    assert after == before
    aside = next(farm.home / name for name in report.kept if name.endswith(changed.name))
    assert aside.read_bytes().endswith(b"PS\n")
    assert examined(farm, fix=True).healthy
    assert agrees(farm)


@pytest.mark.parametrize("turn", range(tiers.rounds(2, 100)))
def test_several_faults_at_once_are_mended_together_and_no_byte_is_lost(farm: Farm, turn: int) -> None:
    chance = random.Random(f"{tiers.seed()}/{turn}")
    for plant in (chosen := chance.sample(list(MENDED), chance.randint(2, 8))):
        try:
            plant(farm)
        except Exception as fault:  # the faults before it are in its way
            print(f"{plant.__name__} could not be planted: {fault}")
    print([plant.__name__ for plant in chosen])
    before = balance.live(farm.home)
    report = examined(farm, fix=True)
    assert report.healthy, report.findings
    assert balance.lost(farm.home, before) == set()
    assert examined(farm).findings == ()
    assert agrees(farm)


def test_nothing_is_found_while_others_work(farm: Farm) -> None:
    stop = threading.Event()

    def work() -> None:
        backend, frontend = farm.open("backend"), farm.open("frontend")
        while not stop.is_set():
            mail.send(backend, ("frontend", "security"), Prose("busy\n"))
            mail.read(frontend)
            backend.settle()
            frontend.settle()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for turn in range(tiers.rounds(4, 60)):
            assert examined(farm, fix=turn % 2 == 1).findings == ()
    finally:
        stop.set()
        worker.join()
    assert agrees(farm)


def test_a_check_that_fails_hides_no_other(farm: Farm) -> None:
    def broken(coord: Coord) -> Iterator[Finding]:
        raise ZeroDivisionError
        yield

    planted.index_missing(farm)
    found = list(examination.examine(patient.opened(farm.home), (broken, *examination.CHECKS)))
    assert [finding.code for finding in found] == ["unknown", "index-missing"]
    assert "ZeroDivisionError" in found[0].what


def doctor(farm: Farm, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "coord", "doctor", *words]
    return subprocess.run(command, cwd=farm.home, capture_output=True, text=True, check=False, env=os.environ)


def test_by_command_with_a_wrong_configuration(farm: Farm) -> None:
    planted_ground.config_wrong(farm)
    planted.index_damaged(farm)
    said = doctor(farm, "--as", "nobody")
    assert said.returncode == 7
    assert "Did you mean coordinator" in said.stdout
    assert "coord doctor --fix" in said.stdout.splitlines()[-1]
    plain = json.loads(doctor(farm, "--json").stdout)
    assert {found["state"] for found in plain["findings"]} == {"found", "by hand"}
    fixed = doctor(farm, "--fix")
    assert fixed.returncode == 7
    assert "1 mended, 1 for you to mend" in fixed.stdout
    (farm.home / ".coord.yaml").write_text((farm.home / ".coord.yaml").read_text().replace("cordinator", "coordinator"))
    assert "all is well" in doctor(farm).stdout


def test_where_coord_never_was_it_says_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "bare-of-coord")
    done = subprocess.run(
        [sys.executable, "-m", "coord", "doctor"],
        cwd=tmp_path / "bare-of-coord",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "coord init" in done.stderr
    assert not (tmp_path / "bare-of-coord/.git/coord").exists()
