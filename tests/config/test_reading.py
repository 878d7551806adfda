"""Every key is read, and every fault is named with its line and a way out."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.config import reading, writing
from coord.config.schema import (
    DEFAULT,
    Agent,
    Checkpoints,
    Config,
    Group,
    Leases,
    Mail,
    Merge,
    UnreadAge,
    Watch,
    Worktrees,
)
from coord.config.sections import keys_of
from coord.model.errors import ConfigError, NotFound, Unavailable, UnknownAgent

FUZZ = settings(deadline=None, derandomize=False, print_blob=True, max_examples=200)


def refusal(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        reading.parse(text, ".coord.yaml")
    return caught.value


@pytest.mark.parametrize("text", ["", "\n", "# nothing but a comment\n", "---\n", "format: 1\n", "agents:\nleases:\n"])
def test_what_says_nothing_is_the_default(text: str) -> None:
    assert reading.parse(text, "x") == DEFAULT


def test_every_key_is_read() -> None:
    text = """\
format: 1
agents:
  backend:
    role: Backend Developer
    domain: apps_script/*.js, planning, ./docs/
    client: claude
    description: "knows the sheets: all of them"
  mobile:
coordinator: backend
groups:
  web: [backend, mobile]
  solo: mobile
worktrees: {path: "/srv/{name}", branch: "work/{name}/main"}
leases:
  ttl: 1h 30m
  max: 2d
mail:
  read_retention: 1w
  unread_age: {low: 5d, urgent: 90s}
merge:
  into: trunk
  test: sh -c 'make && make check'
  timeout: 5m
checkpoints: {keep: 7}
watch: {scan_every: 500ms}
"""
    backend = Agent(
        name="backend",
        role="Backend Developer",
        domain=("apps_script/*.js", "planning", "./docs/"),
        client="claude",
        description="knows the sheets: all of them",
    )
    assert reading.parse(text, "x") == Config(
        agents=(backend, Agent(name="mobile")),
        coordinator="backend",
        groups=(Group("web", ("backend", "mobile")), Group("solo", ("mobile",))),
        worktrees=Worktrees(path="/srv/{name}", branch="work/{name}/main"),
        leases=Leases(ttl=timedelta(minutes=90), max=timedelta(days=2)),
        mail=Mail(
            read_retention=timedelta(days=7), unread_age=UnreadAge(low=timedelta(days=5), urgent=timedelta(seconds=90))
        ),
        merge=Merge(into="trunk", test="sh -c 'make && make check'", timeout=timedelta(minutes=5)),
        checkpoints=Checkpoints(keep=7),
        watch=Watch(scan_every=timedelta(milliseconds=500)),
    )
    assert backend.globs == ("apps_script/*.js", "docs"), "canonical, as lookups need them"
    assert backend.words == ("planning",)


@pytest.mark.parametrize("agents", ["[a, b, c]", "a, b, c", "\n  - a\n  - b\n  - c", "\n  a:\n  b: {}\n  c: {role: x}"])
def test_agents_are_a_mapping_or_a_bare_list(agents: str) -> None:
    assert reading.parse(f"agents: {agents}\n", "x").names == ("a", "b", "c")


TWO = "agents: [backend, mobile]\n"
FAULTS = [
    ("format: 2\nagent: x", 1, "format: 2 is newer than 1", "Upgrade coord"),
    ("a: b\nformat: one", 2, "format: 'one' is no format number", "format: 1"),
    ("format: [1]", 1, "format: must be text, not a list", ""),
    ("format:", 1, "format: '' is no format number", "format: 1"),
    ("- a\n- b", 1, "a mapping is expected", ""),
    ("hello", 1, "a mapping is expected", ""),
    ("leases:\n  ttl: 1m\n  ttl: 2m", 3, "'ttl' is given twice, first on line 2", "Keep one."),
    ("agents:\n  a:\n    domain: *.js", 3, "not YAML", "must be quoted"),
    ("agents:\n  a:\n    domain: *all", 3, "alias", "Quote"),
    ("agnets: [a]", 1, "unknown key 'agnets'", "Did you mean agents?"),
    ("Format: 1", 1, "unknown key 'Format'", "Did you mean format?"),
    ("zzz: 1", 1, "unknown key 'zzz'", "Known: format, agents, coordinator"),
    ("agents:\n  a:\n    rolle: x", 3, "unknown key 'rolle' in agents.a", "Did you mean role?"),
    ("mail:\n  unread_age:\n    hihg: 1m", 3, "unknown key 'hihg' in mail.unread_age", "Did you mean high?"),
    ("merge:\n  when_dirty: x", 2, "unknown key 'when_dirty' in merge", "Known: resolver, steps, into, test, timeout"),
    ("agents:\n  Back_End:\n    role: x", 2, "agents.'Back_End': a name is 1 to 32", "Write back-end."),
    ("agents:\n- ok\n- B\u00fcro", 3, "agents.'B\\xfcro': a name is", "Write b-ro."),
    ("agents: [all]", 1, "agents.'all': this name is taken", "Write all-agent."),
    ("agents: [a, b, a]", 1, "agents.a: is named twice, first on line 1", ""),
    ("agents:\n  backend: Backend Developer", 2, "agents.backend: must be a mapping", "role, domain"),
    ("agents:\n  - [a]", 2, "agents: must be a list of texts", "[one, two]"),
    ("agents:\n  a:\n    domain: {x: y}", 3, "agents.a.domain: must be a list of texts", "one, two"),
    ("agents:\n  a:\n    domain: [ok, ../other]", 3, "agents.a.domain: scope '../other' is outside", "inside"),
    ("agents:\n  a:\n    domain: /etc/**", 3, "scope '/etc/**' is outside", "relative"),
    ('agents:\n  a:\n    role: "one\\ntwo"', 3, "agents.a.role: holds the character U+000A", "one line"),
    (f"agents:\n  a:\n    role: {'x' * 501}", 3, "agents.a.role: is longer than 500", ""),
    ("agents:\n  a:\n    domain: 'src/[ab'", 3, "agents.a.domain: scope 'src/[ab': [ in '[ab' has no end", "write \\["),
    ("agents:\n  a:\n    domain: inbox/**", 3, "is inside coord's own inbox/", ""),
    (TWO + "coordinator: bakend", 2, "coordinator: no agent is named 'bakend'", "Did you mean backend?"),
    ('coordinator: ""', 1, "coordinator: no agent is named ''", "Known: owner."),
    (f"leases:\n  {'x' * 100}: 1", 2, f"unknown key '{'x' * 60}...' in leases", "Known: ttl, max."),
    (
        'agents:\n  a:\n    domain: [crops, "so\\u202ewing"]',
        3,
        "agents.a.domain: holds the character U+202E",
        "visible",
    ),
    ("coordinator: [owner]", 1, "coordinator: must be text, not a list", ""),
    (TWO + "groups:\n  web: [mobile,\n    mobil]", 4, "groups.web: no agent is named 'mobil'", "Did you mean mobile?"),
    (TWO + "groups:\n  Web: [mobile]", 3, "groups.'Web': a name is", "Write web."),
    (TWO + "groups:\n  web:", 3, "groups.web: has no members", ""),
    (TWO + "groups: [web]", 2, "groups: must be a mapping", "web: [backend, mobile]"),
    ("worktrees:\n  path: ../agents", 2, "worktrees.path: '../agents' is the same for every agent", "{name}"),
    ("worktrees:\n  path: '../{name}-{id}'", 2, "has more in braces than {name}", "Only {name}"),
    ("worktrees:\n  path: '~/{name}'", 2, "a ~ stays a ~", "from the repository's top"),
    ("worktrees:\n  path: '{name}/../../x'", 2, "worktrees.path: '{name}/../../x' leads out", "before {name}"),
    ("worktrees:\n  path: '.Git/{name}'", 2, "is inside git's own folder", "../agent-{name}"),
    ("worktrees:\n  path: '{name}/../../.git'", 2, "leads out of the agent's folder", "before {name}"),
    ("worktrees:\n  branch: 'a..{name}'", 2, "is no name for a branch because of '..'", "check-ref-format"),
    ("worktrees:\n  branch: 'coord/{name}'", 2, "is no name for a branch because of 'coord/'", ""),
    ("worktrees: x", 1, "worktrees: must be a mapping", "path, branch"),
    ("leases:\n  ttl: 30x", 2, "leases.ttl: '30x' is no duration", "30m"),
    ("leases:\n  ttl: 30", 2, "leases.ttl: the duration '30' needs a unit", "30s or 30m"),
    ("leases:\n  ttl: 100ms", 2, "leases.ttl: 100ms is less than allowed", "1s to 30d"),
    ("leases:\n  max: 31d", 2, "leases.max: 31d is more than allowed", "1s to 30d"),
    ("leases:\n  max: 1m", 2, "leases: ttl (30m) is longer than max (1m)", "Raise max"),
    ("merge:\n  into: -x", 2, "merge.into: '-x' is no name for a branch", ""),
    ("merge:\n  into: 'a b'", 2, "merge.into: 'a b' is no name for a branch because of ' '", ""),
    ("merge:\n  test: sh -c 'make", 2, "merge.test: the quotes in", ""),
    ("checkpoints:\n  keep: -1", 2, "checkpoints.keep: '-1' is no whole number", ""),
    ("checkpoints:\n  keep: 0", 2, "checkpoints.keep: 0 is less than allowed", "1 to 10000"),
    ("watch:\n  scan_every: 2h", 2, "watch.scan_every: 2h is more than allowed", "100ms to 1h"),
]


@pytest.mark.parametrize(("text", "line", "message", "hint"), FAULTS)
def test_a_fault_is_named_with_its_line_and_a_way_out(text: str, line: int, message: str, hint: str) -> None:
    error = refusal(text)
    assert error.message.startswith(f".coord.yaml:{line}: ")
    assert message in error.message
    assert "\n" not in error.message, "one fault is reported as one"
    assert hint in error.hint
    assert error.facts["line"] == line


@pytest.mark.parametrize(
    "test",
    [
        "make && make check",
        "CI=1 make",
        "pytest -q -k 'a or b'",
        'sh -c "a && b"',
        "grep -E 'x|y' file",
        "make check",
        "echo \\&",
    ],
)
def test_any_command_line_is_taken(test: str) -> None:
    assert reading.parse(writing.render(Config(merge=Merge(test=test))), "x").merge.test == test


def test_all_faults_are_reported_together_in_the_order_of_the_file() -> None:
    error = refusal(TWO + "leases:\n  ttl: 30x\n  mx: 1h\ngroups:\n  web: [backnd]\nfoo: 1\n")
    assert error.message.splitlines() == [
        ".coord.yaml:3: leases.ttl: '30x' is no duration (Write it like 30m, 1h30m, 90s, 2d or 500ms.)",
        ".coord.yaml:4: unknown key 'mx' in leases (Did you mean max?)",
        ".coord.yaml:6: groups.web: no agent is named 'backnd' (Did you mean backend?)",
        ".coord.yaml:7: unknown key 'foo' (Known: format, agents, coordinator, groups, merge, worktrees, leases, mail, "
        "checkpoints, decisions, secrets, hooks, watch.)",
    ]
    assert error.hint == "Mend these 4 places in .coord.yaml, then try again."
    faults: Any = error.facts["faults"]
    assert [fault["line"] for fault in faults] == [3, 4, 6, 7]
    assert faults[1] == {"line": 4, "message": "unknown key 'mx' in leases", "hint": "Did you mean max?"}


def test_a_fault_between_keys_takes_its_place_among_the_others() -> None:
    error = refusal("leases: {max: 1m}\nfoo: 1\n")
    assert [line.split(" ")[0] for line in error.message.splitlines()] == [".coord.yaml:1:", ".coord.yaml:2:"]


def test_what_is_listed_twice_counts_once() -> None:
    known = reading.parse("agents: {a: {domain: [x, y, x]}}\ngroups: {g: [a, a]}", "x")
    assert known.agent("a").domain == ("x", "y")
    assert known.group("g") == ("a",)


def test_a_wrong_name_is_one_fault_wherever_it_is_used() -> None:
    error = refusal("agents: [Backend]\ncoordinator: Backend\ngroups: {web: [Backend]}")
    assert len(error.message.splitlines()) == 1


def test_a_suggestion_is_harmless_on_a_terminal() -> None:
    with pytest.raises(ConfigError) as caught:
        reading.parse("agents: {fronte\ufeffnd: {}}\ngroups: {web: [frontend]}", "x")
    assert caught.value.message.replace("\n", "").isprintable()


def test_a_file_of_faults_is_given_up_after_twenty() -> None:
    error = refusal("".join(f"key{number}: x\n" for number in range(2_000)))
    assert len(error.message.splitlines()) == 20


def test_lookups_name_the_nearest() -> None:
    known = reading.parse(TWO + "groups: {web: mobile}", "x")
    assert known.agent("mobile") == Agent(name="mobile")
    assert known.group("web") == ("mobile",)
    with pytest.raises(UnknownAgent, match="no agent is named 'mobil'") as caught:
        known.agent("mobil")
    assert caught.value.hint == "Did you mean mobile?"
    with pytest.raises(UnknownAgent, match="no group is named 'wbe'") as caught:
        known.group("wbe")
    assert caught.value.hint == "Did you mean web?"
    with pytest.raises(UnknownAgent) as caught:
        DEFAULT.agent("x\x1b[2J")
    assert caught.value.hint.endswith(".coord.yaml names no agent: name them there, then run `coord init`")
    assert "\x1b" not in caught.value.message


def test_ages_go_by_priority() -> None:
    ages = DEFAULT.mail.unread_age
    assert ages.low > ages.of("normal") > ages.of("high") > ages.of("urgent") == timedelta(minutes=15)


def test_load_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / ".coord.yaml"
    with pytest.raises(NotFound, match="there is no") as missing:
        reading.load(path)
    assert "coord init" in missing.value.hint
    path.write_bytes("\ufeffagents: [a]\r\ncoordinator: a\r\n".encode())
    assert reading.load(path) == Config(agents=(Agent(name="a"),), coordinator="a")
    path.write_bytes(b"agents: [a]\nleases: {ttl: x}\n")
    with pytest.raises(ConfigError) as wrong:
        reading.load(path)
    assert wrong.value.message.startswith(f"{path}:2: leases.ttl")
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"yaml:2: is not UTF-8"):
        reading.load(path)
    path.write_bytes(b"# \xc3\xa9\n" * 100_000)
    with pytest.raises(ConfigError, match="larger than"):
        reading.load(path)
    with pytest.raises(Unavailable, match="cannot be read"):
        reading.load(tmp_path)


KEYS = [
    *keys_of(Config),
    *keys_of(Agent),
    *keys_of(Mail),
    *keys_of(Leases),
    *keys_of(Merge),
    "agents",
    "groups",
    "format",
]
scraps = st.sampled_from(
    [*KEYS, "a", "30m", "{name}", ": ", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ",", '"', "#"]
)


@FUZZ
@given(
    st.text(max_size=200)
    | st.lists(scraps, max_size=30).map("".join)
    | st.binary().map(lambda raw: raw.decode("latin-1"))
)
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    try:
        read = reading.parse(text, "x")
    except ConfigError as error:
        assert error.message.startswith("x:")
        assert error.message.replace("\n", "").isprintable()
    else:
        assert reading.parse(writing.render(read, every=True), "x") == read


trees = st.recursive(
    st.sampled_from(["", "a", "30m", "a, b", "[]", '""', "7"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "a", "b"]), inner, max_size=5),
    max_leaves=12,
)


def _flow(tree: object) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_flow, tree)) + "]"
    return str(tree)


@FUZZ
@given(st.dictionaries(st.sampled_from([*KEYS]), trees, max_size=5))
def test_any_tree_is_a_configuration_or_a_config_error(tree: dict[str, object]) -> None:
    text = "".join(f"{name}: {_flow(inner)}\n" for name, inner in tree.items())
    try:
        read = reading.parse(text, "x")
    except ConfigError as error:
        assert error.message.startswith("x:")
    else:
        assert reading.parse(writing.render(read), "x") == read


def test_rules_of_secrets_are_known_by_name() -> None:
    assert reading.parse("secrets: {allow: [jwt, twilio-key]}\n", "x").secrets.allow == ("jwt", "twilio-key")
    with pytest.raises(ConfigError, match=r"x:1: secrets.allow: 'gihub-token' is no rule's name") as caught:
        reading.parse("secrets: {allow: [gihub-token]}\n", "x")
    assert "github-token" in caught.value.hint


STEPS = """\
merge:
  timeout: 10m
  steps:
    - {name: lint, run: make lint, timeout: 5m}
    - name: unit
      run: npm test
      cwd: app
      env: {CI: "1", LEVEL: high}
"""


def test_the_steps_of_the_test_are_read_and_written_back() -> None:
    merge = reading.parse(STEPS, "x").merge
    lint, unit = merge.gate
    assert (lint.name, lint.run, lint.timeout) == ("lint", "make lint", timedelta(minutes=5))
    assert (unit.cwd, unit.env, unit.timeout) == ("app", (("CI", "1"), ("LEVEL", "high")), timedelta(minutes=10))
    for every in (True, False):
        assert reading.parse(writing.render(Config(merge=merge), every=every), "x").merge == merge


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("merge: {test: a, steps: [{name: b, run: b}]}", 1, "both test and steps"),
        ("merge: {steps: b}", 1, "must be a list of steps"),
        ("merge:\n  steps:\n    - {name: b}", 3, "a step has a name and a command"),
        ("merge:\n  steps:\n    - {name: b, run: b}\n    - {name: b, run: c}", 4, "the name of two steps"),
        ("merge:\n  steps:\n    - {name: ../b, run: b}", 3, "no name for a step"),
        ("merge:\n  steps:\n    - lint", 3, "must be a mapping"),
        ("merge:\n  steps:\n    -\n    - {name: b, run: b}", 3, "a step has a name and a command"),
        ("merge:\n  steps:\n    - {name: b, run: b, cwd: ../up}", 3, "lead out of the repository"),
        ("merge:\n  steps:\n    - {name: b, run: b, env: {GIT_DIR: x}}", 3, "GIT_DIR cannot be set"),
        ("merge: {ungated: maybe}", 1, "neither refuse nor allow"),
    ],
)
def test_faults_of_steps_are_named(text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"x:{line}:.*{reason}") as caught:
        reading.parse(text, "x")
    assert str(caught.value).count("x:") == 1, "one fault is named once"
