"""Gemini: a folder that it trusts has servers and hooks in `.gemini/settings.json`."""

from coord.service.clients.entries import SERVER, JsonFile, hook

HOOKS = {
    "SessionStart": (hook("gemini"),),
    "BeforeAgent": (hook("gemini"),),
    "BeforeTool": (hook("gemini", matcher="write_file|replace|run_shell_command"),),
    "AfterTool": (hook("gemini"),),
    "AfterAgent": (hook("gemini"),),
    "PreCompress": (hook("gemini"),),  # before every request: saves each half hour
    "SessionEnd": (hook("gemini"),),
}
FILES = (JsonFile(path=".gemini/settings.json", server=SERVER, hooks=HOOKS, comments=True),)
