"""What is written is read back, and says what every key is for."""

import dataclasses
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.config import checks, reading, writing
from coord.config.schema import (
    DEFAULT,
    Agent,
    Checkpoints,
    Config,
    Decisions,
    Group,
    Leases,
    Mail,
    Merge,
    Secrets,
    UnreadAge,
    Watch,
    Worktrees,
)
from coord.config.sections import keys_of
from coord.model import keys

EXAMPLE = Path(__file__).parents[2] / ".coord.yaml"
SPECIALISTS = [
    "backend",
    "ux-design",
    "field-ops",
    "financial",
    "sales-crm",
    "inventory",
    "grants",
    "security",
    "social-media",
    "mobile",
    "accounting",
    "business",
    "don-kb",
]
FUZZ = settings(deadline=None, derandomize=False, print_blob=True, max_examples=200)


def test_a_new_file_is_short_and_is_read_back() -> None:
    new = Config(agents=(Agent(name="a"), Agent(name="b", role="Second")))
    text = writing.render(new)
    assert reading.parse(text, "x") == new
    assert text.count("\n") < 25
    assert "  b:\n    role: Second\n    domain:\n" in text
    assert "leases" not in text


def test_the_example_has_every_key_with_its_explanation() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    example = reading.load(EXAMPLE)
    assert text == writing.render(example, every=True)
    assert example.names == ("pm-architect", *SPECIALISTS)
    assert dataclasses.replace(example, agents=(), groups=(), coordinator="owner") == DEFAULT
    assert example.coordinator == "pm-architect"
    for section in (Agent, Worktrees, Leases, UnreadAge, Mail, Merge, Checkpoints, Decisions, Secrets, Watch, Config):
        for name, (key, _) in keys_of(section).items():
            assert f"{name}:" in text
            assert key.about[1:] in text, f"{name} is not explained"


names = st.from_regex(r"[a-z][a-z0-9-]{0,6}[a-z0-9]", fullmatch=True).filter(keys.is_agent_name)
words = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"], exclude_characters=","), min_size=1, max_size=12
).map(str.strip)
paths = st.lists(st.sampled_from(["src", "*.py", "**", "[a-z]", "\\*", "Ümlaut", "a b"]), min_size=1, max_size=3).map(
    "/".join
)
domains = st.lists(paths | words.filter(lambda word: word != "" and not checks.is_glob(word)), max_size=3, unique=True)
seconds = st.builds(timedelta, seconds=st.integers(1, 86_400), microseconds=st.integers(0, 999_999))
exact = st.builds(timedelta, seconds=st.integers(2, 86_399), microseconds=st.integers(0, 999_999))
agents = st.lists(
    st.builds(Agent, name=names, role=words, domain=domains.map(tuple), client=words, description=words),
    max_size=4,
    unique_by=lambda agent: agent.name,
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    there = draw(agents)
    known = [agent.name for agent in there]
    members = st.lists(st.sampled_from(known), min_size=1, unique=True).map(tuple) if known else st.nothing()
    groups = st.lists(st.builds(Group, names, members), max_size=2, unique_by=lambda group: group.name).map(tuple)
    ages = st.builds(UnreadAge, low=seconds, normal=seconds, high=seconds, urgent=seconds)
    return Config(
        agents=tuple(there),
        coordinator=draw(st.sampled_from([*known, "owner"])),
        groups=draw(groups) if known else (),
        worktrees=Worktrees(path=draw(names) + "/{name}", branch=draw(names) + "{name}"),
        leases=Leases(ttl=draw(exact), max=timedelta(days=draw(st.integers(1, 30)))),
        mail=Mail(read_retention=draw(seconds), dead_retention=draw(seconds), unread_age=draw(ages)),
        merge=Merge(
            into=draw(st.sampled_from(["", "main", "release/1.0"])),
            test=draw(names),
            timeout=draw(exact),
            resolver=draw(st.sampled_from(["", "owner", *known])),
            push=draw(st.sampled_from(["", "origin", "up_stream.2"])),
        ),
        checkpoints=Checkpoints(keep=draw(st.integers(1, 10_000))),
        decisions=Decisions(keep=draw(st.integers(1, 10_000))),
        secrets=Secrets(allow=draw(st.sampled_from([(), ("jwt",), ("twilio-key", "private-key")]))),
        watch=Watch(scan_every=timedelta(milliseconds=draw(st.integers(100, 3_600_000)))),
    )


@FUZZ
@given(configs(), st.booleans())
def test_what_is_written_is_read_back(generated: Config, every: bool) -> None:
    assert reading.parse(writing.render(generated, every=every), "x") == generated
