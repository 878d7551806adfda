"""Claude Code: a project's servers are in `.mcp.json`, its hooks in `.claude/settings.json`."""

from collections.abc import Mapping

from coord.service.clients.entries import SERVER, JsonFile, hook

HOOKS = {
    "SessionStart": (hook("claude"),),
    "UserPromptSubmit": (hook("claude"),),
    # Without it, what fails or takes too long would let the edit through.
    "PreToolUse": (hook("claude", matcher="Edit|Write|NotebookEdit|Bash", onFailure="block"),),
    "PostToolUse": (hook("claude"),),
    "Stop": (hook("claude"),),
    "StopFailure": (hook("claude"),),
    "PreCompact": (hook("claude"),),
    "SessionEnd": (hook("claude"),),
}
MONITORS: tuple[Mapping[str, str], ...] = ()
"""What a plugin lets run beside a session: each line that it prints wakes it."""

FILES = (JsonFile(path=".mcp.json", server=SERVER), JsonFile(path=".claude/settings.json", hooks=HOOKS))
