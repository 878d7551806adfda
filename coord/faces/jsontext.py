"""Results as JSON that is safe to print: nothing in it moves a cursor, hides, or is beyond the stream's encoding."""

import json
import re

from coord.model.untrusted import UNSAFE


def dumps(value: object, encoding: str = "utf-8", *, indent: int | None = None) -> str:
    """Write VALUE as JSON for a stream in ENCODING.

    What a terminal would obey, and halves of characters, become escapes that mean the same.
    """
    plain = encoding.lower().replace("-", "") != "utf8"
    text = json.dumps(value, ensure_ascii=plain, indent=indent, default=str)
    return text if text.isascii() and "\x7f" not in text else UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    # By hand: JSON has no need to escape a delete character, and so its writer does not.
    return "\\u007f" if found[0] == "\x7f" else json.dumps(found[0])[1:-1]
