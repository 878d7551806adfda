"""What coord adds to a file of a coding assistant, and how it knows its own there again: by the commands they run."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import field

from coord.model.values import frozen
from coord.service.clients.jsonread import Broken
from coord.service.clients.jsonsplice import Document, Path
from coord.service.clients.names import Client

Group = Mapping[str, object]

SERVER: Mapping[str, object] = {"command": "coord", "args": ["mcp"]}


def hook(client: Client, *words: str, matcher: str = "", **more: object) -> Group:
    """Return one entry of an event: what `coord hook` is called with, for which tools, and MORE of the client's own."""
    handler = {"type": "command", "command": " ".join(("coord hook", client, *words)), **more}
    return {**({"matcher": matcher} if matcher else {}), "hooks": [handler]}


@frozen(kw_only=True)
class JsonFile:
    """A JSON file that names servers, hooks or both; COMMENTS says that its client takes them in it."""

    path: str
    server: Mapping[str, object] | None = None
    hooks: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    comments: bool = False

    def installed(self, text: str) -> str:
        """Return TEXT with coord's entries as they are now, and nothing else changed.

        Raises:
            Broken: it is no such file, or something else has the place of an entry.
        """
        return self._settled(text, self.server, self.hooks)

    def removed(self, text: str) -> str:
        """Return TEXT without coord's entries, and nothing of what coord itself makes where there is no file."""
        return "" if self._is_made(text) else self._settled(text, None, {})

    def _is_made(self, text: str) -> bool:
        """Tell whether it is what coord, or an older version of it, would write where there was nothing."""
        try:
            return self.installed(text) == self.installed("")
        except Broken:
            return False

    def _settled(self, text: str, server: Mapping[str, object] | None, hooks: Mapping[str, tuple[Group, ...]]) -> str:
        if not text.strip("\ufeff \t\r\n"):
            if server is None and not hooks:
                return text
            text = f"{text}{{}}\n"
        document = Document.read(text, comments=self.comments)
        # One difference after the other, each found in the text as the last edit left it.
        while edit := next(_edits(document, server, hooks), None):
            path, value = edit
            if value is not None:
                document = document.put(path, value)
            else:
                document = document.drop(path) or document.put(path[:1], {})
        return document.text


def runs(entry: object, verb: str) -> bool:
    """Tell whether the entry of a server or a hook runs `coord VERB`, wherever that coord is."""
    if not isinstance(entry, Mapping):
        return False
    command, args = entry.get("command"), entry.get("args")
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return False
    if not words or words[0].rpartition("/")[2] != "coord":
        return False
    return [*words, *(args if isinstance(args, list) else [])][1:2] == [verb]


def _edits(
    document: Document, server: Mapping[str, object] | None, hooks: Mapping[str, tuple[Group, ...]]
) -> Iterator[tuple[Path, object]]:
    """Yield what differs: the place, and what belongs there or None."""
    found = document.at(("mcpServers", "coord"))
    if server is not None:
        _expect(document, ("mcpServers",), Mapping)
    if server is not None and (found is None or found.value != server):
        if found is not None and not runs(found.value, "mcp"):
            raise Broken("a server named coord is there that does not run `coord mcp`", document.line(found))
        yield ("mcpServers", "coord"), server
    elif server is None and found is not None and runs(found.value, "mcp"):
        yield ("mcpServers", "coord"), None
    if hooks:
        _expect(document, ("hooks",), Mapping)
    there = document.at(("hooks",))
    known = [str(part.key) for part in there.parts] if there else []
    for event in dict.fromkeys((*known, *hooks)):
        yield from _hook_edits(document, event, hooks.get(event, ()))


def _hook_edits(document: Document, event: str, wanted: tuple[Group, ...]) -> Iterator[tuple[Path, object]]:
    here: Path = ("hooks", event)
    if wanted:
        _expect(document, here, list)
    groups = document.at(here)
    own: list[int] = []
    for number, part in enumerate(groups.parts if groups else ()):
        handlers = part.node.part("hooks")
        inside = handlers.node.parts if handlers else ()
        ours = [index for index, one in enumerate(inside) if runs(one.node.value, "hook")]
        if ours and len(ours) == len(inside):
            own.append(number)
        elif ours:
            yield (*here, number, "hooks", ours[0]), None
    for number, group in zip(own, wanted, strict=False):
        if groups is not None and groups.parts[number].node.value != group:
            yield (*here, number), group
    if len(own) > len(wanted):
        yield (*here, own[len(wanted)]), None
    if len(own) < len(wanted):
        yield (*here, len(groups.parts) if groups else 0), wanted[len(own)]


def _expect(document: Document, path: Path, kind: type) -> None:
    found = document.at(path)
    if found is not None and not isinstance(found.value, kind):
        shape = "object, {...}" if kind is Mapping else "list, [...]"
        raise Broken(f"{'.'.join(map(str, path))} is no {shape}", document.line(found))
