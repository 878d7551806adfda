"""A ledger's branch that was set to something else: nothing is written on top of it, and all of it is kept."""

from pathlib import Path

import pytest
from byhand import drop, message
from farming import Farm, work
from planted import Plant, ledger_a_blob, ledger_a_tree, ledger_of_code
from support import git

from coord.git import branch
from coord.git.repo import Git
from coord.model import codec, keys
from coord.model.errors import Corrupt
from coord.service import history, mail, status, verify
from coord.service.command import Prose
from coord.service.doctor import command, patient

LEDGER = "refs/heads/coord/ledger"
OBJECTS = [ledger_a_blob, ledger_a_tree]


@pytest.fixture
def farm(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Farm:
    work(repo)
    return Farm(repo, monkeypatch)


def ref(farm: Farm) -> str:
    return (farm.common / LEDGER).read_text().strip()


def paths(farm: Farm) -> list[str]:
    return git(farm.home, "ls-tree", "-r", "--name-only", "coord/ledger").splitlines()


def fixed(farm: Farm) -> set[str]:
    report = command.doctor(patient.opened(farm.home), fix=True)
    assert report.healthy, report.findings
    return {found.code for found in report.findings}


@pytest.mark.parametrize("plant", [ledger_of_code, *OBJECTS], ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_nothing_is_written_on_top_and_what_was_sent_comes_to_the_ledger_that_is_put_back(
    farm: Farm, plant: Plant, packed: bool
) -> None:
    tip = git(farm.home, "rev-parse", LEDGER)
    plant(farm)
    foreign = ref(farm)
    if packed:
        git(farm.home, "pack-refs", "--all")
    coord = farm.open("backend")
    with coord:
        mail.send(coord, ("owner",), Prose("meanwhile\n"))
    assert coord.left is not None
    assert "coord doctor --fix" in coord.left.hint
    assert foreign[:10] in coord.left.message
    assert git(farm.home, "rev-parse", LEDGER) == foreign
    assert "ledger-foreign" in fixed(farm)
    assert git(farm.home, "merge-base", LEDGER, tip) == tip
    assert "meanwhile" in git(farm.home, "log", "--format=%s", LEDGER)
    (kept,) = git(farm.home, "for-each-ref", "--format=%(objectname)", "refs/coord/trash").splitlines()
    assert kept == foreign
    assert all(path.startswith(tuple(keys.FOLDERS)) for path in paths(farm))


@pytest.mark.parametrize("plant", [ledger_of_code, *OBJECTS], ids=lambda plant: plant.__name__)
def test_without_a_trace_of_it_the_ledger_is_begun_anew_from_the_files(farm: Farm, plant: Plant) -> None:
    before = paths(farm)
    plant(farm)
    (farm.common / "logs" / LEDGER).unlink()
    (farm.private / "journal/state.json").unlink()
    assert "ledger-foreign" in fixed(farm)
    assert paths(farm) == [path for path in before if keys.is_record(path)]
    assert git(farm.home, "for-each-ref", "refs/coord/trash")


@pytest.mark.parametrize("plant", OBJECTS, ids=lambda plant: plant.__name__)
def test_whoever_asks_a_ledger_that_is_no_commit_is_told_so(farm: Farm, plant: Plant) -> None:
    plant(farm)
    for ask in (history.log, status.status, verify.verify):
        with pytest.raises(Corrupt, match=r"is no (commit|ledger)") as caught:
            ask(farm.open())
        assert caught.value.hint == "coord doctor --fix"


def test_code_that_events_were_committed_on_top_of_leaves_the_tree_and_stays_in_the_history(farm: Farm) -> None:
    before, lost = set(paths(farm)), git(farm.home, "rev-parse", LEDGER)
    ledger_of_code(farm)
    code, record = ref(farm), message()
    key = keys.message("security", record)
    drop(farm.home, key, codec.encode(record))
    tree = branch.tree_with(Git(farm.home), code, {key: git(farm.home, "hash-object", "-w", key)})
    said = f"mail: on top\n\nCoord-Event: mail.sent\nCoord-Id: {record.id}\nCoord-Agent: backend\n"
    git(farm.home, "update-ref", LEDGER, git(farm.home, "commit-tree", "-p", code, "-m", said, tree))
    assert "ledger-diverged" in fixed(farm)
    assert set(paths(farm)) == {*before, key}
    for commit in (code, lost):
        assert git(farm.home, "merge-base", LEDGER, commit) == commit


def test_on_a_ledger_that_somebody_else_moved_work_goes_on(farm: Farm) -> None:
    """As after a fetch, a commit by hand, or without a reflog: only what holds no event at all is refused."""
    tree = git(farm.home, "rev-parse", f"{LEDGER}^{{tree}}")
    git(farm.home, "update-ref", LEDGER, git(farm.home, "commit-tree", "-p", LEDGER, "-m", "by hand", tree))
    (farm.common / "logs" / LEDGER).unlink()
    with farm.open("backend") as coord:
        mail.send(coord, ("owner",), Prose("goes on\n"))
    assert coord.left is None
    assert "goes on" in git(farm.home, "log", "-1", "--format=%s", LEDGER)
