"""Two hundred agents in one repository: nothing lost, nothing twice, and soon in the ledger."""

import fcntl
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import crowd
import pytest
import tiers
from crowd import Errand, Onlooker, Said
from support import at_rest, eventually, git

from coord.git import history, joining, maintain
from coord.git.repo import Git
from coord.model import keys
from coord.service import verify
from coord.service.coord import Coord

AGENTS = 200
# Git itself would collect garbage at more than these.
MOST_PACKS, MOST_LOOSE = 50, 6_700


def test_two_hundred_agents_lose_nothing_and_repeat_nothing(repo: Path) -> None:
    errand = Errand(agents=AGENTS, messages=tiers.rounds(2_000, 100_000), seed=tiers.seed())
    said, seen = torment(repo, errand)
    assert len(said.sent) == errand.messages
    assert_in_files(repo, said)
    lags = assert_in_ledger(repo, said, seen)
    took = sorted(one.took for one in said.sent)
    print(f"{len(took)} sends: p50 {_at(took, 50):.4f} s, p99 {_at(took, 99):.4f} s, longest {took[-1]:.3f} s")
    print(
        f"from acknowledged to committed: p50 {_at(lags, 50):.3f} s, p99 {_at(lags, 99):.3f} s, longest {lags[-1]:.3f} s"
    )
    print(f"at most {seen.packs} packs and {seen.loose} loose objects; {len(said.read)} read")
    assert_prompt(lags)
    assert_small(seen)
    verify.verify(Coord.open(repo))


def test_without_a_daemon_commands_keep_the_packs_few(repo: Path) -> None:
    errand = Errand(agents=20, messages=tiers.rounds(120, 5_000), processes=2, seed=tiers.seed(), settle=True)
    said, seen = torment(repo, errand, daemon=None, loose=True)
    assert_in_files(repo, said)
    assert_in_ledger(repo, said, seen)
    assert_small(seen)
    print(f"at most {seen.packs} packs and {seen.loose} loose objects")


def test_a_repack_delays_no_send(repo: Path) -> None:
    errand = Errand(agents=20, messages=tiers.rounds(300, 20_000), processes=2, seed=tiers.seed())
    crowd.populate(repo, errand.agents)
    with crowd.watched(repo):
        filled = crowd.send(repo, errand)
        with repacking(repo) as times:
            said = crowd.send(repo, replace(errand, seed=errand.seed + 1))
    assert_in_files(repo, Said(filled.sent + said.sent, filled.read + said.read))
    took = [sorted(one.took for one in sent) for sent in (filled.sent, said.sent)]
    print(
        f"longest send {took[0][-1]:.3f} s, and {took[1][-1]:.3f} s beside {len(times)} repacks of up to {max(times):.2f} s"
    )
    print(f"p99 {_at(took[0], 99):.3f} s, and {_at(took[1], 99):.3f} s beside them")
    assert_undelayed(took[1])


def test_a_send_that_waits_for_a_repack_is_found(repo: Path) -> None:
    crowd.populate(repo, 2)
    lock = maintain.lock_of(repo / ".git")
    lock.parent.mkdir(exist_ok=True)
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        over = threading.Timer(6, fcntl.flock, (held.fileno(), fcntl.LOCK_UN))
        over.start()
        said = crowd.send(repo, Errand(agents=2, messages=2, processes=1, mutant="waits for repack"))
        over.join()
    with pytest.raises(AssertionError, match="the longest send"):
        assert_undelayed(sorted(one.took for one in said.sent))


def nearly_too_loose(repo: Path) -> None:
    """Leave as many loose objects of the owner's own as git just bears; it estimates them from one folder."""
    contents = (f"{number}\n".encode() for number in itertools.count())
    chosen = itertools.islice((one for one in contents if history.blob_id(one).startswith("17")), MOST_LOOSE // 256)
    stream = b"".join(b"blob\ndata %d\n%s\n" % (len(one), one) for one in chosen)
    Git(repo).run("fast-import", "--quiet", stdin=stream)
    assert 0 < MOST_LOOSE - crowd.stored(repo)[1] < 256


@contextmanager
def repacking(repo: Path) -> Iterator[list[float]]:
    """Repack without a pause; yields how long each took."""
    over, times = threading.Event(), list[float]()

    def repack() -> None:
        while not over.is_set() or not times:
            began = time.monotonic()
            joining.at_once(repo / ".git")
            times.append(time.monotonic() - began)

    thread = threading.Thread(target=repack)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("mutant", "where", "words"),
    [
        ("event not noted", "senders", "not in the ledger"),
        ("file not written", "senders", "are lost"),
        ("sent again", "senders", "were never sent"),
        ("committed again", "daemon", "more than once"),
        ("committed late", "daemon", "the slowest commit took"),
    ],
)
def test_what_is_lost_twice_or_late_is_found(repo: Path, mutant: str, where: str, words: str) -> None:
    errand = Errand(agents=20, messages=200, processes=2, seed=7, mutant=mutant if where == "senders" else "")
    said, seen = torment(repo, errand, daemon=mutant if where == "daemon" else "")
    with pytest.raises(AssertionError, match=words):
        assert_in_files(repo, said)
        assert_prompt(assert_in_ledger(repo, said, seen), within=2)


@pytest.mark.parametrize(
    ("mutant", "messages", "words"), [("never repacked", 55, "packs"), ("objects left loose", 400, "loose")]
)
def test_what_piles_up_in_git_is_found(repo: Path, mutant: str, messages: int, words: str) -> None:
    errand = Errand(agents=20, messages=messages, processes=1, settle=messages < 100, mutant=mutant)
    _, seen = torment(repo, errand, daemon=None, loose=True)
    with pytest.raises(AssertionError, match=words):
        assert_small(seen)


def torment(repo: Path, errand: Errand, daemon: str | None = "", *, loose: bool = False) -> tuple[Said, Onlooker]:
    """Let the senders go, with the daemon (and its fault) beside them; return when nothing waits any more.

    With LOOSE the owner has as many loose objects as git just bears.
    """
    crowd.populate(repo, errand.agents)
    if loose:
        at_rest(repo)
        nearly_too_loose(repo)
    journal = Coord.open(repo).journal
    with nullcontext() if daemon is None else crowd.watched(repo, daemon), Onlooker(repo).looking() as seen:
        said = crowd.send(repo, errand)
        eventually(lambda: journal.size() == 0, within=tiers.rounds(60, 600), what="committing what was noted")
        last = git(repo, "rev-parse", "coord/ledger")
        eventually(lambda: seen.tips[-1][1] == last, what="seeing the last commit")
    return said, seen


def assert_in_files(repo: Path, said: Said) -> None:
    """Each message is in each of its mailboxes, once, whole, read where it was read; and nothing else is there."""
    read = Counter(said.read)
    assert _repeated(read) == [], "messages were read twice"
    texts = {one.id: one.text for one in said.sent}
    expected = {(box, one.id): (box, one.id) in read for one in said.sent for box in one.boxes}
    found = Counter[tuple[str, str]]()
    state: dict[tuple[str, str], bool] = {}
    for folder in (repo / "inbox").iterdir():
        for file in folder.glob("**/*.md"):
            if (identifier := keys.id_in(file.name)) is None:
                continue
            place = (folder.name, identifier)
            found[place] += 1
            state[place] = file.parent.name == "read"
            assert texts.get(identifier, "").encode() in file.read_bytes(), f"{file} is not as it was sent"
    assert expected.keys() - found.keys() == set(), "messages are lost"
    assert found.keys() - expected.keys() == set(), "messages are there that were never sent"
    assert _repeated(found) == [], "messages are in a mailbox twice"
    assert state == expected, "messages are not where their readers left them"


def assert_in_ledger(repo: Path, said: Said, seen: Onlooker) -> list[float]:
    """Each acknowledged message is one commit; return, in order, how long each took to be seen there."""
    form = "%H %(trailers:key=Coord-Event,valueonly,separator=) %(trailers:key=Coord-Id,valueonly,separator=)"
    lines = [line.split() for line in git(repo, "log", "--reverse", f"--format={form}", "coord/ledger").splitlines()]
    place = {line[0]: number for number, line in enumerate(lines)}
    counted = Counter(line[2] for line in lines if len(line) == 3)
    assert _repeated(counted) == [], "events are in the ledger more than once"
    order = {line[2]: number for number, line in enumerate(lines) if len(line) == 3 and line[1] == "mail.sent"}
    assert {one.id for one in said.sent} - order.keys() == set(), "messages are not in the ledger"
    shown = _shown_at(len(lines), [(moment, place[tip]) for moment, tip in seen.tips])
    return sorted(max(0.0, shown[order[one.id]] - one.at) for one in said.sent)


def assert_prompt(lags: list[float], within: float | None = None) -> None:
    """An event is soon in the ledger; on a machine that others use too there is more time."""
    limit = within or tiers.rounds(20, 2)
    assert lags[-1] < limit, f"the slowest commit took {lags[-1]:.1f} s"


def assert_undelayed(took: list[float]) -> None:
    """No send took long; on a machine that others use too, the disk itself may."""
    assert took[-1] < tiers.rounds(2, 1), f"the longest send took {took[-1]:.2f} s"


def assert_small(seen: Onlooker) -> None:
    """The owner's git never had a reason to collect garbage."""
    assert seen.loose <= MOST_LOOSE, f"{seen.loose} loose objects"
    assert seen.packs <= MOST_PACKS, f"{seen.packs} packs"


def _shown_at(count: int, seen: list[tuple[float, int]]) -> list[float]:
    """Return when each of so many commits was seen first, as a tip or below one."""
    shown = [float("inf")] * count
    begin = 0
    for moment, tip in seen:
        shown[begin : tip + 1] = [moment] * (tip + 1 - begin)
        begin = max(begin, tip + 1)
    return shown


def _repeated(counted: Counter[str] | Counter[tuple[str, str]]) -> list[object]:
    return [one for one, count in counted.items() if count > 1]


def _at(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
