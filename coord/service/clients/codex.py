"""Codex: a project that it trusts has servers in `.codex/config.toml`, hooks in `.codex/hooks.json`."""

from coord.service.clients.entries import SERVER, JsonFile, hook
from coord.service.clients.tomlsplice import TomlFile

HOOKS = {
    "SessionStart": (hook("codex"),),
    "UserPromptSubmit": (hook("codex"),),
    "PreToolUse": (hook("codex", matcher="apply_patch|Bash"),),
    "PostToolUse": (hook("codex"),),
    "Stop": (hook("codex"),),
    "PreCompact": (hook("codex"),),
    "SessionEnd": (hook("codex"),),
}
FILES = (TomlFile(path=".codex/config.toml", server=SERVER), JsonFile(path=".codex/hooks.json", hooks=HOOKS))
