"""Reads `.coord.yaml` into a `Config`, or names every fault in it with its line."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from coord.config import checks, sections
from coord.config.schema import FORMAT, Agent, Config, Group, Merge, Step
from coord.config.sections import Faults, did_you_mean, entries, is_empty, plain, shown
from coord.model import keys, mailboxes
from coord.model.errors import ConfigError, NotFound, Unavailable, Usage
from coord.model.times import format_duration
from coord.model.yamlnodes import Fields, Items, Node
from coord.model.yamltext import LIMIT


def load(path: Path) -> Config:
    """Read the file at PATH.

    Raises:
        ConfigError: it is wrong; every fault is named with its line.
        NotFound: there is none.
        Unavailable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
        return parse(data.decode(), str(path))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8", hint="Save the file as UTF-8.", line=line) from None
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", hint="Write one with `coord init`.") from None
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read: {error.strerror}", hint="See to that, then run the same command again."
        ) from None


def parse(text: str, where: str) -> Config:
    """Read the text of a file; WHERE names it in messages. An empty text is DEFAULT.

    Raises:
        ConfigError: it is wrong; every fault is named with its line.
    """
    faults = Faults(where)
    return from_fields(sections.document(text, faults), faults)


def from_fields(root: Fields, faults: Faults) -> Config:
    """Build the configuration from a file's mapping, or from another file's put into this shape.

    Raises:
        ConfigError: FAULTS holds any, from before or from here.
    """
    if "format" in root.items:
        with faults.noted(root.items["format"].line, "format"):
            _check_format(plain(root.items["format"]))
        faults.settle()
    names = _names(root.items.get("agents"))
    own = {
        "format": plain,
        "agents": lambda node: _agents(node, faults),
        "coordinator": lambda node: _somebody(plain(node), names),
        "groups": lambda node: _groups(node, names, faults),
        "merge": lambda node: _merge(node, names, faults),
    }
    values = sections.read_section(Config, root, "", faults, own)
    values.pop("format", None)
    config = Config(**values)
    if config.leases.ttl > config.leases.max:
        ttl, most = format_duration(config.leases.ttl), format_duration(config.leases.max)
        faults.add(root.items["leases"].line, f"leases: ttl ({ttl}) is longer than max ({most})", "Raise max as well.")
    faults.settle()
    return config


def _check_format(text: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise Usage(f"{shown(text)} is no format number", hint=f"Write format: {FORMAT}")
    if int(text) > FORMAT:
        raise Usage(f"{text} is newer than {FORMAT}, which this coord reads", hint="Upgrade coord to read this file.")


def _names(node: Node | None) -> tuple[str, ...]:
    """Return the agents' names, right or wrong, so that one wrong name is one fault wherever it is used."""
    if isinstance(node, Fields):
        return tuple(node.items)
    with suppress(Usage):
        return tuple(name for name, _ in entries(node)) if node else ()
    return ()


def _agents(node: Node, faults: Faults) -> tuple[Agent, ...]:
    if isinstance(node, Fields):
        return tuple(_agent(name, body, node.key_lines[name], faults) for name, body in node.items.items())
    first: dict[str, int] = {}
    for name, line in entries(node):
        with faults.noted(line, _path("agents", name)):
            checks.agent_name(name)
            if name in first:
                raise Usage(f"is named twice, first on line {first[name]}")
        first.setdefault(name, line)
    return tuple(Agent(name=name) for name in first)


def _agent(name: str, body: Node, line: int, faults: Faults) -> Agent:
    path = _path("agents", name)
    with faults.noted(line, path):
        checks.agent_name(name)
    return Agent(name=name, **sections.read_section(Agent, body, path, faults, {}))


def _somebody(name: str, names: Sequence[str]) -> str:
    if name not in names and name != mailboxes.OWNER:
        raise Usage(f"no agent is named {shown(name)}", hint=did_you_mean(name, (*names, mailboxes.OWNER)))
    return name


def _groups(node: Node, names: Sequence[str], faults: Faults) -> tuple[Group, ...]:
    if not isinstance(node, Fields):
        raise Usage("must be a mapping from a name to a list of agents", hint="Write it like web: [backend, mobile].")
    groups = []
    for name, body in node.items.items():
        with faults.noted(node.key_lines[name], _path("groups", name)):
            checks.agent_name(name)
            members = dict(entries(body))
            if not members:
                raise Usage("has no members")
            for member, line in members.items():
                if member not in names:
                    faults.add(line, f"groups.{name}: no agent is named {shown(member)}", did_you_mean(member, names))
            groups.append(Group(name, tuple(members)))
    return tuple(groups)


def _merge(node: Node, names: Sequence[str], faults: Faults) -> Merge:
    own = {
        "resolver": lambda name: _somebody(plain(name), names),
        "steps": lambda steps: _steps(steps, faults),
    }
    merge = Merge(**sections.read_section(Merge, node, "merge", faults, own))
    if merge.test and merge.steps:
        faults.add(node.line, "merge: has both test and steps", "Make the test one of the steps.")
    return merge


def _steps(node: Node, faults: Faults) -> tuple[Step, ...]:
    if not isinstance(node, Items):
        raise Usage("must be a list of steps", hint="Write each like - {name: lint, run: make lint}.")
    steps: list[Step] = []
    for number, item in enumerate(node.items, 1):
        path = f"merge.steps[{number}]"
        own = {"env": lambda env, path=path: _variables(env, path, faults)}
        step = Step(**sections.read_section(Step, item, path, faults, own))
        with faults.noted(item.line, path):
            if any(_is_lacking(item, key) for key in ("name", "run")):
                raise Usage("a step has a name and a command", hint="Write it like - {name: lint, run: make lint}.")
            if step.name and step.name in [other.name for other in steps]:
                raise Usage(f"{step.name} is the name of two steps")
        steps.append(step)
    return tuple(steps)


def _is_lacking(item: Node, key: str) -> bool:
    """Tell whether nothing is written for a key; what is written wrong was named already."""
    return (key not in item.items or is_empty(item.items[key])) if isinstance(item, Fields) else is_empty(item)


def _variables(node: Node, path: str, faults: Faults) -> tuple[tuple[str, str], ...]:
    if not isinstance(node, Fields):
        raise Usage("must be a mapping from names to values", hint='Write it like {CI: "1"}.')
    found = []
    for name, body in node.items.items():
        with faults.noted(node.key_lines[name], f"{path}.env"):
            value = plain(body)
            checks.variable(name, value)
            found.append((name, value))
    return tuple(found)


def _path(section: str, name: str) -> str:
    return f"{section}.{name if keys.is_agent_name(name) else shown(name)}"
