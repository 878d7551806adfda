"""Claude Code: a project's servers are in `.mcp.json`, its hooks in `.claude/settings.json`."""

from coord.service.clients.entries import SERVER, JsonFile, hook

HOOKS = {
    "SessionStart": (hook("claude"),),
    "UserPromptSubmit": (hook("claude"),),
    # Without it, what fails or takes too long would let the edit through.
    "PreToolUse": (hook("claude", "Edit|Write|NotebookEdit|Bash", onFailure="block"),),
    "PostToolUse": (hook("claude"),),
    "Stop": (hook("claude"),),
    "StopFailure": (hook("claude"),),
    "PreCompact": (hook("claude"),),
    "SessionEnd": (hook("claude"),),
}
FILES = (JsonFile(path=".mcp.json", server=SERVER), JsonFile(path=".claude/settings.json", hooks=HOOKS))
