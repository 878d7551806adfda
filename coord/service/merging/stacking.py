"""Stack requests upon a branch in memory, with no checkout; what does not fit leaves the stack by itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from coord.git import commits, merge, worktree
from coord.git.commits import Commit
from coord.git.merge import Prediction
from coord.git.repo import Git
from coord.model import keys, leasetrailers, trailers
from coord.model.errors import NotFound, Refused, Unavailable
from coord.model.gate import PASSED, UNGATED, gate_name
from coord.model.records import MergeRequest
from coord.model.untrusted import clean_line, several
from coord.model.values import frozen
from coord.service.coord import Coord
from coord.service.merging import fence, remembering

_SHOWN = 12
Keyed = tuple[str, MergeRequest]


@frozen
class Left:
    """A request that does not go with the others.

    It is in the base already (`landed`), conflicts with the base in `paths`, cannot be merged at all (`failed`), is
    `behind` one in the stack with which it conflicts, or needs a `review` by `holders` of leases that overtook it.
    """

    key: str
    one: MergeRequest
    why: Literal["landed", "conflict", "failed", "behind", "review"]
    what: str
    detail: str = ""
    holders: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(slots=True)
class Stack:
    """Requests merged one upon the other; each member's `base` is the candidate of the one below."""

    base: str
    gate: str = ""
    signed: bool = False
    guard: Path | None = None
    members: list[Keyed] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    @property
    def tip(self) -> str:
        """The commit that the base is to become."""
        return self.members[-1][1].candidate if self.members else self.base


def stack(coord: Coord, base: str, requests: Iterable[Keyed], *, batch: str, most: int, gate: str) -> Stack:
    """Merge requests upon BASE, in order, until there are MOST; who comes after another goes only with it.

    A merge commit that a member has already is used again where it lies right upon what is below it.

    Raises:
        Unsigned: merge commits are signed here, and one could not be.
    """
    ways, present = merge.ways(coord.git), set[str]()
    made = Stack(base, gate, ways.signs and coord.config.merge.sign == "git", ways.guard)
    for key, one in requests:
        if len(made.members) == most:
            break
        if not present.issuperset(one.after):
            continue
        found = _upon(coord, made, (key, one), batch)
        if isinstance(found, Left):
            made.left.append(found)
        else:
            made.members.append((key, found))
            present.add(one.id)
    return made


def signs(coord: Coord, git: Git) -> bool:
    """Tell whether the merge commits of a repository are signed."""
    return coord.config.merge.sign == "git" and merge.ways(git).signs


def _upon(coord: Coord, made: Stack, pair: Keyed, batch: str) -> MergeRequest | Left:
    """Merge a request upon the stack, or say why it is left."""
    (key, one), git, below, gate = pair, coord.git, made.tip, made.gate
    if (one.batch, one.base, gate_name(one)) == (batch, below, gate or UNGATED) and git.tip(one.candidate) is not None:
        return one
    try:
        span = _brought(coord, below, one.head)
        if not span if span is not None else merge.already_in(git, below, one.head):
            if not made.members or merge.already_in(git, made.base, one.head):
                return Left(key, one, "landed", f"{one.into} had all of it already")
            return Left(key, one, "behind", "all of it is in another that is ahead")
        found = _predicted(coord, below, one.head, gate)
        if not found.clean:
            return _conflicting(coord, made, key, one, found)
    except (NotFound, Refused) as fault:  # a commit that is gone: trying again would not help
        return Left(key, one, "failed", fault.message, fault.hint)
    links = set(worktree.committed_links(git, found.tree)) if span is None or _may_link(span) else set()
    if links and (links := links - set(worktree.committed_links(git, below))):
        named = clean_line(" ".join(sorted(links)), 300)
        detail = f"They lead to the live folders: `git rm --cached {named}`, commit, and request again."
        return Left(key, one, "failed", f"it has coord's own links in a commit: {named}", detail)
    looked = fence.look(coord, below, one, span)
    if looked.overtaken is not None:
        return _overtaken(coord, made, key, one, looked.overtaken)
    position = made.members[-1][1].position + 1 if made.members else 1
    one = replace(one, batch=batch, position=max(position, one.position), base=below, gate=gate or UNGATED, result="")
    candidate = merge.commit(
        git,
        found.tree,
        (below, one.head),
        message(one, looked.leases, looked.approved, remembered=found.conflicts),
        author=trailers.author(one.agent),
        at=coord.now(),
        signed=made.signed,
    )
    return replace(one, candidate=candidate)


def _brought(coord: Coord, below: str, head: str) -> tuple[Commit, ...] | None:
    """Return the commits that a request brings: none where all of it is there. None where no fence asks for them.

    Raises:
        NotFound: one of the two is gone.
    """
    if coord.config.merge.fencing == "off":
        return None
    try:
        return tuple(commits.between(coord.git, head, (below,)))
    except Unavailable:
        merge.already_in(coord.git, below, head)  # says which of them is gone
        raise


def _may_link(span: Iterable[Commit]) -> bool:
    """Tell whether merging commits may bring a symbolic link into the live folders.

    One must be made there, or be moved there by either side: where one renames a folder, git moves what the other
    adds. A merge may have chosen what neither of its parents' commits tells of.
    """
    return any(
        len(one.parents) > 1 or one.links or any(path.partition("/")[0] in keys.FOLDERS for path in one.paths)
        for one in span
    )


def fenced(coord: Coord, base: str, key: str, one: MergeRequest) -> Left | None:
    """Return why a request must not land that was made under leases which have passed on, or None."""
    found = fence.look(coord, base, one).overtaken
    return _stale(coord, key, one, found) if found else None


def _stale(coord: Coord, key: str, one: MergeRequest, found: fence.Overtaken) -> Left:
    review = coord.config.merge.fencing == "review" and bool(found.holders)
    return Left(key, one, "review" if review else "failed", found.what, found.detail, found.holders)


def _overtaken(coord: Coord, made: Stack, key: str, one: MergeRequest, found: fence.Overtaken) -> Left:
    """Say whether a request was overtaken by what the base has, or only lacks what another has that is ahead of it."""
    if made.members and fenced(coord, made.base, key, one) is None:
        return Left(key, one, "behind", f"one that is ahead lands first: {found.what}")
    return _stale(coord, key, one, found)


def _predicted(coord: Coord, base: str, head: str, gate: str) -> Prediction:
    """Merge in memory. What conflicts as something did that was resolved since is resolved so, where a test judges it.

    Such a merge is clean, and its `conflicts` are the paths that were.
    """
    found = merge.predict(coord.git, base, head)
    if found.clean or not gate or coord.config.merge.rerere == "off":
        return found
    ours, theirs = coord.git.tip(base), coord.git.tip(head)
    tree = remembering.resolved(coord, ours, theirs) if ours and theirs else None
    return replace(found, tree=tree, clean=True) if tree else found


def _conflicting(coord: Coord, made: Stack, key: str, one: MergeRequest, found: Prediction) -> Left:
    """Say with whom a request conflicts: with the base, or only with one that is ahead of it."""
    upon_base = _predicted(coord, made.base, one.head, made.gate) if made.members else found
    if not upon_base.clean:
        paths = upon_base.conflicts
        return Left(key, one, "conflict", f"it conflicts in {_named(paths)}", paths=paths)
    heights = (other for _, other in made.members)
    first = next(other for other in heights if not _predicted(coord, other.candidate, one.head, made.gate).clean)
    where = _named(found.conflicts)
    return Left(key, one, "behind", f"conflicts with {first.branch} ({first.id}), which is ahead, in {where}")


def _named(paths: tuple[str, ...]) -> str:
    return ", ".join(clean_line(path, 120) for path in paths[:_SHOWN])


def message(
    one: MergeRequest,
    leases: Iterable[tuple[int, str]] = (),
    approved: Iterable[tuple[str, int]] = (),
    *,
    remembered: tuple[str, ...] = (),
) -> str:
    """Compose the merge commit: coord's own words and cleaned single lines, so that nothing in it can be forged.

    LEASES are those that its changes were made under, by token and scope; APPROVED who let it pass though it was
    overtaken, with the token of the lease that did it; REMEMBERED the paths whose conflicts were resolved as before.
    """
    subject = clean_line(f"Merge {one.branch}: {one.title}", 72)
    facts = {"Agent": one.agent, "Task": one.task, "Merge": one.id, "Rerere": several(remembered)}
    gate = {"Gate": UNGATED}
    if one.gate != UNGATED:
        gate = {"Gate": PASSED, "Gate-Id": one.gate, "Batch": f"{one.batch} {one.position}"}
    reviews = (f"Coord-Approved: {clean_line(who, 32)} {token}" for who, token in approved)
    lines = (*_trailers(facts), *leasetrailers.lines_of(leases), *reviews, *_trailers(gate))
    return f"{subject}\n\n" + "".join(f"{line}\n" for line in lines)


def _trailers(facts: Mapping[str, str]) -> Iterator[str]:
    return (f"Coord-{name}: {clean_line(value, 100)}" for name, value in facts.items() if value)
