"""Write what in plugin/ follows from coord itself: python docs/make_plugin.py."""

import json
from collections.abc import Mapping
from pathlib import Path

import coord
from coord.service.clients import claude, guide
from coord.service.clients.entries import SERVER

PLUGIN = Path(__file__).parents[1] / "plugin"
_ABOUT = "Mail, file leases, checkpoints and a merge queue for many coding agents in one git repository"
_SKILL = f"""\
---
name: coord
description: >-
  How to work beside other agents in one repository: read and send mail, lease files before editing them, save and
  restore checkpoints, ask for a merge. Use it in a repository that has a .coord.yaml, when another agent, a lease,
  mail or a checkpoint is spoken of, or when an edit is refused because somebody else holds the file.
---

# Working with other agents

{guide.TEXT}
"""


def files() -> Mapping[str, str]:
    """Return the generated files of the plugin by their path in it; what a person wrote stands beside them."""
    manifest = {
        "name": "coord",
        "version": coord.__version__,
        "description": _ABOUT,
        "author": {"name": "coord"},
        "license": "MIT",
        "keywords": ["agents", "coordination", "git", "mail", "locks"],
    }
    made = {
        ".claude-plugin/plugin.json": manifest,
        "hooks/hooks.json": {"description": "Leases before edits, mail, checkpoints", "hooks": claude.HOOKS},
        ".mcp.json": {"mcpServers": {"coord": SERVER}},
        **({"monitors/monitors.json": claude.MONITORS} if claude.MONITORS else {}),
    }
    return {"skills/coord/SKILL.md": _SKILL} | {path: f"{json.dumps(one, indent=2)}\n" for path, one in made.items()}


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        (PLUGIN / path).parent.mkdir(parents=True, exist_ok=True)
        (PLUGIN / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
