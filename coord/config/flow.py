"""Reads a `claude-flow.yaml` as a configuration of coord, and says what it left out.

The file is put into the shape of `.coord.yaml`, line numbers and all, and goes through the
same reader: what that refuses is refused here with the line in the file it came from.
"""

from collections import Counter
from collections.abc import Container, Iterator
from contextlib import suppress

from coord.config import reading
from coord.config.checks import spell_name
from coord.config.schema import DEFAULT, Config
from coord.config.sections import Faults, document, is_empty, plain, shown
from coord.model.errors import Usage
from coord.model.times import format_duration, parse_duration
from coord.model.values import frozen
from coord.model.yamlnodes import Fields, Items, Node, Scalar

_NONE = Fields({}, {}, 0)
_INSTEAD = {
    "topology": "agents write to each other directly",
    "max_agents": "there is no limit",
    "communication": "mail is files in inbox/",
    "memory": "checkpoints and decisions are files in checkpoints/",
    "backend": "leases are files in locks/",
}


@frozen
class Imported:
    """The configuration read, and a line for everything that was left out or changed."""

    config: Config
    notes: tuple[str, ...]


def from_flow(text: str, where: str) -> Imported:
    """Read the text of a `claude-flow.yaml`; WHERE names it in messages.

    The queen becomes the coordinator and she and the workers agents; the lock timeout
    becomes the length of a lease. `queen` and `workers` may also stand inside `swarm`.

    Raises:
        ConfigError: it cannot be read, or names nobody; every fault is named with its line.
    """
    faults = Faults(where)
    flow = _Flow(document(text, faults), faults)
    imported = Imported(reading.from_fields(flow.translated(), faults), tuple(flow.notes))
    if not imported.config.agents:
        faults.add(1, "names no queen and no workers", "Is this the right file?")
        faults.settle()
    return imported


class _Flow:
    """One file on its way into the other shape."""

    def __init__(self, root: Fields, faults: Faults) -> None:
        self.notes: list[str] = []
        self._faults = faults
        self._agents: dict[str, Node] = {}
        self._bearers = Counter[str]()
        self._root = root
        self._swarm = self._mapping(root.items.get("swarm"), "swarm")

    def translated(self) -> Fields:
        """Return the mapping that `.coord.yaml` would hold."""
        items: dict[str, Node] = {}
        queen = self._find("queen")
        if queen is not None and not is_empty(queen):
            items["coordinator"] = Scalar(self._agent(queen, "queen", "capabilities"), queen.line, quoted=True)
        workers = self._find("workers")
        if workers is not None and not isinstance(workers, Items) and not is_empty(workers):
            self._faults.add(workers.line, "workers: must be a list")
        for number, worker in enumerate(workers.items if isinstance(workers, Items) else (), 1):
            self._agent(worker, f"workers[{number}]", "domain")
        locking = self._mapping(self._root.items.get("file_locking"), "file_locking")
        if "timeout" in locking.items:
            items["leases"] = self._leases(locking.items["timeout"])
        self.notes += _left_out(self._swarm, "swarm.", {"queen", "workers"} - self._root.items.keys())
        self.notes += _left_out(self._root, "", ("swarm", "queen", "workers", "file_locking"))
        self.notes += _left_out(locking, "file_locking.", ("timeout",))
        items["agents"] = _fields(self._agents, 1)
        return _fields(items, 1)

    def _find(self, name: str) -> Node | None:
        return self._root.items.get(name, self._swarm.items.get(name))

    def _mapping(self, node: Node | None, path: str) -> Fields:
        if isinstance(node, Fields):
            return node
        if node is not None and not is_empty(node):
            self._faults.add(node.line, f"{path}: must be a mapping")
        return _NONE

    def _agent(self, member: Node, path: str, knows: str) -> str:
        """Add an agent, a mapping with its domain under the key KNOWS or a bare name; return its name here."""
        if isinstance(member, Items):
            self._faults.add(member.line, f"{path}: must be a mapping or a name")
            return ""
        node = member if isinstance(member, Fields) else _fields({"name": member}, member.line)
        written = ""
        with self._faults.noted(node.line, path):
            written = plain(node.items.get("name", Scalar("", node.line, quoted=False)))
            if not written:
                raise Usage("has no name")
        name = self._free_name(written)
        if name != written:
            self.notes.append(f"{shown(written)} is called {name} here")
        moved = {"role": "role", knows: "domain"}
        body = {here: node.items[there] for there, here in moved.items() if there in node.items}
        self._agents[name] = _fields(body, node.line)
        self.notes += _left_out(node, f"{path}.", ("name", *moved))
        return name

    def _free_name(self, written: str) -> str:
        name = stem = spell_name(written)
        while name in self._agents:
            self._bearers[stem] += 1
            name = f"{stem[:28]}-{self._bearers[stem] + 1}"
        return name

    def _leases(self, timeout: Node) -> Fields:
        items = {"ttl": timeout}
        with suppress(Usage):
            if parse_duration(plain(timeout)) > DEFAULT.leases.max:
                items["max"] = timeout
                usual = format_duration(DEFAULT.leases.max)
                self.notes.append(f"leases.max is as long as the timeout, more than the usual {usual}")
        return _fields(items, timeout.line)


def _fields(items: dict[str, Node], line: int) -> Fields:
    return Fields(items, dict.fromkeys(items, line), line)


def _left_out(node: Fields, path: str, taken: Container[str]) -> Iterator[str]:
    for name, child in node.items.items():
        if name not in taken:
            value = f" ({shown(child.text)})" if isinstance(child, Scalar) else ""
            reason = f": {_INSTEAD[name]}" if name in _INSTEAD else ""
            label = f"{path}{name}" if name.isidentifier() and name.isascii() else f"{path}{shown(name)}"
            yield f"{label}{value} is left out{reason}"
