"""Which files an editing tool of a coding assistant writes, read from what the tool is given."""

import re
from collections.abc import Iterator, Mapping

from coord.model.regex import regex

_NAMED = {
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "Write": "file_path",
    "NotebookEdit": "notebook_path",
    "write_file": "file_path",
    "replace": "file_path",
}
_PATCH = "apply_patch"
_SHELLS = frozenset(("Bash", "run_shell_command", "shell", "local_shell", "exec_command", "shell_command"))
_BEGIN = "*** Begin Patch"
_HEADER = regex(r"^[ \t]*\*\*\* (?:(?:Update|Add|Delete) File|Move to):[ \t]*(.+?)[ \t]*\r?$", re.MULTILINE)


def paths(tool: str, given: Mapping[str, object]) -> tuple[str, ...]:
    """Return the files that TOOL writes when it is GIVEN this, each once; none for a tool that edits nothing."""
    if tool in _NAMED:
        named = given.get(_NAMED[tool])
        return (named,) if isinstance(named, str) and named else ()
    if tool == _PATCH:
        return tuple(dict.fromkeys(path for text in _texts(given) for path in _HEADER.findall(text)))
    if is_shell(tool):
        patches = (text for text in _texts(given) if _PATCH in text and _BEGIN in text)
        return tuple(dict.fromkeys(path for text in patches for path in _HEADER.findall(text)))
    return ()


def is_edit(tool: str) -> bool:
    """Tell whether TOOL does nothing but write files."""
    return tool in _NAMED or tool == _PATCH


def is_shell(tool: str) -> bool:
    """Tell whether TOOL runs a command."""
    return tool in _SHELLS


def _texts(given: Mapping[str, object]) -> Iterator[str]:
    """Yield the pieces of text in GIVEN: the patch is under `command` or `input`, in a list of words for some."""
    for found in given.values():
        if isinstance(found, str):
            yield found
        elif isinstance(found, list):
            yield from (word for word in found if isinstance(word, str))
