"""The ledger as a reader sees it: commits as entries, the records of a commit, their contents.

Commits that coord did not make are entries too. Nothing in a message or a path can be
mistaken for something else: fields are counted and end with a zero byte.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import IO, Literal

from coord.git import objects, output
from coord.git.ledger import REF
from coord.git.output import Change
from coord.git.repo import Git
from coord.model import ids, trailers
from coord.model.errors import Corrupt, Unavailable
from coord.model.regex import regex
from coord.model.untrusted import clean_line
from coord.model.values import frozen

Op = Literal["A", "M", "D"]
OUTSIDE = "git"
_CHANGES = ("--raw", "--no-abbrev", "--no-renames", "--root", "--diff-merges=first-parent")
_HEAD = "--format=tformat:%H%x00%P%x00%at%x00%ct%x00%an <%ae>%x00%B"
_FIELDS = 6
_LATEST = 253_402_300_799  # the last second of the year 9999
_COMMIT = regex(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FILE = "100"  # the mode of a regular file begins so; links and submodules are no records


@frozen
class Entry:
    """One commit of the ledger.

    Commits by others have no kind and no id; their agent is `git` and the fact `Author` says who.
    `changes` are (operation, key, blob); a removal names the blob that was removed.
    """

    commit: str
    parents: tuple[str, ...]
    at: datetime
    committed_at: datetime
    agent: str
    kind: str
    id: str
    subject: str
    cause: tuple[str, ...]
    facts: Mapping[str, str]
    changes: tuple[tuple[Op, str, str], ...]


def entries(
    git: Git,
    *,
    since: str | None = None,
    until: str = REF,
    newest_first: bool = False,
    limit: int | None = None,
    with_changes: bool = True,
) -> Iterator[Entry]:
    """Yield the commits after SINCE up to UNTIL, read as they come from one git.

    A ledger that has not begun has none. LIMIT counts from the end at which the reading
    begins. A merge made by hand shows what it brought against its first parent.

    Raises:
        Corrupt: UNTIL is something else than a commit.
    """
    if not _COMMIT.fullmatch(until) and git.tip(until) is None:
        return
    order = () if newest_first else ("--reverse", "--topo-order")
    shown = _CHANGES if with_changes else ("-s",)
    span = until if since is None else f"{since}..{until}"
    arguments = ("log", "-z", "--encoding=UTF-8", _HEAD, *order, *shown, "--end-of-options", span, "--")
    none = since is None and limit != 0
    with git.stream(*arguments) as out:
        for entry in islice(_entries(out), limit):
            none = False
            yield entry
    if none:
        raise Corrupt(f"{until[:10]}, where the ledger is said to be, is no commit", hint="coord doctor --fix")


def gained(git: Git, since: str, until: str) -> Iterator[Entry] | None:
    """Return what `entries` does, or None where SINCE is no commit before UNTIL: in one git, where history is a line.

    Then the first of the entries follows SINCE; only where it does not, git is asked.
    """
    found = entries(git, since=since, until=until)
    try:
        first = next(found, None)
    except Unavailable:  # a commit that is gone
        return None
    if first is None or (since not in first.parents and not is_ancestor(git, since, until)):
        return None
    return chain((first,), found)


def chosen(git: Git, commits: Sequence[str]) -> Iterator[Entry]:
    """Yield the entries of COMMITS, in that order.

    Raises:
        Unavailable: the repository does not have one of them.
    """
    if commits:  # git takes none for HEAD
        wanted = "".join(f"{commit}\n" for commit in commits).encode()
        arguments = ("log", "-z", "--encoding=UTF-8", _HEAD, *_CHANGES, "--no-walk=unsorted", "--stdin", "--")
        with git.stream(*arguments, stdin=wanted) as out:
            yield from _entries(out)


def tree(git: Git, commit: str) -> dict[str, str]:
    """Return the blob of every file in COMMIT by its key."""
    return dict(files(git, commit))


def files(git: Git, commit: str) -> Iterator[tuple[str, str]]:
    """Yield key and blob of every file in COMMIT, read as they come from one git."""
    with git.stream("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit) as out:
        for line in output.tokens(out):
            about, _, path = line.partition(b"\t")
            mode, _, blob = about.decode().split(" ")
            if mode.startswith(_FILE):
                yield os.fsdecode(path), blob


def blobs(git: Git, shas: Iterable[str]) -> Iterator[bytes]:
    """Yield the contents of SHAS, in order.

    Raises:
        Corrupt: the repository does not have one of them.
    """
    wanted = list(shas)
    for sha, data in zip(wanted, objects.contents(git, [sha.encode() for sha in wanted]), strict=True):
        if data is None:
            raise Corrupt(f"the object {sha} is missing from {git.cwd}", hint="another clone may have it")
        yield data


def ids_in(git: Git, base: str | None, tip: str) -> set[str]:
    """Return the ids of the events in BASE..TIP; of all up to TIP, when BASE is no ancestor of it."""
    if base is not None and not is_ancestor(git, base, tip):
        base = None
    return {
        entry.id for entry in entries(git, since=base, until=tip, newest_first=True, with_changes=False) if entry.id
    }


def is_ancestor(git: Git, base: str, tip: str) -> bool:
    """Tell whether BASE is TIP or a commit before it; an unknown commit is not."""
    return git.run("merge-base", "--is-ancestor", base, tip, check=False).status == 0


def at_time(git: Git, when: datetime, *, ref: str = REF) -> str | None:
    """Return the ledger's last commit whose event had happened by WHEN, or None."""
    for entry in entries(git, until=ref, newest_first=True, with_changes=False):
        if entry.at <= when:
            return entry.commit
    return None


def blob_id(data: bytes, algorithm: str = "sha1") -> str:
    """Return the name git gives to DATA; ALGORITHM is the repository's object format."""
    return hashlib.new(algorithm, b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _entries(out: IO[bytes]) -> Iterator[Entry]:
    for head, changes in output.commits(output.tokens(out), _FIELDS):
        yield _entry(head, tuple(one for change in changes for one in _told(change)))


def _told(change: Change) -> Iterator[tuple[Op, str, str]]:
    """Yield what became of a regular file."""
    if change.after.startswith(_FILE):
        yield ("M" if change.before.startswith(_FILE) else "A"), change.path, change.blob
    elif change.before.startswith(_FILE):
        yield "D", change.path, change.was


def _entry(head: list[str], changes: tuple[tuple[Op, str, str], ...]) -> Entry:
    commit, before, written_at, committed_at, author, message = head
    parents, at, committed = tuple(before.split()), _moment(written_at), _moment(committed_at)
    parsed = trailers.parse(message)
    if parsed is None:
        subject = clean_line(message.strip().partition("\n")[0])
        return Entry(
            commit, parents, at, committed, OUTSIDE, "", "", subject, (), {"Author": clean_line(author)}, changes
        )
    exact = ids.time_of(parsed.id) if ids.is_ulid(parsed.id) else at
    if exact.replace(microsecond=0) == at:
        at = exact  # git keeps seconds, the id was made in the same one and keeps milliseconds
    return Entry(
        commit,
        parents,
        at,
        committed,
        parsed.agent,
        parsed.kind,
        parsed.id,
        parsed.subject,
        parsed.cause,
        parsed.facts,
        changes,
    )


def _moment(seconds: str) -> datetime:
    """Read git's seconds since 1970; a commit by others may claim any, or none."""
    return datetime.fromtimestamp(min(max(int(seconds or 0), 0), _LATEST), UTC)
