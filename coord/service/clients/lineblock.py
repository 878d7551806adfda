"""Lines of coord's own at the end of a text: added and taken away so that all others keep every byte."""


def added(text: str, block: str) -> str:
    """Return TEXT and, behind an empty line, BLOCK; it ends with a line break where TEXT does."""
    line_break = line_break_of(text)
    block = block.replace("\n", line_break)
    if not text.strip("\ufeff"):
        return text + block
    if text.endswith("\n"):
        return f"{text}{line_break}{block}"
    return f"{text}{line_break}{line_break}{block.removesuffix(line_break)}"


def without(text: str, start: int, end: int) -> str:
    """Return TEXT without its whole lines from START to END and the empty line before them."""
    before, after = text[:start], text[end:]
    line_break = line_break_of(text)
    if before.endswith(line_break * 2):
        before = before.removesuffix(line_break)
    if not after and not text.endswith("\n"):
        before = before.removesuffix(line_break)
    return before + after


def line_break_of(text: str) -> str:
    """Return how the lines of TEXT end."""
    return "\r\n" if "\r\n" in text else "\n"
