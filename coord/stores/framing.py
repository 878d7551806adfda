"""Records in an append-only file: found whole, or not at all, whatever was torn around them.

A record is one write of `\\n<crc32 of the text, 8 hex digits> <text>\\n`. The leading
line break puts it on a line of its own even after a torn one, whose crc then fails.
"""

from zlib import crc32

from coord.model.values import frozen


@frozen
class Framed:
    """The texts found, each with the offset behind it; END is where to read on; DAMAGED counts lines of garbage."""

    texts: tuple[tuple[int, str], ...]
    end: int
    damaged: int


def frame(text: str) -> bytes:
    """Return the record that holds TEXT, which is ASCII without line breaks."""
    return b"\n%08x %s\n" % (crc32(text.encode("ascii")), text.encode("ascii"))


def unframe(data: bytes, *, final: bool) -> Framed:
    """Find the records in DATA; unless FINAL, leave a last line alone that may still be on its way.

    A record that lacks only its last line break is whole.
    """
    texts: list[tuple[int, str]] = []
    end = start = damaged = 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        last = number == len(lines)
        start += len(line) + (not last)
        text = _text_of(line)
        if text is not None:
            texts.append((start, text))
        elif line and last and not final:
            break
        elif line:
            damaged += 1
        end = start
    return Framed(tuple(texts), end, damaged)


def _text_of(line: bytes) -> str | None:
    crc, blank, text = line.partition(b" ")
    whole = blank and text.isascii() and crc == b"%08x" % crc32(text)
    return text.decode("ascii") if whole else None
