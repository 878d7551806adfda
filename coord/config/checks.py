"""What makes a value in `.coord.yaml` acceptable; each check raises Usage with the reason and a way out."""

import difflib
import shlex
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from coord.model import ids, keys, scope, secrets
from coord.model.errors import Usage
from coord.model.regex import regex
from coord.model.times import format_duration

NAME = "{name}"
_LONGEST = 500
_STEP = regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VARIABLE = regex(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_REMOTE = regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_PATH_LIKE = regex(r"[/.*?\[\]\\]")
_UNSEEN = regex("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# The rules of git check-ref-format.
_NO_BRANCH = regex(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\A[-/]|[/.]\Z|(?:\A|/)\.|\.lock(?:/|\Z)|\A(?:@|HEAD)\Z|\A(?:coord|refs)/"
)

T = TypeVar("T", int, timedelta)


def between(least: T, most: T) -> Callable[[T], None]:
    """Make the check that a number or a length of time lies within bounds, both included."""

    def check(value: T) -> None:
        if not least <= value <= most:
            side = "less" if value < least else "more"
            raise Usage(
                f"{_amount(value)} is {side} than allowed", hint=f"{_amount(least)} to {_amount(most)} will do."
            )

    return check


def _amount(value: int | timedelta) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)


def agent_name(text: str) -> None:
    """Check that TEXT may name an agent or a group."""
    if text in keys.RESERVED:
        raise Usage("this name is taken by coord or the operating system", hint=f"Write {spell_name(text)}.")
    if not keys.is_agent_name(text):
        rule = "a name is 1 to 32 lower-case letters, digits and inner hyphens"
        raise Usage(rule, hint=f"Write {spell_name(text)}.")


def spell_name(text: str) -> str:
    """Return the valid agent name that is nearest to TEXT: itself, where it is one."""
    if keys.is_agent_name(text):
        return text
    name = ids.slug(text, 32)
    return f"{name}-agent" if name in keys.RESERVED else name


def one_line(text: str) -> None:
    """Check that TEXT is short, on one line and all of it can be seen."""
    if len(text) > _LONGEST:
        raise Usage(f"is longer than {_LONGEST} characters")
    if not text.isprintable() and (found := _UNSEEN.search(text)):
        raise Usage(f"holds the character U+{ord(found.group()):04X}", hint="Write one line of visible text.")


def domain(domain: tuple[str, ...]) -> None:
    """Check the entries of an agent's domain."""
    for entry in domain:
        one_line(entry)
        if is_glob(entry):
            scope.normalise(entry, scope.Form())


def one_of(*words: str) -> Callable[[str], None]:
    """Return a check that a text is one of WORDS."""

    def check(text: str) -> None:
        if text not in words:
            hint = f"Write {', '.join(words[:-1])} or {words[-1]}."
            raise Usage(f"{text[:60]!a} is none of {', '.join(words)}", hint=hint)

    return check


def merge_fencing(text: str) -> None:
    """Check that TEXT says what becomes of a branch that was made under a lease which has passed on."""
    if text not in ("refuse", "review", "off"):
        raise Usage(f"{text[:60]!a} is none of refuse, review, off", hint="Write refuse, review or off.")


def step_name(text: str) -> None:
    """Check that TEXT may name a step of the test: it becomes part of a log's name."""
    if not _STEP.fullmatch(text):
        raise Usage(f"{text[:60]!a} is no name for a step", hint="Use 1 to 32 letters, digits, _ and -.")


def inner_folder(text: str) -> None:
    """Check that TEXT is a folder of the repository, as seen from its top."""
    one_line(text)
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise Usage(f"{text!a} may lead out of the repository", hint="Write it from the repository's top: app.")


def variable(name: str, value: str) -> None:
    """Check that a step may be given the variable NAME."""
    if not _VARIABLE.fullmatch(name):
        raise Usage(f"{name[:60]!a} is no name of a variable", hint="Use capitals, digits and _.")
    if name.startswith(("GIT_", "COORD_")):
        raise Usage(f"{name} cannot be set for a step", hint="GIT_ and COORD_ variables are git's and coord's own.")
    one_line(value)


def ungated(text: str) -> None:
    """Check that TEXT says whether anything may land untested."""
    if text not in ("refuse", "allow"):
        raise Usage(f"{text[:60]!a} is neither refuse nor allow", hint="Write refuse or allow.")


def secret_rules(names: tuple[str, ...]) -> None:
    """Check that NAMES are rules by which coord knows credentials."""
    for name in names:
        if name not in secrets.NAMES:
            near = difflib.get_close_matches(name[:40].lower(), secrets.NAMES, n=2) or secrets.NAMES
            raise Usage(f"{name[:60]!a} is no rule's name", hint=f"Known: {', '.join(near)}.")


def is_glob(entry: str) -> bool:
    """Tell whether an entry of a domain is about paths, and no word: it holds a slash, a dot or a glob's magic."""
    return _PATH_LIKE.search(entry) is not None


def branch(name: str) -> None:
    """Check that NAME is one that git allows for a branch, and none of coord's own."""
    one_line(name)
    if found := _NO_BRANCH.search(name):
        reason = f"because of {found.group()!a}" if found.group() else "to git"
        raise Usage(f"{name!a} is no name for a branch {reason}", hint="See `git help check-ref-format`.")


def remote(name: str) -> None:
    """Check that NAME may be what git calls a remote; where that is, git knows."""
    if not _REMOTE.fullmatch(name) or _NO_BRANCH.search(name):
        raise Usage(f"{name[:60]!a} is no name of a remote", hint="Write the name, not where it is: origin.")


def agent_branch(template: str) -> None:
    """Check the template of the agents' branches."""
    _template(template)
    branch(template.replace(NAME, "a"))


def agent_path(template: str) -> None:
    """Check the template of the agents' worktrees."""
    _template(template)
    if template.startswith("~"):
        raise Usage(f"{template!a}: a ~ stays a ~ here", hint="Write it from the repository's top, or in full.")
    parts = template.split("/")
    named = next(number for number, part in enumerate(parts) if NAME in part)
    if ".." in parts[named:]:
        raise Usage(f"{template!a} leads out of the agent's folder again", hint=f"Write .. before {NAME} only.")
    if ".git" in (part.lower() for part in parts):
        raise Usage(f"{template!a} is inside git's own folder", hint="Write it like ../agent-{name}.")


def _template(text: str) -> None:
    one_line(text)
    rest = text.replace(NAME, "")
    if rest == text:
        raise Usage(f"{text!a} is the same for every agent", hint=f"Put {NAME} where the agent's name goes.")
    if "{" in rest or "}" in rest:
        raise Usage(f"{text!a} has more in braces than {NAME}", hint=f"Only {NAME} can stand in braces.")


def command(line: str) -> None:
    """Check that LINE is one line with matching quotes; it is the owner's own, and run by `sh -c`."""
    one_line(line)
    try:
        shlex.split(line)
    except ValueError:
        raise Usage(f"the quotes in {line!a} do not match") from None
