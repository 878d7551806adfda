"""Which changes were overtaken: made under a lease that somebody else has had since.

For what is about to be committed the notes of edits tell which lease that was, for commits
their trailers do; where neither does, the ledger and the time. Taking the lease anew and having
what the base branch got meanwhile puts it right.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from urllib.parse import unquote

from coord.git import commits, history
from coord.git.commits import Commit
from coord.git.history import Entry
from coord.git.repo import Git
from coord.model import codec, fencing, leasetrailers, scope, times
from coord.model.errors import BadRecord, Corrupt, StaleToken, Unavailable
from coord.model.fencing import Judged, Passed, Work
from coord.model.records import Lock
from coord.model.untrusted import clean_line
from coord.service import branches
from coord.service.coord import Coord
from coord.service.guard import editnotes
from coord.service.guard.editnotes import Note
from coord.service.leasebook import Book

# How much older than a change a lease may be, by its grant, that is looked for because no token was noted.
_LOOKS_BACK = timedelta(days=14)
_GRANTED, _SHOWN = "lease.granted", 5
Lease = tuple[str, str, int]


def of_commits(coord: Coord, base: str, head: str, *, agent: str = "") -> Judged:
    """Judge the commits of HEAD that BASE has not; AGENT made those that name nobody.

    Raises:
        BadRecord: a lease on file cannot be read.
    """
    return judged(coord, tuple(commits.between(Git(coord.place.top), head, (base,))), agent, base=base, head=head)


def judged(coord: Coord, span: Sequence[Commit], agent: str, *, base: str, head: str) -> Judged:
    """Judge some commits of HEAD, which is to go to BASE; AGENT made those that name nobody.

    Raises:
        BadRecord: a lease on file cannot be read.
    """
    works = [work for commit in span for work in _works(commit, agent)]
    return _judged(coord, Git(coord.place.top), works, [head], base=base)


def staged(coord: Coord, agent: str, paths: Sequence[str]) -> Judged:
    """Judge what is about to be committed: PATHS, by the notes of AGENT's edits and its leases.

    What it holds now, and has not edited under an older lease, nobody else can have had meanwhile: that is
    the common case, and costs no look at the ledger.

    Raises:
        BadRecord: a lease on file cannot be read.
    """
    noted = unsettled(coord, agent, paths)
    own = [lock for lock in Book.read(coord).live if lock.holder == agent]
    works: list[Work] = []
    for path in paths:
        notes = noted.get(path, ())
        tokens = tuple(note.token for note in notes if note.token)
        now = max((lock.token for lock in own if scope.covers(lock.scope, path, coord.form)), default=0)
        if now and all(token == now for token in tokens):
            continue
        at = coord.now() if tokens or not notes else min(note.at for note in notes)
        works.append(Work(path=path, agent=agent, at=at, tokens=tokens))
    if not works:
        return Judged()
    git = Git(coord.place.top)
    return _judged(coord, git, works, [tip for one in ("HEAD", "MERGE_HEAD") if (tip := git.tip(one))])


def leases_of(coord: Coord, agent: str, paths: Iterable[str]) -> set[tuple[int, str]]:
    """Return the token and scope of each lease that PATHS, about to be committed, were changed under.

    They are those noted with AGENT's edits, and where none is, those it holds now.

    Raises:
        BadRecord: a lease on file cannot be read.
    """
    some = tuple(paths)
    noted = unsettled(coord, agent, some)
    found = {(note.token, note.scope) for notes in noted.values() for note in notes if note.token}
    own = [lock for lock in Book.read(coord).live if lock.holder == agent]
    for path in some if own else ():
        if path not in noted:
            found |= {(lock.token, lock.scope) for lock in own if scope.covers(lock.scope, path, coord.form)}
    return found


def unsettled(coord: Coord, agent: str, paths: Sequence[str]) -> dict[str, tuple[Note, ...]]:
    """Return the notes of AGENT's edits of PATHS that are in no commit of where one stands."""
    noted = editnotes.read(coord, agent, paths)
    if not noted:
        return {}
    since = min(note.at for notes in noted.values() for note in notes)
    settled = commits.last_changed(Git(coord.place.top), tuple(noted), since - timedelta(seconds=1))
    # git knows seconds: an edit in the second of a commit counts as part of it.
    ends = {path: when + timedelta(seconds=1) for path, when in settled.items()}
    left = {
        path: tuple(note for note in notes if path not in ends or note.at >= ends[path])
        for path, notes in noted.items()
    }
    return {path: notes for path, notes in left.items() if notes}


def refusal(coord: Coord, passed: Sequence[Passed]) -> StaleToken:
    """Return the error that names what was overtaken, by whom, and the way out."""
    paths = tuple(dict.fromkeys(one.path for one in passed))
    said = "; ".join(dict.fromkeys(map(_said, passed[:_SHOWN])))
    more = f"; and {len(passed) - _SHOWN} more" if len(passed) > _SHOWN else ""
    base = branches.seen_base(coord) or "the base branch"
    named = " ".join(clean_line(shlex.quote(path), 200) for path in paths[:_SHOWN])
    steps = [f"see what was done meanwhile: git log -p --all -- {named}"]
    if not all(one.retaken for one in passed):
        steps.append(f"take the lease again: coord lock acquire {named}")
    steps.append(f"bring in what {base} has: git merge {base} (before it git stash, after it git stash pop)")
    return StaleToken(
        f"made under a lease that has passed on: {said}{more}",
        hint=", then ".join(steps),
        paths=paths,
        tokens=tuple(one.token for one in passed),
        holders=tuple(dict.fromkeys(one.to.holder for one in passed)),
        new_tokens=tuple(one.to.token for one in passed),
    )


def _said(one: Passed) -> str:
    who = one.agent or "somebody"
    under = f"with token {one.token}" if one.token else "without a lease that anything tells of"
    word = f"{clean_line(one.path, 200)} was changed by {who} {under}"
    word += f", and {one.to.holder} was given {clean_line(one.to.scope, 200)} at {times.format_time(one.to.granted_at)}"
    word += f" with token {one.to.token}"
    return f"{word} (taken again with token {one.retaken}, without what was done meanwhile)" if one.retaken else word


def _works(commit: Commit, agent: str) -> Iterable[Work]:
    who = leasetrailers.agent(commit.message) or agent
    tokens = leasetrailers.tokens(commit.message)
    return [Work(path=path, agent=who, at=commit.written_at, tokens=tokens) for path in commit.paths]


def _judged(coord: Coord, git: Git, works: Sequence[Work], heads: Sequence[str], *, base: str = "") -> Judged:
    if not works:
        return Judged()
    judged = fencing.judge(works, _grants(coord, works), coord.form)
    again = sorted({one.path for one in judged.passed if one.retaken})
    if not again:
        return judged
    tip = git.tip(base) if base else git.tip(branches.ref(branches.seen_base(coord)))
    lacking = commits.lacking(git, tip, heads, again) if tip else frozenset[str]()
    return replace(judged, passed=tuple(one for one in judged.passed if not one.retaken or one.path in lacking))


def _grants(coord: Coord, works: Sequence[Work]) -> tuple[Lock, ...]:
    """Return every lease that was granted since the oldest one that WORKS may have been made under, once each."""
    held = {_lease(lock): lock for lock in Book.read(coord).held}
    try:
        return tuple({**held, **_past(coord, works, held)}.values())
    except Corrupt as fault:  # who holds what now is on file, and nobody's work waits for the rest
        raise Unavailable(f"who was granted what cannot be told: {fault.message}", hint="coord doctor --fix") from None


def _past(coord: Coord, works: Sequence[Work], held: Mapping[Lease, Lock]) -> dict[Lease, Lock]:
    """Return what the ledger has of such leases."""
    index, paths, found = coord.indexed(), tuple({work.path for work in works}), dict(held)
    if tokens := [token for work in works for token in work.tokens]:
        entries = index.entries(kind=_GRANTED, token=min(tokens))
        found |= {_lease(lock): lock for lock in _written(coord, entries, paths)}
    if untold := [work.at for work in works if not _is_told(coord, work, found.values())]:
        entries = index.entries(kind=_GRANTED, since=min(untold) - _LOOKS_BACK)
        found |= {_lease(lock): lock for lock in _written(coord, entries, paths)}
    return found


def _is_told(coord: Coord, work: Work, found: Iterable[Lock]) -> bool:
    """Tell whether a lease bears out a token that was noted with a change."""
    return any(lock.token in work.tokens and scope.covers(lock.scope, work.path, coord.form) for lock in found)


def _written(coord: Coord, entries: Sequence[Entry], paths: Sequence[str]) -> Iterator[Lock]:
    """Yield the leases that events wrote, as far as they may cover one of PATHS."""
    changes = {(key, blob) for entry in entries for op, key, blob in entry.changes if op != "D"}
    over = {key for key in {key for key, _ in changes} if _may_cover(coord, key, paths)}
    wanted = sorted(change for change in changes if change[0] in over)
    for (key, _), data in zip(wanted, history.blobs(coord.git, [blob for _, blob in wanted]), strict=True):
        with suppress(BadRecord):  # no command writes such a one
            yield codec.decode_lock(data, key)


def _lease(lock: Lock) -> Lease:
    return lock.scope, lock.holder, lock.token


def _may_cover(coord: Coord, key: str, paths: Sequence[str]) -> bool:
    """Tell whether the lease at a key may cover one of PATHS: its name is the scope, unless that is too long."""
    folder, _, name = key.removesuffix(".yaml").partition("/")
    named = unquote(name.partition("@")[0])
    return folder == "locks" and ("~" in name or any(scope.covers(named, path, coord.form) for path in paths))
