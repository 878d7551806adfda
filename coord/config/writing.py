"""Writes `.coord.yaml`: short for a new repository, or with every key and its default."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from coord.config.schema import FORMAT, Agent, Config, Merge
from coord.config.sections import Section, keys_of
from coord.model import yamltext
from coord.model.times import format_duration, parse_duration

_WIDEST = 40


def render(config: Config, *, every: bool = False) -> str:
    """Write CONFIG with comments, so that reading the text gives CONFIG again.

    EVERY writes all keys; else those at their default stay away, but for the few that a
    new file is for.

    Raises:
        Usage: some text in it holds a lone surrogate.
    """
    blocks = [
        ["# How the agents of this repository work together, read by coord.", f"format: {FORMAT}"],
        [*_agents(config, every=every)],
        [*_keys(["coordinator"], config, "")],
        [*_groups(config)],
    ]
    for name, (key, default) in keys_of(Config).items():
        if not _is_flat(default) and (lines := [*_section(getattr(config, name), "  ", every=every)]):
            more = _steps(config.merge, every=every) if name == "merge" else ()
            blocks.append([f"# {_sentence(key.about)}", f"{name}:", *lines, *more])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _agents(config: Config, *, every: bool) -> Iterator[str]:
    yield "# Who works here. Mail to `auto` and new work go to whoever's domain fits best."
    if not config.agents:
        yield "# agents:"
        yield from (f"# {line}" for line in _agent(Agent(name="backend"), commented=True, every=every))
        return
    yield "agents:"
    for agent in config.agents:
        first = agent is config.agents[0]
        yield from _agent(agent, commented=first, every=every and first)


def _agent(agent: Agent, *, commented: bool, every: bool) -> Iterator[str]:
    yield f"  {agent.name}:"
    yield from _section(agent, "    ", every=every, commented=commented)


def _groups(config: Config) -> Iterator[str]:
    yield "# Agents that are written to together, as @name."
    if config.groups:
        yield "groups:"
    else:
        yield "# groups:"
        yield f"#   web: [{', '.join(config.names[:2] or ('backend', 'mobile'))}]"
    for group in config.groups:
        yield f"  {_line(group.name, group.members)}"


def _steps(merge: Merge, *, every: bool) -> Iterator[str]:
    if merge.steps:
        yield "  # Its steps, one after the other."
        yield "  steps:"
    elif every:
        yield "  # Instead of test: steps, one after the other, each with a log of its own."
        yield "  # steps:"
        yield '  #   - {name: lint, run: make lint, timeout: 5m, cwd: app, env: {CI: "1"}}'
    for step in merge.steps:
        names = [name for name, (_, default) in keys_of(step).items() if getattr(step, name) != default]
        lines = [_line(name, getattr(step, name)) for name in names]
        if step.env:
            lines.append(yamltext.write({"env": dict(step.env)}).rstrip("\n"))
        yield from (f"    {'  ' if number else '- '}{line}" for number, line in enumerate(lines))


def _section(section: Section, indent: str, *, every: bool, commented: bool = True) -> Iterator[str]:
    known = keys_of(section).items()
    names = [name for name, (key, default) in known if every or key.fresh or getattr(section, name) != default]
    yield from _keys(names, section, indent, commented=commented)


def _keys(names: Sequence[str], section: Section, indent: str, *, commented: bool = True) -> Iterator[str]:
    """Write keys with their comments beside them, or above where there is no room."""
    known = keys_of(section)
    flat = {name: _line(name, getattr(section, name)) for name in names if _is_flat(known[name][1])}
    width = max((len(line) for line in flat.values() if len(line) <= _WIDEST), default=0)
    for name in names:
        about = known[name][0].about
        line = flat.get(name, f"{name}:")
        beside = commented and name in flat and len(line) <= _WIDEST
        if commented and not beside:
            yield f"{indent}# {_sentence(about)}"
        yield f"{indent}{line:{width}}  # {about}" if beside else f"{indent}{line}"
        if name not in flat:
            yield from _section(getattr(section, name), indent + "  ", every=True)


def _sentence(about: str) -> str:
    return f"{about[0].upper()}{about[1:]}."


def _is_flat(default: object) -> bool:
    return isinstance(default, str | int | tuple | timedelta)


def _line(name: str, value: str | int | tuple[str, ...] | timedelta) -> str:
    """Write one key; an empty value is an empty place, which a person can fill in."""
    if isinstance(value, timedelta):
        return f"{name}: {_duration(value)}"
    if value in ("", ()):
        return f"{name}:"
    return yamltext.write({name: value}).rstrip("\n")


def _duration(length: timedelta) -> str:
    """Write a length of time exactly; the form for people cuts small units off."""
    text = format_duration(length)
    return text if parse_duration(text) == length else f"{length / timedelta(milliseconds=1):.3f}ms"
