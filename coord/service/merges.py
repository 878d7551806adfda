"""The queue of branches waiting to be merged: request, list, show, cancel."""

from dataclasses import dataclass, replace
from typing import Annotated

from coord.git import merge
from coord.model import codec, keys
from coord.model.errors import BadRecord, NotFound, Refused, Usage
from coord.model.records import Change, MergeRequest, Priority
from coord.model.untrusted import clean_line
from coord.service import branches, named, worktrees
from coord.service.command import Prose, command
from coord.service.coord import Coord

GUARD = "merges"
_NO_WORDS = Prose("")
_RANK = {"urgent": 0, "high": 1, "normal": 2, "low": 3}


@dataclass(frozen=True, slots=True)
class Queue:
    """The requests that wait, the next one first, and whether a gate tests them before they land."""

    base: str
    gated: bool
    requests: tuple[MergeRequest, ...]


@command("merge request", writes=True, example="coord merge request --title 'Chef profiles from the Customers sheet'")
def request(
    coord: Coord,
    *,
    branch: Annotated[str, "the branch to merge; default: your worktree's"] = "",
    into: Annotated[str, "the branch to merge it into; default: the base branch"] = "",
    title: Annotated[str, "one line for the merge commit; default: the last commit's subject"] = "",
    body: Annotated[Prose, "more words for reviewers; - reads standard input"] = _NO_WORDS,
    priority: Annotated[Priority, "how urgent it is"] = "normal",
) -> MergeRequest:
    """Queue a branch to be merged.

    What is merged is the branch as it stands now; later commits need a request of their
    own. The daemon merges in memory, tests where a gate is configured, and tells you and the
    owner what happened. A newer request for the same branch replaces the one that waits.

    Raises:
        Refused: there is nothing to merge.
    """
    agent = coord.me()
    name = branches.named(coord, branch or worktrees.standing_branch(coord, agent))
    target = branches.named(coord, into or branches.base(coord))
    head = branches.tip(coord, name)
    base_tip = branches.tip(coord, target)
    if name == target:
        raise Usage(f"{name} cannot be merged into itself", hint="give --branch or --into")
    if merge.already_in(coord.git, base_tip, head):
        raise Refused(f"{target} has all of {name} already", hint="commit something on it first")
    with coord.exclusive(GUARD):
        earlier = [key for key, one in waiting(coord) if (one.branch, one.into, one.state) == (name, target, "queued")]
        made = MergeRequest(
            id=coord.new_id(),
            branch=name,
            into=target,
            head=head,
            agent=agent,
            requested_at=coord.now(),
            title=clean_line(title, 100) or coord.git.text("log", "-1", "--format=%s", head)[:100] or name,
            priority=priority,
            gate="" if coord.config.merge.test else "ungated",
            body=body,
        )
        changes = [Change(key, None) for key in earlier]
        changes.append(Change(keys.merge_request(made), codec.encode(made)))
        coord.record(
            coord.event(
                "merge.requested", f"{name} -> {target}: {made.title}", changes, agent=agent, id=made.id, head=head
            )
        )
    return made


@command("merge list", example="coord merge list")
def list_(coord: Coord) -> Queue:
    """List the requests that wait, the next one first."""
    return Queue(branches.seen_base(coord), bool(coord.config.merge.test), tuple(one for _, one in waiting(coord)))


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
    who = coord.me()
    with coord.exclusive(GUARD):
        found = dict(waiting(coord))
        key = named.one(found, which, "merge request")
        if key is None:
            raise NotFound(f"no waiting request has the id {which!r}", hint="see `coord merge list`")
        one = found[key]
        if who not in (one.agent, "owner", coord.config.coordinator):
            raise Refused(f"the request is {one.agent}'s", hint=f"ask {one.agent}, or the owner")
        if one.state == "landing":
            raise Refused("it is landing at this moment", hint="see `coord merge show` in a moment")
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


def waiting(coord: Coord) -> list[tuple[str, MergeRequest]]:
    """Return the requests in the folder with their keys: what is under way first, then by priority and age.

    A file that is no readable request is left out here; `coord ledger verify` names it.
    """
    found = []
    for key in coord.records(keys.MERGES):
        stored = coord.store.get(key)
        if stored is None:
            continue
        try:
            found.append((key, codec.decode_merge_request(stored.data, key)))
        except BadRecord:
            continue
    return sorted(found, key=lambda pair: order(pair[1]))


def order(one: MergeRequest) -> tuple[int, int, str]:
    """Return what the queue is sorted by."""
    under_way = 0 if one.state in ("landing", "testing") else 1
    return under_way, _RANK[one.priority], one.id
