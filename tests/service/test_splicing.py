"""Edits of others' JSON, TOML and Markdown: what is added is there, what is taken out leaves every other byte."""

import json
import random
import tomllib
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.service import agents
from coord.service.clients import claude, codex, gemini, guide
from coord.service.clients.entries import SERVER, JsonFile, hook
from coord.service.clients.jsonread import Broken
from coord.service.clients.jsonsplice import Document
from coord.service.clients.tomlsplice import TomlFile

SETTINGS, CONFIG = gemini.FILES[0], codex.FILES[0]
assert isinstance(CONFIG, TomlFile)

JSON = {
    "nothing": "",
    "two spaces": '{\n  "model": "x",\n  "env": {"A": "b"}\n}\n',
    "tabs": '{\n\t"model": "x",\n\t"hooks": {\n\t\t"Other": []\n\t}\n}\n',
    "CRLF": '{\r\n    "model": "x"\r\n}\r\n',
    "a mark of byte order": '\ufeff{\n  "model": "x"\n}',
    "no line break at the end": '{\n  "model": "x"\n}',
    "one line": '{"model": "x", "mcpServers": {"other": {"command": "y"}}, "hooks": {"BeforeTool": [{"hooks": []}]}}',
    "servers of others": '{\n  "mcpServers": {\n    "other": {\n      "command": "y"\n    }\n  },\n  "z": 1\n}\n',
    "hooks of others": '{\n  "hooks": {\n    "BeforeTool": [\n      {\n        "matcher": "x",\n'
    '        "hooks": [{"type": "command", "command": "lint coord hook"}]\n      }\n    ]\n  }\n}\n',
    "closed on the same line": '{\n  "model": "x",\n  "z": {} }\n',
    "signs in strings": '{\n  "model": "} // ] \\" , /* {",\n  "ü\\u0041": "\\\\"\n}\n',
}
COMMENTED = {
    "a comment beside the last": '{\n  // which\n  "model": "x" // this one\n  // the end\n}\n',
    "a comma behind the last": '{\n  "model": "x", // this one\n}\n',
    "a comma in one line": '{"hooks": {"BeforeTool": [{"hooks": []},]},}',
    "comments in what is empty": '{\n  "hooks": { /* none yet */ },\n  "mcpServers": {\n    // none\n  }\n}\n',
    "a comment before the end": '{ "model": "x" /* so */ } // bye',
    "only a comment": "{\n  // to do\n}\n",
}
TOML = {
    "nothing": "",
    "comments": '# hi\nmodel = "x" # this\n\n\n',
    "CRLF": 'model = "x"\r\n[a]\r\nb = 1\r\n',
    "no line break at the end": "[a]\nb = 1 # c",
    "a mark of byte order": "\ufeffmodel = 1\n",
    "servers of others": '[mcp_servers.other]\ncommand = "y"\n\n[tools]\na = 1\n# end\n',
    "out of order": "[mcp_servers.x]\ncommand = 'y'\n[a]\nb = 1\n[mcp_servers.z]\ncommand = 'q'\n",
    "a text that looks like ours": 'a = """\n[mcp_servers.coordinator]\n"""\n',
}
MARKDOWN = {
    "nothing": "",
    "rules": "# Rules\n\nBe kind.\n",
    "CRLF": "# Rules\r\n",
    "no line break at the end": "# Rules",
    "empty lines": "# Rules\n\n\n",
}


class File(Protocol):
    def installed(self, text: str) -> str: ...
    def removed(self, text: str) -> str: ...


def cases() -> Iterator[tuple[File, str, str]]:
    yield from ((file, name, text) for file in (SETTINGS, *claude.FILES) for name, text in JSON.items())
    yield from ((SETTINGS, name, text) for name, text in COMMENTED.items())
    yield from ((CONFIG, name, text) for name, text in TOML.items())
    yield from ((file, name, text) for file in guide.FILES for name, text in MARKDOWN.items())


def check(file: File, text: str) -> str:
    """Install into TEXT: once and twice are the same, each line that was there is, and removed gives TEXT back."""
    made = file.installed(text)
    assert made != text
    assert file.installed(made) == made
    assert file.removed(made) == text
    assert file.removed(text) == text
    return made


@pytest.mark.parametrize(("file", "name", "text"), [*cases()])
def test_installed_and_removed_gives_every_byte_back(file: File, name: str, text: str) -> None:
    made = check(file, text)
    if "\r\n" in text:
        assert made.count("\n") == made.count("\r\n")


def says(text: str, *, comments: bool = True) -> Any:
    return Document.read(text, comments=comments).root.value


@pytest.mark.parametrize("text", [text for text in (*JSON.values(), *COMMENTED.values()) if text])
def test_what_was_there_is_said_still(text: str) -> None:
    found, before = says(SETTINGS.installed(text)), says(text)
    assert found["mcpServers"].pop("coord") == SERVER
    for event, groups in gemini.HOOKS.items():
        assert found["hooks"][event][-1:] == list(groups)
        del found["hooks"][event][-1:]
    for name in ("hooks", "mcpServers"):
        before[name] = {key: one for key, one in before.get(name, {}).items() if one != []}
        found[name] = {key: one for key, one in found[name].items() if one != []}
    assert found == before


def test_indentation_is_that_of_the_file() -> None:
    assert '\n\t\t"SessionStart": [\n\t\t\t{"hooks"' in SETTINGS.installed(JSON["tabs"])
    assert '\r\n        "coord": {"command"' in SETTINGS.installed(JSON["CRLF"])
    assert len(SETTINGS.installed(JSON["one line"]).splitlines()) == 1


def test_an_older_shape_is_brought_up_to_date_in_its_place() -> None:
    file = JsonFile(path="x", server=SERVER, hooks={"Stop": (hook("claude"), hook("claude", timeout=9))})
    old = (
        '{\n  "mcpServers": {\n    "coord": {"command": "/usr/bin/coord", "args": ["mcp", "--as", "x"]},\n'
        '    "z": {"command": "z"}\n  },\n  "hooks": {\n    "Stop": [\n'
        '      {"hooks": [{"type": "command", "command": "coord hook claude", "timeout": 1}]},\n'
        '      {"hooks": [{"type": "command", "command": "mine"}]}\n    ],\n'
        '    "Gone": [\n      {"hooks": [{"type": "command", "command": "coord", "args": ["hook", "claude"]}]}\n    ]\n'
        "  }\n}\n"
    )
    new = (
        '{\n  "mcpServers": {\n    "coord": {"command": "coord", "args": ["mcp"]},\n'
        '    "z": {"command": "z"}\n  },\n  "hooks": {\n    "Stop": [\n'
        '      {"hooks": [{"type": "command", "command": "coord hook claude"}]},\n'
        '      {"hooks": [{"type": "command", "command": "mine"}]},\n'
        '      {"hooks": [{"type": "command", "command": "coord hook claude", "timeout": 9}]}\n    ]\n  }\n}\n'
    )
    assert file.installed(old) == new
    assert says(file.removed(old)) == says(file.removed(new))


def test_a_comment_stays_beside_what_it_is_about() -> None:
    assert '\n  "model": "x", // this one\n  "mcpServers": {' in SETTINGS.installed(
        COMMENTED["a comment beside the last"]
    )
    text = '{\n  "a": 1, // one\n  "mcpServers": {"coord": {"command": "coord", "args": ["mcp"]}} }\n'
    assert says(SETTINGS.removed(text)) == {"a": 1}


def test_of_a_group_shared_with_others_only_coords_hook_is_taken() -> None:
    text = '{\n  "hooks": {\n    "Stop": [\n      {"hooks": [{"command": "coord hook claude"}, {"command": "y"}]}\n    ]\n  }\n}\n'
    file = JsonFile(path="x", hooks={"Stop": (hook("claude"),)})
    assert says(file.removed(text)) == {"hooks": {"Stop": [{"hooks": [{"command": "y"}]}]}}
    assert says(file.installed(text))["hooks"]["Stop"] == [{"hooks": [{"command": "y"}]}, hook("claude")]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"command": 3, "args": ["coord", "mcp"]},
        {"args": ["coord", "mcp"]},
        {"command": "coord 'mcp"},
        {"command": "coordinate", "args": ["mcp"]},
        {"command": "coord", "args": "mcp"},
        {"command": "echo coord mcp"},
        {"command": [], "args": [[], {}]},
    ],
)
def test_what_does_not_run_coord_is_not_coords(entry: object) -> None:
    text = json.dumps({"mcpServers": {"coord": entry}, "hooks": {"Stop": [{"hooks": [entry]}]}})
    assert SETTINGS.removed(text) == text


def test_what_the_removal_leaves_empty_goes() -> None:
    assert says(SETTINGS.removed(SETTINGS.installed('{"hooks": {}, "z": 1}'))) == {"z": 1}
    assert SETTINGS.removed(SETTINGS.installed("")) == ""


@pytest.mark.parametrize("text", ["{}", '{"mcpServers": {}}', '{"mcpServers": {}}\n'])
def test_a_file_that_coord_did_not_make_stays(text: str) -> None:
    (file, _) = claude.FILES
    assert says(file.removed(file.installed(text))) == {"mcpServers": {}}
    older = file.installed("").replace('["mcp"]', '["mcp", "--old"]')
    assert file.removed(older) == ""


def test_a_toml_server_keeps_what_was_set_beside_it() -> None:
    old = '[a]\nb = 1\n\n[mcp_servers.coord]\nargs = ["old"]\n# slow\nstartup_timeout_sec = 20\ncommand = "coord"\n'
    old = old.replace('["old"]', '["mcp", "--as", "x"]')
    more = '\n[mcp_servers.coord.env]\nX = "y"\n\n# about c\n[c]\nd = 2\n'
    assert CONFIG.installed(old + more) == (
        '[a]\nb = 1\n\n[mcp_servers.coord]\ncommand = "coord"\nargs = ["mcp"]\n# slow\nstartup_timeout_sec = 20\n'
        + more
    )
    assert CONFIG.removed(old + more) == "[a]\nb = 1\n\n# about c\n[c]\nd = 2\n"


@pytest.mark.parametrize(
    ("file", "text", "line", "reason"),
    [
        (SETTINGS, "[1]", 1, "an object is wanted"),
        (SETTINGS, '{\n"a": }', 2, "a value is wanted"),
        (SETTINGS, '{"a": 1', 1, "ends too early"),
        (SETTINGS, '{"a": 1}\n}', 2, "more behind the end"),
        (SETTINGS, '{"a": 1,\n"a": 2}', 2, "the key 'a' is there twice"),
        (SETTINGS, '{\n"hooks": []}', 2, "hooks is no object"),
        (SETTINGS, '{"hooks": {\n"BeforeTool": {}}}', 2, "hooks.BeforeTool is no list"),
        (SETTINGS, '{\n"mcpServers": null}', 2, "mcpServers is no object"),
        (SETTINGS, '{"a": ' + "[" * 5000 + "]" * 5000 + "}", 1, "nested"),
        (claude.FILES[0], '{\n// why\n"a": 1}', 2, "a comment"),
        (claude.FILES[0], '{"a": 1,\n}', 2, "a comma stands before"),
        (CONFIG, "a = 1\nb =\n", 2, "Invalid value"),
        (CONFIG, "\nmcp_servers = {x = {command = 'y'}}\n", 2, "does not edit"),
        (CONFIG, "\n[mcp_servers.coord]\ncommand = 'other'\n", 2, "does not run"),
        (guide.FILES[0], "a\n<!-- coord: end -->\n", 2, "do not stand once each"),
    ],
)
def test_what_is_broken_is_named_with_its_line(file: File, text: str, line: int, reason: str) -> None:
    with pytest.raises(Broken) as broken:
        file.installed(text)
    assert broken.value.line == line
    assert reason in broken.value.reason


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.text(max_size=6).filter(lambda key: key not in ("hooks", "mcpServers")), values, max_size=4),
    st.dictionaries(st.sampled_from([*gemini.HOOKS, "Other"]), st.lists(values, min_size=1, max_size=2), min_size=1),
    st.dictionaries(st.text(max_size=3), values, min_size=1, max_size=2),
    st.tuples(
        st.sampled_from([None, 1, 2, 4, "\t"]),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from(["", "\ufeff"]),
        st.booleans(),
    ),
)
def test_any_json_comes_back(
    rest: dict[str, Any],
    hooks: dict[str, Any],
    servers: dict[str, Any],
    layout: tuple[int | str | None, str, str, bool],
) -> None:
    indent, line_break, mark, escaped = layout
    told = {**rest, "hooks": hooks, "mcpServers": servers, "last": 1}
    keys = random.Random(len(rest)).sample([*told], len(told))
    told = {key: told[key] for key in keys}
    text = json.dumps(told, indent=indent, ensure_ascii=escaped).replace("\n", line_break)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    made = check(SETTINGS, mark + text)
    assert says(text, comments=False) == told
    found = json.loads(made.removeprefix(mark))
    assert found["mcpServers"].pop("coord") == SERVER
    for event, groups in gemini.HOOKS.items():
        assert found["hooks"].pop(event) == [*hooks.get(event, []), *groups]
    assert {**told, "hooks": {key: one for key, one in hooks.items() if key not in gemini.HOOKS}} == found


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet='{}[]",:/*\n \\a1tru-.e', max_size=30))
def test_what_is_read_as_json_is_json(text: str) -> None:
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        expected = None
    try:
        found = says(text, comments=False)
    except Broken:
        found = None
    if (isinstance(expected, dict) and len(expected) == text.count(":")) or found is not None:
        assert found == expected


def test_every_file_of_every_client_has_a_place_of_its_own() -> None:
    paths = [file.path for files in agents.FILES.values() for file in files]
    assert len(set(paths)) == len(paths)
    assert tomllib.loads(CONFIG.installed("")) == {"mcp_servers": {"coord": dict(SERVER)}}
