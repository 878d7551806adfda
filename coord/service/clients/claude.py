"""Claude Code: a project's servers are in `.mcp.json`, its hooks in `.claude/settings.json`."""

from collections.abc import Mapping

from coord.service.clients.entries import SERVER, JsonFile, hook

# It runs on beside the session, for a week at most, and wakes it when it ends with 2.
_WAITER = hook("claude", "wait", asyncRewake=True, timeout=604_800)
HOOKS = {
    "SessionStart": (hook("claude"), _WAITER),
    "UserPromptSubmit": (hook("claude"),),
    # Without it, what fails or takes too long would let the edit through.
    "PreToolUse": (hook("claude", matcher="Edit|Write|NotebookEdit|Bash", onFailure="block"),),
    "PostToolUse": (hook("claude"),),
    "Stop": (hook("claude"), _WAITER),
    "StopFailure": (hook("claude"),),
    "PreCompact": (hook("claude"),),
    "SessionEnd": (hook("claude"),),
}
MONITORS: tuple[Mapping[str, str], ...] = (
    {
        "name": "mail",
        "command": "coord hook claude monitor",
        "description": "mail for this agent, where nobody else waits for it",
    },
)
"""What a plugin lets run beside a session: each line that it prints wakes it."""

FILES = (JsonFile(path=".mcp.json", server=SERVER), JsonFile(path=".claude/settings.json", hooks=HOOKS))
