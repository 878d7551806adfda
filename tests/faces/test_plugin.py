"""The plugin for Claude Code says what coord says: what is generated is fresh, and what is written names what exists."""

import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from coord.faces import options
from coord.main import tree

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugin"
TEXTS = sorted(path.relative_to(PLUGIN).as_posix() for path in PLUGIN.rglob("*.md"))
MAKER = "docs/make_plugin.py"


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("make_plugin", ROOT / MAKER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files: dict[str, str] = module.files()
    return files


def test_what_is_generated_is_fresh() -> None:
    made = generated()
    assert {path: (PLUGIN / path).read_text() for path in made} == made, "run `make docs`"
    others = {path.relative_to(PLUGIN).as_posix() for path in PLUGIN.rglob("*") if path.is_file()} - made.keys()
    assert others == {"README.md", *(name for name in TEXTS if name.startswith("commands/"))}


def test_the_marketplace_leads_to_it() -> None:
    listed = json.loads((ROOT / ".claude-plugin/marketplace.json").read_text())
    manifest: dict[str, Any] = json.loads((PLUGIN / ".claude-plugin/plugin.json").read_text())
    (one,) = listed["plugins"]
    assert (ROOT / one["source"]).resolve() == PLUGIN
    assert (one["name"], one["description"]) == (manifest["name"], manifest["description"])


@pytest.mark.parametrize("name", TEXTS)
def test_commands_that_it_names_exist(name: str) -> None:
    text = (PLUGIN / name).read_text()
    allowed = re.findall(r"Bash\((coord [^):]+)", text)
    named = re.findall(r"`(coord [^`]+)`", text)
    for line in (*named, *allowed):
        if "COMMAND" in line:
            continue
        command: click.Command | None = tree()
        for word in shlex.split(line)[1:]:
            if not isinstance(command, click.Group):
                break
            command = command.get_command(click.Context(command, obj=options.Given()), word)
        assert command is not None and not isinstance(command, click.Group), line
    if name.startswith("commands/"):
        run = set(re.findall(r"!`(coord [^`]+)`", text))
        assert run
        assert all(any(one == line or line.startswith(f"{one} ") for one in allowed) for line in named)
