"""An idle session is woken when mail comes, and none of it is lost or shown twice, whatever dies."""

import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

import pytest
from clients.conftest import Ground
from clients.figures import FIGURES
from clients.programs import PROGRAMS, Program
from clients.standin import Asked, Blocks, Call, Model, Say
from clients.terminal import Terminal
from support import eventually

CLAUDE = PROGRAMS[0]
WAYS = [(PROGRAMS[0], "stop hook"), (PROGRAMS[1], "codex queue")]
MANY = 30
_MESSAGE = re.compile(r"^- ([0-9A-Z]{8}) \S.* from frontend \(agent\)", re.MULTILINE)


def diligent(asked: Asked) -> Blocks:
    """Acknowledge every message that one is shown, so that it is no longer unread."""
    found = _MESSAGE.findall(asked.heard)
    return [Call("mail_ack", {"which": found}, server="coord")] if found else [Say("I wait.")]


@contextmanager
def session(ground: Ground, program: Program, number: int = 0) -> Iterator[tuple[Model, Terminal]]:
    """Begin a session that a person sits before, and be back when it is idle for the first time."""
    model = ground.model(program, *[diligent] * 500)
    words = program.words_at_terminal(model.url, "Begin.")
    env = program.env(model.url, ground.home)
    with Terminal(ground.repo.parent / f"tmux-{number}", words, ground.tree("backend"), env) as terminal:
        model.eventually(1, within=120)
        idle(ground)
        yield model, terminal


def idle(ground: Ground) -> None:
    """Wait until a session is idle and nothing unread is left."""

    def quiet() -> bool:
        states = {one["state"] for one in ground.coord("owner", "session", "list")["items"]}
        return states == {"idle"} and not ground.coord("backend", "mail", "list")["unread"]

    eventually(quiet, within=120, what="a session that is idle")


def shown(models: list[Model], text: str) -> int:
    """Return how often a message was shown."""
    return sum(asked.heard.count(f"> {text}\n") for model in models for asked in model.asked)


@pytest.mark.parametrize(("program", "way"), WAYS, ids=[program.name for program, _ in WAYS])
def test_mail_wakes_it(ground: Ground, program: Program, way: str) -> None:
    with session(ground, program) as (model, _):
        ground.mail("backend", "The oven is hot.")
        eventually(lambda: shown([model], "The oven is hot.") == 1, within=60, what="the mail before its eyes")
        idle(ground)
    (event,) = ground.coord("owner", "log", "--kind", "session.woken")["events"]
    assert f"backend woken by {way} after " in event["subject"]
    FIGURES.append(f"{program.name}: {event['subject']}")


def test_all_of_it_arrives_once_though_a_session_dies(ground: Ground) -> None:
    models: list[Model] = []
    seconds: list[float] = []

    def deliver(numbers: range, wait: Callable[[], None]) -> None:
        for number in numbers:
            text = f"This is message {number} of {MANY}."
            sent = datetime.fromisoformat(ground.mail("backend", text)["sent_at"]).timestamp()
            eventually(lambda text=text: shown(models, text), within=90, what=text)  # type: ignore[misc]
            seen = next(asked.at for model in models for asked in model.asked if f"> {text}\n" in asked.heard)
            seconds.append(seen - sent)
            wait()

    with ExitStack() as stack:
        model, terminal = stack.enter_context(session(ground, CLAUDE, 1))
        models.append(model)
        deliver(range(1, MANY // 2), lambda: idle(ground))
        terminal.kill()
        lost = f"This is message {MANY // 2} of {MANY}."
        ground.mail("backend", lost)
        model, _ = stack.enter_context(session(ground, CLAUDE, 2))
        models.append(model)
        deliver(range(MANY // 2 + 1, MANY + 1), lambda: idle(ground))
    counts = {number: shown(models, f"This is message {number} of {MANY}.") for number in range(1, MANY + 1)}
    figures = f"median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s"
    delivered = sum(count == 1 for count in counts.values())
    FIGURES.append(
        f"{delivered} of {MANY} messages were shown once each, though a session died in the middle: {figures}"
    )
    assert counts == dict.fromkeys(range(1, MANY + 1), 1)
