"""After a command of a shell: files under another's lease that it changed, told to who did it and to who holds them.

Nothing can keep a shell from writing. So git is asked before and after, and only about what
others have leased: where nobody has, nothing is asked at all.
"""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from coord.git import worktree
from coord.model import quoting, scope, scopetext
from coord.model.records import Lock
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service import delivery
from coord.service.coord import Coord
from coord.service.delivery import Route
from coord.service.leasebook import Book
from coord.service.session.sessions import Memory

_SHOWN = 20
_MOST = 500


@frozen
class Crossed:
    """A file that was changed under another's lease."""

    path: str
    lock: Lock


def look(coord: Coord, agent: str, memory: Memory) -> list[Crossed]:
    """Return the files under others' leases that changed since the last look, and remember how they look now.

    Raises:
        BadRecord: a lease cannot be read.
    """
    others = [lock for lock in Book.read(coord).live if lock.holder != agent and not scopetext.NAMED.match(lock.scope)]
    before, memory.looked = memory.looked, {}
    if not others:
        return []
    found = []
    for path in worktree.dirty(coord.place.top, *dict.fromkeys(_pathspec(lock.scope) for lock in others)):
        lock = next((lock for lock in others if scope.covers(lock.scope, path, coord.form)), None)
        if lock is None:
            continue
        memory.looked[path] = stamp = _stamp(coord.place.top / path)
        if before.get(path) != stamp:
            found.append(Crossed(path, lock))
    return found


def told(found: Sequence[Crossed]) -> str:
    """Return what who ran the command is told."""
    lines = ["coord: while your command ran, files changed that others have leased. Undo that, unless they agree:"]
    lines += [f"- {clean_line(one.path, 200)}, leased to {quoting.address(one.lock.holder)}" for one in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"… and {len(found) - _SHOWN} more")
    return "\n".join(lines)


def tell_holders(coord: Coord, agent: str, found: Sequence[Crossed], memory: Memory) -> None:
    """Send each holder a word of what was changed under its lease, once for each file and lease."""
    fresh = [one for one in found if _name(one) not in memory.crossed]
    for holder in dict.fromkeys(one.lock.holder for one in fresh):
        if holder not in coord.config.everybody:
            continue
        paths = [clean_line(one.path, 200) for one in fresh if one.lock.holder == holder]
        who = agent or "a session that says not which agent it is"
        lines = [f"A command that {who} ran changed files that you have leased, in {coord.place.top}:", ""]
        lines += [f"- {path}" for path in paths[:_SHOWN]]
        lines += [f"… and {len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
        lines += ["", "It was told the same. Look before you overwrite it, or it you."]
        subject = f"changed under your lease: {paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"
        word = delivery.notice(coord, holder, subject, "\n".join(lines), kind="alert", priority="high")
        coord.record(delivery.sent(coord, "lease.crossed", word, Route((holder,), ())))
    memory.crossed = [*memory.crossed, *map(_name, fresh)][-_MOST:]


def _name(one: Crossed) -> str:
    return f"{one.lock.token} {one.path}"


def _pathspec(text: str) -> str:
    """Return git's spelling of a scope, or of a folder around it; what is too much is sorted out afterwards."""
    plain = scopetext.plain_text(text)
    if plain is not None:
        return f":(top,literal,icase){plain}"
    lead = takewhile(lambda part: part is not None, map(scopetext.plain_text, text.split("/")))
    folder = "/".join(part for part in lead if part)
    return f":(top,literal,icase){folder}" if folder else ":(top)"


def _stamp(path: Path) -> str:
    try:
        found = path.lstat()
    except OSError:
        return "gone"
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
