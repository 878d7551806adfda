"""An idle session wakes when mail comes: each message is shown once, whoever dies in between."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import mutants_waking
import psutil
import pytest
from hooking import THIN, daemon, hook, recorded
from support import eventually

from coord.faces.hooks import payload, waiting
from coord.faces.hooks.answer import Caller
from coord.service import history, mail
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.history import Happened
from coord.service.session import sessions
from coord.service.session.callers import Called
from coord.service.session.sessions import Session
from coord.service.wake import waiters, waking

As = Callable[..., Coord]
STANDIN = Path(__file__).parent.parent / "standin.py"
SOON = 90.0


@pytest.fixture(params=["with a daemon", "without"])
def served(request: pytest.FixtureRequest, repo: Path) -> Iterator[bool]:
    with daemon(repo) if request.param == "with a daemon" else nullcontext():
        yield request.param == "with a daemon"


class Client:
    """A stand-in for the client, at work; what it noted is in its log, over all its lives."""

    def __init__(self, repo: Path, log: Path, session: str) -> None:
        self.log = log
        self.session = session
        words = [sys.executable, str(STANDIN), str(repo), "frontend", session, str(log)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, text=True)
        assert self.process.stdin
        self.stdin = self.process.stdin

    def say(self, line: str) -> None:
        with suppress(BrokenPipeError):
            self.stdin.write(f"{line}\n")
            self.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):
            self.stdin.close()

    def noted(self, what: str = "") -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [told for line in lines if what in ("", (told := json.loads(line))["what"])]

    def count(self, what: str, wanted: int) -> bool:
        return len(self.noted(what)) == wanted

    def shown(self) -> list[str]:
        return [one for told in self.noted("shown") for one in told["ids"]]


@contextmanager
def client(repo: Path, log: Path, session: str = "one") -> Iterator[Client]:
    made = Client(repo, log, session)
    try:
        yield made
    finally:
        made.kill()


def send(coord: Coord, text: str, **rest: object) -> str:
    return mail.send(coord, ("frontend",), Prose(text), **rest).message.id  # type: ignore[arg-type]


def session_of(coord: Coord, name: str = "one") -> Session:
    found = sessions.find(coord, "claude", name)
    assert found is not None
    return found


def is_waited(coord: Coord, name: str = "one") -> bool:
    """Tell whether a session is idle and somebody waits beside it."""
    found = sessions.find(coord, "claude", name)
    return found is not None and found.state == "idle" and waiters.is_waiting(coord, found)


def waiter_pid(coord: Coord, name: str = "one") -> int:
    with suppress(OSError, ValueError):
        return int(sessions.waiter_file(coord, session_of(coord, name)).read_text().split()[0])
    return 0


def comes(one: Client, sent: str) -> None:
    eventually(lambda: sent[-8:] in one.shown(), within=SOON, what=f"that the model is shown {sent[-8:]}")


def woken(coord: Coord) -> tuple[Happened, ...]:
    return history.log(coord, kind="session.woken").events


def test_mail_wakes_an_idle_session_and_that_is_recorded(
    repo: Path, coord_for: As, served: bool, tmp_path: Path
) -> None:
    backend = coord_for("backend")
    with client(repo, tmp_path / "log") as one:
        eventually(lambda: is_waited(backend), within=SOON)
        for number in range(2):
            sent = send(backend, f"word {number}")
            comes(one, sent)
            eventually(partial(is_waited, backend), within=SOON)
        assert len(one.shown()) == 2
        assert {told["event"] for told in one.noted("shown")} == {"UserPromptSubmit"}
        assert one.noted("fault") == []
        assert all("word" not in told["text"] for told in one.noted("woken"))
    wake = session_of(backend).wake
    assert wake is not None
    assert wake.seen_at is not None
    eventually(lambda: len(woken(coord_for("owner"))) == 2, within=SOON)
    entry = woken(coord_for("owner"))[0]
    assert (entry.agent, entry.facts["Way"], entry.facts["Client"]) == ("frontend", "stop hook", "claude")
    assert 0 < float(entry.facts["Seconds"]) < SOON


def test_a_burst_wakes_once(repo: Path, coord_for: As, tmp_path: Path) -> None:
    backend = coord_for("backend")
    with daemon(repo), client(repo, tmp_path / "log") as one:
        eventually(lambda: is_waited(backend), within=SOON)
        sent = [send(backend, f"word {number}") for number in range(8)]
        for each in sent:
            comes(one, each)
        assert len(one.shown()) == 8
        assert len(one.noted("woken")) == 1


def lost(coord: Coord, name: str = "one") -> None:
    """Kill the waiter of an idle session."""
    eventually(lambda: is_waited(coord, name), within=SOON)
    os.kill(waiter_pid(coord, name), signal.SIGKILL)
    eventually(lambda: not is_waited(coord, name), within=SOON)


@pytest.mark.timeout(400)
def test_where_the_waiter_was_killed_the_monitor_wakes(repo: Path, coord_for: As, served: bool, tmp_path: Path) -> None:
    backend = coord_for("backend")
    with client(repo, tmp_path / "log") as one:
        eventually(lambda: is_waited(backend), within=SOON)
        one.say("monitor")
        eventually(lambda: one.noted("monitor"), within=SOON)
        (monitor,) = one.noted("monitor")
        for name in ("one", "two")[: 1 + served]:
            lost(backend, name)
            sent = [send(backend, f"word {number}") for number in range(3)]
            for each in sent:
                comes(one, each)
            one.say("clear two")
        assert all("word" not in told["text"] for told in one.noted("woken"))
        assert len(one.noted("woken")) == 1 + served
        assert len(one.shown()) == 3 * (1 + served)
        assert one.noted("fault") == []
    eventually(
        lambda: not psutil.pid_exists(monitor["pid"]), within=SOON, what="that the monitor leaves with its client"
    )
    eventually(lambda: len(woken(coord_for("owner"))) == 1 + served, within=SOON)
    assert {event.facts["Way"] for event in woken(coord_for("owner"))} == {"monitor"}


@pytest.mark.timeout(400)
def test_a_monitor_yields_to_the_waiter(repo: Path, coord_for: As, tmp_path: Path) -> None:
    backend = coord_for("backend")
    with daemon(repo), client(repo, tmp_path / "log") as one:
        one.say("monitor")
        eventually(lambda: one.noted("monitor"), within=SOON)
        for number in range(4):
            eventually(partial(is_waited, backend), within=SOON)
            if number % 2:  # a waiter that came long ago, and one that has just come
                later = session_of(backend).seen_at + timedelta(seconds=6)
                eventually(lambda later=later: backend.now() > later, within=SOON)  # type: ignore[misc]
            comes(one, send(backend, f"word {number}"))
        eventually(partial(is_waited, backend), within=SOON)
        assert len(one.noted("woken")) == len(one.shown()) == 4
    assert {event.facts["Way"] for event in woken(coord_for("owner"))} == {"stop hook"}


def told_to(coord: Coord, what: str) -> str:
    """Return what a monitor beside a session of this process is told to print, "" where it is to wait."""
    hooked = payload.read("claude", b'{"hook_event_name": "Stop"}')
    assert hooked is not None
    called = Called.at(coord.home)
    assert called is not None
    answer, unfinished = waiting.of(hooked, called, Caller("frontend", os.getpid(), f"{what} {os.getpid()}"))
    unfinished.close()
    return answer.wakes


def test_a_monitor_stands_by_while_a_waiter_lives_or_may_come(repo: Path, coord_for: As) -> None:
    backend = coord_for("backend")
    session = recorded("claude-2.1.330.SessionStart", repo, session_id="one")
    hook("claude", session, repo, "frontend")
    send(backend, "word")
    assert told_to(backend, "instead") == ""  # it began a moment ago: a waiter may come
    with sessions.opened(backend, "claude", "one", timeout=SOON) as kept:
        kept.session = replace(kept.session, seen_at=backend.now() - timedelta(seconds=6))
    place = sessions.waiter_file(backend, session_of(backend))
    with subprocess.Popen(["sleep", "600"]) as waiter:
        place.write_text(waiters.name(waiter.pid))
        told = told_to(backend, "instead")
        waiter.kill()
    assert told == ""
    assert told_to(backend, "beside") == ""  # it asks where to wait
    assert told_to(backend, "instead") == waking.NOTICE


@pytest.mark.parametrize("mutant", mutants_waking.MONITOR)
def test_a_fault_planted_into_the_monitor_is_caught(
    repo: Path, coord_for: As, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    mutants_waking.MONITOR[mutant](monkeypatch)
    with pytest.raises(AssertionError):
        test_a_monitor_stands_by_while_a_waiter_lives_or_may_come(repo, coord_for)


def test_the_newest_waiter_takes_the_place(repo: Path, coord_for: As, served: bool, tmp_path: Path) -> None:
    backend = coord_for("backend")
    with client(repo, tmp_path / "log") as one:
        eventually(lambda: is_waited(backend), within=SOON)
        for number in range(2):
            one.say(f"prompt {number}")
            has_left = partial(one.count, "waiter", number + 1)
            eventually(has_left, within=SOON, what="that the older one leaves")
            eventually(lambda: is_waited(backend), within=SOON)
        assert [(told["status"], told["text"]) for told in one.noted("waiter")] == [(0, "")] * 2
        one.say("end")
        eventually(lambda: waiter_pid(backend) == 0, within=SOON)


def test_a_waiter_leaves_with_its_client_and_takes_nothing_along(
    repo: Path, coord_for: As, served: bool, tmp_path: Path
) -> None:
    backend = coord_for("backend")
    with client(repo, tmp_path / "log") as one:
        eventually(lambda: is_waited(backend), within=SOON)
        left = waiter_pid(backend)
        one.kill()
        sent = send(backend, "for the next one")
    eventually(lambda: not psutil.pid_exists(left), within=SOON, what="that the waiter leaves")
    assert session_of(backend).wake is None
    with client(repo, tmp_path / "next", "two") as two:
        comes(two, sent)
        assert [told["event"] for told in two.noted("shown")] == ["SessionStart"]
        assert two.noted("woken") == []


def test_a_waiter_whose_client_s_number_another_process_has_leaves(repo: Path, coord_for: As, tmp_path: Path) -> None:
    backend = coord_for("backend")
    with client(repo, tmp_path / "log") as one:
        eventually(lambda: is_waited(backend), within=SOON)
        with sessions.opened(backend, "claude", "one", timeout=SOON) as kept:
            assert kept.session.process is not None
            earlier = f"{float(kept.session.process.started_at) - 5:.2f}"
            kept.session = replace(kept.session, process=replace(kept.session.process, started_at=earlier))
        send(backend, "for another")
        eventually(lambda: one.noted("waiter"), within=SOON)
        assert [(told["status"], told["text"]) for told in one.noted("waiter")] == [(0, "")]
        assert session_of(backend).wake is None


def test_a_session_at_work_is_left_alone(repo: Path, coord_for: As, tmp_path: Path) -> None:
    backend = coord_for("backend")
    with client(repo, tmp_path / "log") as one:
        eventually(lambda: is_waited(backend), within=SOON)
        prompt = recorded("claude-2.1.330.UserPromptSubmit", repo, session_id="one", prompt="do it")
        hook("claude", prompt, repo, "frontend")
        sent = send(backend, "meanwhile")
        with pytest.raises(AssertionError, match="did not happen"):
            eventually(lambda: one.noted("waiter"), within=2)
        after = recorded("claude-2.1.330.PostToolUse.Read", repo, session_id="one")
        assert sent[-8:] in hook("claude", after, repo, "frontend").context
        hook("claude", recorded("claude-2.1.330.Stop", repo, session_id="one"), repo, "frontend")
        other = send(backend, "and now")
        comes(one, other)
        assert one.shown() == [other[-8:]]


@pytest.mark.parametrize("mode", ["off", "pressing"])
def test_the_configuration_says_what_is_worth_a_wake_up(repo: Path, coord_for: As, tmp_path: Path, mode: str) -> None:
    with (repo / ".coord.yaml").open("a") as file:
        file.write(f"hooks: {{wake: {mode}}}\n")
    backend = coord_for("backend")
    with daemon(repo), client(repo, tmp_path / "log") as one:
        if mode == "off":
            eventually(lambda: one.noted("waiter"), within=SOON)
            assert [(told["status"], told["text"]) for told in one.noted("waiter")] == [(0, "")]
            return
        eventually(lambda: is_waited(backend), within=SOON)
        first = send(backend, "no hurry")
        second = send(backend, "now", priority="urgent")
        comes(one, second)
        assert first[-8:] in one.shown()
        eventually(lambda: is_waited(backend), within=SOON)
        wake = session_of(backend).wake
        assert wake is not None
        assert wake.ids == (second,)


def test_a_session_that_answers_one_prompt_is_not_held_up(repo: Path, coord_for: As) -> None:
    stop = recorded("claude-2.1.330.Stop", repo)
    words = [sys.executable, "-I", "-S", str(THIN), "claude", "wait"]
    given = {**os.environ, "COORD_AGENT": "frontend", "CLAUDE_CODE_SESSION_ATTENDED": "0"}
    data = json.dumps(stop).encode()
    done = subprocess.run(words, input=data, cwd=repo, env=given, capture_output=True, timeout=SOON, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_where_no_hook_tells_of_the_prompt_mail_comes_at_the_stop(repo: Path, coord_for: As) -> None:
    backend = coord_for("backend")
    hook("claude", recorded("claude-2.1.330.SessionStart", repo, session_id="one"), repo, "frontend")
    sent = send(backend, "word")
    with sessions.opened(backend, "claude", "one", timeout=SOON) as kept:
        kept.session = waking.called(kept.session, "stop hook", waking.due(backend, "frontend", kept), backend.now())
    stop = recorded("claude-2.1.330.Stop", repo, session_id="one")
    assert sent[-8:] in hook("claude", stop, repo, "frontend").refusal
    assert hook("claude", stop, repo, "frontend").refusal == ""
    assert len(woken(backend)) == 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rounds", [30])
def test_whoever_dies_nothing_is_lost_or_shown_twice(repo: Path, coord_for: As, tmp_path: Path, rounds: int) -> None:
    seed = int(os.environ.get("COORD_SEED", "0")) or random.randrange(1 << 32)
    print(f"COORD_SEED={seed}")
    dice = random.Random(seed)
    log, backend = tmp_path / "log", coord_for("backend")
    names = (f"s{number}" for number in itertools.count())
    everything: list[str] = []
    with daemon(repo), ExitStack() as stack:
        one = stack.enter_context(client(repo, log, next(names)))
        for number in range(rounds):
            fate = dice.choice(["nothing", "nothing", "client", "waiter", "clear", "prompt", "burst"])
            early = dice.random() < 0.5
            eventually(partial(is_waited, backend, one.session), within=SOON, what=f"{one.session} idle")
            if early:
                one = _strike(fate, one, backend, lambda: stack.enter_context(client(repo, log, next(names))), names)
            everything += [send(backend, f"{number}.{part}") for part in range(3 if fate == "burst" else 1)]
            time.sleep(dice.random() * 0.5)
            if not early:
                one = _strike(fate, one, backend, lambda: stack.enter_context(client(repo, log, next(names))), names)
            for each in everything:
                comes(one, each)
    shown = one.shown()
    assert sorted(set(shown)) == sorted(each[-8:] for each in everything)
    assert one.noted("fault") == []
    for each in shown:
        lives = [(told["session"], told["what"]) for told in one.noted() if each in told.get("ids", ())]
        was_shown = [session for session, what in lives if what == "shown"]
        assert len(was_shown) == len(set(was_shown)), f"{each} was shown twice: {lives}"
        assert len(was_shown) == 1 or lives[1][1] == "shown", f"{each} was shown again after it was dealt with: {lives}"


def _strike(fate: str, one: Client, backend: Coord, again: Callable[[], Client], names: Iterator[str]) -> Client:
    """Let something happen to the client; return the one that lives now."""
    if fate == "client":
        one.kill()
        return again()
    if fate == "waiter":
        if pid := waiter_pid(backend, one.session):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        one.say("prompt go on")  # nobody is left who could wake it
    if fate == "prompt":
        one.say("prompt do something")
    if fate == "clear":
        one.session = next(names)
        one.say(f"clear {one.session}")
    return one
