"""Every parser against millions of inputs: no crash, no hang, no way out of the folders, exact round trips.

A third of the inputs are hypothesis' own texts and bytes, the others whole records gone wrong (tests/mangled.py);
what must hold of each is in tests/parsers.py.
"""

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType
from typing import Any

import mutants_inputs
import pytest
import tiers
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from parsers import PARSERS, Parser

CHUNKS = tiers.rounds(1, 40)
EXAMPLES = tiers.rounds(5_000, 25_000)
PATIENCE = 1.0  # seconds of this process' own time, so that a busy machine is no hang


class Broken(AssertionError):
    """What an input did to a parser."""


class Hang(Exception):
    """An input has kept a parser busy for too long."""


@contextmanager
def watched() -> Iterator[None]:
    def bite(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {PATIENCE:g} s for one input")

    before = signal.signal(signal.SIGVTALRM, bite)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def attempt(parser: Parser, made: Any) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        parser.check(made)
    except Exception as fault:
        line = traceback.extract_tb(fault.__traceback__)[-1].line
        raise Broken(f"{type(fault).__name__}: {fault}\nat {line}\nwith {made!r:.2000}") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def hunt(parser: Parser, examples: int, seed: int) -> None:
    """Check EXAMPLES inputs, one in three of them hypothesis' own; raise Broken for what does as it must not."""
    loose: st.SearchStrategy[Any] = st.binary() if parser.binary else st.text()

    @seeded(seed)
    @settings(
        max_examples=examples // 3,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(loose)
    def each(drawn: Any) -> None:
        attempt(parser, drawn)

    with watched():
        for number in range(examples - examples // 3):
            attempt(parser, parser.made(Random(f"{seed} {number}")))
        each()


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("name", PARSERS)
def test_no_input_breaks_a_parser(name: str, chunk: int) -> None:
    hunt(PARSERS[name], EXAMPLES, tiers.seed() + chunk)


@pytest.mark.parametrize("mutant", mutants_inputs.PARSERS, ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(mutant: mutants_inputs.Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.plant(monkeypatch)
    with pytest.raises(Broken):
        hunt(PARSERS[mutant.where], 50_000, tiers.seed())  # as many as it takes: six hundred, for some


def test_every_parser_has_a_mutant() -> None:
    assert {mutant.where for mutant in mutants_inputs.PARSERS} == set(PARSERS)
