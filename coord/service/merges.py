"""The queue of branches waiting to be merged: request, list, show, cancel, retry, approve."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Annotated

from coord.git import merge
from coord.model import codec, ids, keys, queue
from coord.model.errors import NotFound, Refused, Usage
from coord.model.records import Change, MergeRequest, Priority
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service import branches, named, watching, worktrees
from coord.service.command import Prose, command
from coord.service.coord import Coord
from coord.service.merging import fence, telling
from coord.service.merging import waiting as folder
from coord.service.merging.waiting import GUARD

_NO_WORDS = Prose("")


@frozen
class Queue:
    """The requests that wait, the next one first, whether a gate tests them, and what the owner has to set first.

    `push` is the remote that has to have what lands; `watched` is whether a daemon runs, without which nothing does.
    `strays` says, by the ids of requests, what became of their branches since.
    """

    base: str
    gated: bool
    requests: tuple[MergeRequest, ...]
    lack: str = ""
    push: str = ""
    watched: bool = True
    strays: Mapping[str, str] = field(default_factory=dict)


@command("merge request", writes=True, example="coord merge request --title 'Chef profiles from the Customers sheet'")
def request(
    coord: Coord,
    *,
    branch: Annotated[str, "the branch to merge; default: your worktree's"] = "",
    into: Annotated[str, "the branch to merge it into; default: the base branch"] = "",
    title: Annotated[str, "one line for the merge commit; default: the last commit's subject"] = "",
    body: Annotated[Prose, "more words for reviewers; - reads standard input"] = _NO_WORDS,
    priority: Annotated[Priority, "how urgent it is"] = "normal",
    task: Annotated[str, "the id of the task that it is for"] = "",
    after: Annotated[tuple[str, ...], "requests that must land before, by id"] = (),
) -> MergeRequest:
    """Queue a branch to be merged.

    What is merged is the branch as it stands now; later commits need a request of their
    own. The daemon merges in memory, tests what waits together where a gate is configured,
    and tells you and the owner what happened. A newer request for the same branch replaces
    the one that waits, if that is yours.

    Raises:
        Refused: there is nothing to merge; what it must come after did not land, or comes after it;
            somebody else's request for the branch waits; no base is named, and home stands on none.
    """
    agent = coord.me()
    name = branches.named(coord, branch or worktrees.standing_branch(coord, agent))
    base, note = (into, "") if into else branches.asked_for(coord)
    target = branches.named(coord, base)
    head = branches.tip(coord, name)
    base_tip = branches.tip(coord, target)
    if name == target:
        raise Usage(f"{name} cannot be merged into itself", hint="give --branch or --into")
    if merge.already_in(coord.git, base_tip, head):
        raise Refused(f"{target} has all of {name} already", hint="commit something on it first")
    with coord.exclusive(GUARD):
        made = MergeRequest(
            id=coord.new_id(),
            branch=name,
            into=target,
            head=head,
            agent=agent,
            requested_at=coord.now(),
            title=clean_line(title, 100) or coord.git.text("log", "-1", "--format=%s", head)[:100] or name,
            priority=priority,
            task=clean_line(task, 100),
            after=_before(coord, after),
            result=clean_line(note, 300),
            body=body,
        )
        _enqueue(coord, made)
    return made


@command("merge retry", writes=True, example="coord merge retry 01KAJ3X5")
def retry(
    coord: Coord,
    which: Annotated[str, "id, or its beginning or end"],
    *,
    branch: Annotated[str, "the branch on which somebody else resolved its conflict; default: its own"] = "",
) -> MergeRequest:
    """Queue a request again that went back or was cancelled, with its branch as it stands now.

    For its author, the owner, and `merge.resolver`. What came after it comes after the new one.

    Raises:
        Refused: it waits still, or has landed, or is somebody else's; another branch does not hold it.
    """
    old = show(coord, which)
    with coord.exclusive(GUARD):
        waiting = folder.found(coord)
        if old.id in waiting:
            raise Refused(f"{old.id} waits still", hint=f"coord merge show {old.id}")
        if _ended(coord, old.id) == "merge.landed":
            raise Refused(f"{old.id} has landed", hint="commit something more, then `coord merge request`")
        who = _allowed(coord, old, coord.config.merge.resolver)
        name = branches.named(coord, branch or old.branch)
        head = branches.tip(coord, name)
        if branch and not merge.already_in(coord.git, head, old.head):
            raise Refused(f"{name} does not hold {old.head[:12]}", hint=f"git merge {old.head[:12]}, on {name}")
        made = replace(
            telling.again(old),
            id=coord.new_id(),
            branch=name,
            head=head,
            requested_at=coord.now(),
            after=tuple(one for one in old.after if one in waiting),
            reviewed=(),  # that was of the branch as it was
            result="",
        )
        _enqueue(coord, made, who=who, again=old.id)
    return made


@command("merge approve", writes=True, example="coord merge approve 01KAJ3X5")
def approve(coord: Coord, which: Annotated[str, "id, or its beginning or end"]) -> MergeRequest:
    """Let a request land that was made under a lease which you have had since.

    For those whose leases overtook it, and for the owner, who speaks for all of them.

    Raises:
        Refused: none of your leases overtook it.
    """
    who = coord.me()
    with coord.exclusive(GUARD):
        every = folder.found(coord)
        key = named.one([key for key, _ in every.values()], which, "merge request")
        if key is None:
            raise NotFound(f"no waiting request has the id {which!r}", hint="see `coord merge list`")
        one = next(one for at, one in every.values() if at == key)
        agreed = fence.agreed(coord, branches.tip(coord, one.into), one, who)
        if not agreed:
            raise Refused(f"no lease of {who}'s overtook {one.branch}", hint=f"see `coord merge show {one.id}`")
        # One that is tested is merged anew, to say so; what its test says of the tree still counts.
        base = "" if one.state == "testing" else one.base
        new = replace(one, reviewed=tuple(dict.fromkeys((*one.reviewed, *agreed))), base=base, result="")
        changes = folder.written([(key, new)])
        subject = f"{one.branch} -> {one.into}: {one.title}"
        coord.record(coord.event("merge.approved", subject, changes, agent=who, cause=(one.id,)))
    return new


@command("merge list", example="coord merge list")
def list_(coord: Coord) -> Queue:
    """List the requests that wait, the next one first."""
    settings = coord.config.merge
    lack = "" if settings.gate or settings.ungated == "allow" else "set `merge.test`, or `merge.ungated: allow`"
    found = tuple(one for _, one in waiting(coord))
    return Queue(
        branches.seen_base(coord),
        bool(settings.gate),
        found,
        lack,
        settings.push,
        watching.find(coord).state != "stopped",
        strays(coord, found),
    )


@command("merge show", example="coord merge show 01KAJ3X5")
def show(coord: Coord, which: Annotated[str, "id, or its beginning or end"]) -> MergeRequest:
    """Show one request, also after it has landed or gone back."""
    wanted = which.strip().upper()
    live = dict(waiting(coord))
    if (key := named.one(live, which, "merge request")) is not None:
        return live[key]
    coord.committer.settle()
    coord.index.sync()
    found = [
        codec.decode(key, coord.index.content(blob))
        for key, blob in coord.index.find(wanted)
        if key.startswith(keys.MERGES)
    ]
    last = [one for one in found if isinstance(one, MergeRequest)]
    if not last:
        raise NotFound(
            f"no merge request has the id {which!r}", hint="see `coord merge list` and `coord log --kind merge`"
        )
    return last[-1]


@command("merge cancel", writes=True, example="coord merge cancel 01KAJ3X5")
def cancel(coord: Coord, which: Annotated[str, "id, or its beginning or end"]) -> MergeRequest:
    """Take a request out of the queue. For its author and the owner.

    Raises:
        Refused: it is somebody else's, or landing at this moment.
    """
    with coord.exclusive(GUARD):
        found = dict(waiting(coord))
        key = named.one(found, which, "merge request")
        if key is None:
            raise NotFound(f"no waiting request has the id {which!r}", hint="see `coord merge list`")
        one = found[key]
        who = _allowed(coord, one)
        if one.state == "landing":
            raise Refused("it is landing at this moment", hint=one.result or "see `coord merge show` in a moment")
        gone = replace(one, state="cancelled", result=f"cancelled by {who}")
        coord.record(
            coord.event(
                "merge.cancelled",
                f"{one.branch} -> {one.into}: {one.title}",
                (Change(key, None),),
                agent=who,
                cause=(one.id,),
            )
        )
    return gone


def strays(coord: Coord, requests: Sequence[MergeRequest]) -> dict[str, str]:
    """Say, by the ids of REQUESTS, where a branch was deleted or moved since: what is merged is what was asked for."""
    tips = branches.tips(coord, {one.branch for one in requests})
    return {
        one.id: f"{'moved' if one.branch in tips else 'deleted'} since, {one.head[:10]} is what waits"
        for one in requests
        if tips.get(one.branch) != one.head
    }


def waiting(coord: Coord) -> list[tuple[str, MergeRequest]]:
    """Return the requests in the folder with their keys, in the order of their turns; who can have none comes last."""
    every = folder.found(coord)
    lineup = queue.lineup(one for _, one in every.values())
    return [every[one.id] for one in (*lineup.ready, *(stuck.request for stuck in lineup.stuck))]


def _enqueue(coord: Coord, made: MergeRequest, *, who: str = "", again: str = "") -> None:
    """Record a new request in the place of one for the same branch that waits, and of the one that it tries AGAIN."""
    every = folder.found(coord)
    turn = (made.branch, made.into, "queued")
    same = [pair for pair in every.values() if (pair[1].branch, pair[1].into, pair[1].state) == turn]
    for _, one in same:
        _allowed(coord, one, coord.config.merge.resolver if again else "")
    earlier = {one.id: key for key, one in same}
    replaced = [*earlier, *([again] if again else [])]
    changed: dict[str, Change] = {}
    for old in replaced:
        later = {one: pair for one, pair in every.items() if one not in earlier}
        changed |= {change.key: change for change in folder.followers(later, old, made.id)}
    others = [one for _, one in every.values() if one.id not in earlier]
    renamed = [replace(one, after=tuple(made.id if old in replaced else old for old in one.after)) for one in others]
    if way := queue.circle(renamed, made):
        raise Refused(f"it would wait for itself: {' after '.join(way)}", hint="leave one of them out of --after")
    coord.record(
        coord.event(
            "merge.requested",
            f"{made.branch} -> {made.into}: {made.title}",
            (
                *(Change(key, None) for key in earlier.values()),
                *changed.values(),
                Change(keys.merge_request(made), codec.encode(made)),
            ),
            agent=who or made.agent,
            id=made.id,
            cause=(again,) if again else (),
            head=made.head,
        )
    )


def _before(coord: Coord, after: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of the requests that must land before; those that have landed are left out."""
    live = dict(waiting(coord))
    found = []
    for part in after:
        if (key := named.one(live, part, "merge request")) is not None:
            found.append(live[key].id)
            continue
        old = show(coord, part)
        if (ended := _ended(coord, old.id)) != "merge.landed":
            raise Refused(
                f"{old.id} ({old.branch}) did not land: {ended or 'it left the queue'}",
                hint=f"`coord merge retry {old.id}` queues it again",
            )
    return tuple(dict.fromkeys(found))


def _ended(coord: Coord, identifier: str) -> str:
    """Return the kind of the last event of a request that is gone."""
    since = ids.time_of(identifier)
    events = coord.indexed().entries(kind="merge.", since=since, newest_first=True)
    return next((one.kind for one in events if identifier in one.cause), "")


def _allowed(coord: Coord, one: MergeRequest, *others: str) -> str:
    """Return who is speaking, if the request is theirs to decide about, or that of one of OTHERS.

    Raises:
        Refused: it is somebody else's.
    """
    who = coord.me()
    if who not in (one.agent, "owner", coord.config.coordinator, *others):
        hint = f"ask {' or '.join(dict.fromkeys((one.agent, 'owner')))}"
        raise Refused(f"the request {one.id} for {one.branch} is {one.agent}'s", hint=hint)
    return who
