"""CoordError to exit status, text and JSON: the one place where failures become what a caller sees."""

from coord.faces import jsontext
from coord.model.errors import CoordError
from coord.model.untrusted import clean_text
from coord.model.values import frozen

INTERRUPTED = 130


@frozen
class Failure:
    """What to tell a caller about an error."""

    exit_status: int
    text: str
    json: str


def failure(error: CoordError, encoding: str) -> Failure:
    """Describe an error to people, and to programs that read a stream in ENCODING."""
    text = f"coord: {error.message}"
    if error.hint:
        text += f"\n  next: {error.hint}"
    plain = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "facts": {name: _plain(value) for name, value in error.facts.items()},
    }
    return Failure(error.exit_status, clean_text(text), jsontext.dumps({"error": plain}, encoding))


def from_os(error: OSError) -> CoordError:
    """Name an operating-system error that reached the top: the file, the reason, the next step."""
    where = f" ({error.filename})" if error.filename else ""
    fault = CoordError(
        f"the operating system refused{where}: {error.strerror or error}",
        hint="free space, or mend the permissions of that path, and run the same command again",
    )
    fault.exit_status = 6
    return fault


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
