from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.config import flow, reading, writing
from coord.config.schema import Agent, Leases
from coord.model.errors import ConfigError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "claude-flow.yaml"
EXAMPLE = Path(__file__).parents[2] / ".coord.yaml"


def refusal(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        flow.from_flow(text, "claude-flow.yaml")
    return caught.value


def test_the_seed_becomes_the_example() -> None:
    imported = flow.from_flow(FIXTURE.read_text(encoding="utf-8"), FIXTURE.name)
    example = reading.load(EXAMPLE)
    assert imported.config.agents == example.agents
    assert imported.config.names == example.names
    assert imported.config.coordinator == example.coordinator == "pm-architect"
    assert imported.config.leases == Leases(ttl=timedelta(minutes=30))
    assert imported.config.agent("don-kb").globs == ("docs/**",)
    assert imported.config.agent("don-kb").words == ("knowledge",)
    assert reading.parse(writing.render(imported.config), "x") == imported.config


def test_what_has_no_counterpart_is_told() -> None:
    imported = flow.from_flow(FIXTURE.read_text(encoding="utf-8"), FIXTURE.name)
    assert imported.notes == (
        "swarm.topology ('hierarchical') is left out: agents write to each other directly",
        "swarm.max_agents ('13') is left out: there is no limit",
        "swarm.strategy ('enterprise') is left out",
        "communication is left out: mail is files in inbox/",
        "memory is left out: checkpoints and decisions are files in checkpoints/",
        "file_locking.backend ('postgresql') is left out: leases are files in locks/",
    )


def test_names_are_made_valid_and_distinct() -> None:
    imported = flow.from_flow(
        "queen: {name: PM Architect}\nworkers:\n- name: Back_End\n- name: back-end\n- name: all\n  model: opus\n", "f"
    )
    assert imported.config.names == ("pm-architect", "back-end", "back-end-2", "all-agent")
    assert imported.config.coordinator == "pm-architect"
    assert imported.notes == (
        "'PM Architect' is called pm-architect here",
        "'Back_End' is called back-end here",
        "'back-end' is called back-end-2 here",
        "'all' is called all-agent here",
        "workers[3].model ('opus') is left out",
    )


def test_queen_and_workers_may_stand_inside_the_swarm() -> None:
    imported = flow.from_flow("swarm:\n  queen: {name: boss}\n  workers: [{name: a, domain: x}]\n", "f")
    assert imported.config.agents == (Agent(name="boss"), Agent(name="a", domain=("x",)))
    assert imported.notes == ()


def test_bare_names_will_do() -> None:
    imported = flow.from_flow("queen: boss\nworkers: [a, b]\n", "f")
    assert imported.config.names == ("boss", "a", "b")
    assert imported.config.coordinator == "boss"


def test_two_swarms_in_one_file_are_not_mixed_in_silence() -> None:
    imported = flow.from_flow("workers: [a]\nswarm: {workers: [b]}\n", "f")
    assert imported.config.names == ("a",)
    assert imported.notes == ("swarm.workers is left out",)


def test_thousands_of_one_name_take_no_time() -> None:
    imported = flow.from_flow(f"workers: [{'a,' * 30_000}]", "f")
    assert imported.config.names[-1] == "a-30000"


def test_without_a_queen_the_owner_coordinates() -> None:
    assert flow.from_flow("workers: [{name: a}]", "f").config.coordinator == "owner"


def test_a_long_timeout_raises_the_limit() -> None:
    imported = flow.from_flow("workers: [{name: a}]\nfile_locking: {timeout: 12h}\n", "f")
    assert imported.config.leases == Leases(ttl=timedelta(hours=12), max=timedelta(hours=12))
    assert imported.notes == ("leases.max is as long as the timeout, more than the usual 8h",)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "names no queen and no workers"),
        ("workers: []\n", 1, "names no queen and no workers"),
        ("agents: [a]\n", 1, "names no queen and no workers"),
        ("[a, b]", 1, "a mapping is expected"),
        ("queen: [boss]", 1, "queen: must be a mapping"),
        ("queen: {}", 1, "queen: has no name"),
        ("queen: {name: boss}\nworkers:\n  a: b", 3, "workers: must be a list"),
        ("workers:\n- name: a\n- [b]", 3, "workers[2]: must be a mapping"),
        ("workers:\n- name: a\n- role: nobody", 3, "workers[2]: has no name"),
        ("workers:\n- name: [a]", 2, "workers[1]: must be text, not a list"),
        ("workers:\n- name: a\n  domain: ../x", 3, "agents.a.domain: scope '../x' is outside"),
        ("workers: [{name: a}]\nfile_locking:\n  timeout: 30", 3, "leases.ttl: the duration '30' needs a unit"),
    ],
)
def test_a_fault_is_named_with_its_line(text: str, line: int, message: str) -> None:
    error = refusal(text)
    assert error.message.startswith(f"claude-flow.yaml:{line}: ")
    assert message in error.message


WORDS = ("swarm", "queen", "workers", "name", "role", "domain", "capabilities", "file_locking", "timeout", "30m", "a")
MARKS = (": ", "\n", "\n  ", "\n- ", "[", "]", "{", "}", ",", "{name: a}", "\nqueen: ", "\nworkers: ", "\nswarm: ")
scraps = st.sampled_from(WORDS + MARKS)


@settings(deadline=None, derandomize=False, print_blob=True, max_examples=200)
@given(st.text(max_size=200) | st.lists(scraps, max_size=30).map("".join))
def test_any_text_is_imported_or_refused(text: str) -> None:
    try:
        imported = flow.from_flow(text, "x")
    except ConfigError as error:
        assert error.message.startswith("x:")
    else:
        assert reading.parse(writing.render(imported.config), "x") == imported.config
        assert all(note.isprintable() for note in imported.notes)
