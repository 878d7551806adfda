"""Commits of a code branch: when, with what words, and which paths each changed itself."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from coord.git import output
from coord.git.output import LINK
from coord.git.repo import Git
from coord.model.values import frozen

_FIELDS = 5
_HEAD = "--format=tformat:%H%x00%P%x00%at%x00%ct%x00%B"
_LOG = ("log", "-z", "--encoding=UTF-8", _HEAD, "--raw", "--no-abbrev", "--no-renames", "--root", "-c")
_LATEST = 253_402_300_799  # the last second of the year 9999
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}


@frozen
class Commit:
    """One commit; of a merge, `paths` are those that are like none of its parents'.

    `links` are those of its paths that are symbolic links since.
    """

    commit: str
    parents: tuple[str, ...]
    written_at: datetime
    committed_at: datetime
    message: str
    paths: tuple[str, ...]
    links: tuple[str, ...] = ()


def between(git: Git, head: str, without: Sequence[str], *, options: Sequence[str] = ()) -> Iterator[Commit]:
    """Yield the commits of HEAD that none of WITHOUT has, newest first; so bound it options such as `--remotes`."""
    done = git.run(*_LOG, *_only(git, head, without), *(("--not", *options) if options else ()), "--")
    yield from _read(done.out)


def last_changed(git: Git, paths: Sequence[str], since: datetime) -> dict[str, datetime]:
    """Return when each of PATHS was last changed in a commit of HEAD, of those that were since a moment."""
    found: dict[str, datetime] = {}
    if paths and git.tip("HEAD") is not None:
        done = git.run(*_LOG, f"--since=@{int(since.timestamp())}", "HEAD", "--", *paths, env=_LITERAL)
        for commit in _read(done.out):
            for path in commit.paths:
                found[path] = max(commit.committed_at, found.get(path, commit.committed_at))
    return found


def lacking(git: Git, base: str, heads: Sequence[str], paths: Sequence[str]) -> frozenset[str]:
    """Return those of PATHS that commits of BASE changed which none of HEADS has."""
    words = ("log", "-z", "--format=", "--name-only", "--no-renames", *_only(git, base, heads))
    done = git.run(*words, "--", *paths, env=_LITERAL)
    return frozenset(output.paths(done.out))


def _only(git: Git, head: str, without: Sequence[str]) -> tuple[str, ...]:
    """Return what names to git the commits of HEAD alone, with the commits that both sides share.

    Told only whose commits to leave out, git stops by dates, and lists commits of both sides where clocks were wrong.
    """
    if len(without) == 1:
        return ("--left-only", f"{head}...{without[0]}")
    shared = git.run("merge-base", "--all", head, *without, check=False).out.decode().split() if without else []
    return (head, *(f"^{one}" for one in (*without, *shared)))


def _read(printed: bytes) -> Iterator[Commit]:
    for head, changes in output.commits(iter(printed.split(b"\0")), _FIELDS):
        commit, before, written, committed, message = head
        paths = tuple(one.path for one in changes)
        links = tuple(one.path for one in changes if one.after == LINK)
        yield Commit(commit, tuple(before.split()), _moment(written), _moment(committed), message, paths, links)


def _moment(seconds: str) -> datetime:
    return datetime.fromtimestamp(min(max(int(seconds), 0), _LATEST), UTC)
