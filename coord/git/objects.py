"""What objects hold, many of them by one git."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO

from coord.git.repo import Git

_CHUNK = 1 << 16


def contents(
    git: Git, names: Iterable[bytes], *, env: Mapping[str, str] | None = None, largest: int | None = None
) -> Iterator[bytes | None]:
    """Yield what each object holds as it comes; None of one that is not there, or has more than LARGEST bytes.

    An object is named by its id, or a path in a tree by `<tree>:<path>`, whatever bytes that has.
    """
    asked = list(names)
    if asked:
        stdin = b"".join(name + b"\0" for name in asked)
        with git.stream("cat-file", "--batch", "--buffer", "-z", stdin=stdin, env=env) as out:
            for name in asked:
                yield _next(out, name, largest)


def _next(out: IO[bytes], name: bytes, largest: int | None) -> bytes | None:
    head, missing = out.readline(), name + b" missing\n"
    if missing.startswith(head):
        out.read(len(missing) - len(head))  # a name may have line breaks
        return None
    size = int(head.rpartition(b" ")[2])
    data = None
    if largest is None or size <= largest:
        data = out.read(size)
    else:
        for passed in range(0, size, _CHUNK):
            out.read(min(_CHUNK, size - passed))
    out.read(1)
    return data


def kinds(git: Git, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the id and the kind of each object, two empty texts for one that is not there."""
    asked = "".join(f"{name}\n" for name in names)
    lines = git.run("cat-file", "--batch-check", "--buffer", stdin=asked.encode()).out.decode().splitlines()
    fields = (line.split(" ") for line in lines)
    return [(words[0], words[1]) if len(words) == 3 else ("", "") for words in fields]
