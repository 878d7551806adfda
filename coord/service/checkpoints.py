"""Checkpoints: save where you are, and carry on from it in a fresh session."""

from typing import Annotated

from coord.model import budget as tokens
from coord.model import codec, keys, mailboxes
from coord.model.errors import BadRecord, NotFound, Usage
from coord.model.records import Change, Checkpoint
from coord.model.values import frozen
from coord.service import delivery, named, readable, standing
from coord.service.command import Prose, command, shown
from coord.service.coord import Coord
from coord.service.session import brief
from coord.service.session.brief import Brief

BY_ITSELF = "by itself, at "  # so begins the title of a checkpoint that nobody asked for
_FOLDER = "checkpoints"
_STEPS_LIMIT = 16_000


@frozen
class Saved:
    """A checkpoint as it was saved, and the ids of older ones that left the folder for the ledger."""

    checkpoint: Checkpoint
    retired: tuple[str, ...] = ()


@frozen
class Checkpoints:
    """Checkpoints, newest first; `left_out` older ones are there too, `unreadable` are keys of damaged files."""

    items: tuple[Checkpoint, ...]
    left_out: int = 0
    unreadable: tuple[str, ...] = ()


@frozen
class Shown:
    """One checkpoint; `retired` says that only the ledger has it."""

    checkpoint: Checkpoint
    retired: bool = False


@command(
    "checkpoint save",
    writes=True,
    example='coord checkpoint save "Profiles read from the sheet; tests pass" --next "convert the web app"',
)
def save(
    coord: Coord,
    summary: Annotated[Prose, "what is done, half done and learnt; - reads standard input"],
    *,
    next: Annotated[tuple[str, ...], "a step to take next; repeatable, in order"] = (),
    title: Annotated[str, "one line; default: the summary's first"] = "",
    task: Annotated[str, "the task it belongs to"] = "",
    session: Annotated[str, "the session that saves it"] = "",
    touched: Annotated[tuple[str, ...], "a file you worked on, beside those your branch changed; repeatable"] = (),
) -> Saved:
    """Save where you are: your words, and the facts a fresh session needs.

    Branch, commit, uncommitted files, files changed on the branch, leases held and unread
    mail are noted by themselves. `coord checkpoint restore` gives all of it back.
    """
    agent = coord.me()
    steps = tuple(step.strip() for step in next if step.strip())
    _check(summary, steps)
    with coord.exclusive(f"checkpoints-{agent}"):
        made = _noted(coord, agent, summary, steps, title, task=task, session=session, touched=touched)
        old = _keys(coord, agent)[: -coord.config.checkpoints.keep + 1 or None]
        changes = [Change(keys.checkpoint(made), codec.encode(made)), *(Change(key, None) for key in old)]
        subject = f"{agent}: {made.title}"
        coord.record(coord.event("checkpoint.saved", subject, changes, agent=agent, id=made.id, commit=made.commit))
    return Saved(made, tuple(keys.id_in(key) or "" for key in old))


def _check(summary: str, steps: tuple[str, ...]) -> None:
    if not summary.strip() and not steps:
        raise Usage("the checkpoint says nothing", hint='coord checkpoint save "what is done" --next "what comes next"')
    for what, text, limit in (("summary", summary, delivery.BODY_LIMIT), ("next steps", "".join(steps), _STEPS_LIMIT)):
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > limit:
            raise Usage(
                f"the {what} of a checkpoint may have {limit:,} bytes, not {size:,}",
                hint="say what the next session needs, and name files and commits for the rest",
            )


def _noted(
    coord: Coord,
    agent: str,
    summary: str,
    steps: tuple[str, ...],
    title: str,
    *,
    task: str,
    session: str,
    touched: tuple[str, ...],
) -> Checkpoint:
    now = standing.of(coord, agent)
    unread = [key for key in coord.records(keys.mailbox(agent)) if not keys.is_read(key)]
    return Checkpoint(
        id=coord.new_id(),
        agent=agent,
        saved_at=coord.now(),
        title=delivery.subject_of(title, summary or steps[0]),
        body=summary.strip("\n") + "\n" if summary.strip() else "",
        next=steps,
        session=session.strip(),
        task=task.strip(),
        branch=now.branch,
        commit=now.commit,
        dirty=standing.bounded(now.dirty),
        touched=standing.bounded(dict.fromkeys((*touched, *standing.touched(coord, now)))),
        locks=_leases(coord, agent),
        open_messages=standing.bounded(keys.id_in(key) or "" for key in unread),
    )


def _leases(coord: Coord, agent: str) -> tuple[str, ...]:
    try:
        return standing.bounded(brief.lease_line(lock) for lock in standing.held(coord, agent))
    except BadRecord:
        return ()  # somebody's damaged file must not cost this agent its words


@command("checkpoint list", example="coord checkpoint list --agent backend")
def list_(
    coord: Coord,
    *,
    agent: Annotated[str, "whose; `all` for everybody's; default: your own"] = "",
    limit: Annotated[int, "at most this many, newest first"] = 20,
) -> Checkpoints:
    """List the checkpoints at hand, newest first. Older ones are in the ledger."""
    most = shown(limit)
    wanted = agent.strip().lower()
    names = coord.config.everybody if wanted == mailboxes.ALL else (coord.known(wanted) if wanted else coord.me(),)
    found = sorted((key for name in names for key in _keys(coord, name)), key=_age, reverse=True)
    chosen = found[:most]
    unreadable: list[str] = []
    items = tuple(one for _, one in readable.at(coord, chosen, codec.decode_checkpoint, unreadable))
    return Checkpoints(items, len(found) - len(chosen), tuple(unreadable))


@command("checkpoint show", example="coord checkpoint show 01KAJ3X5")
def show(coord: Coord, which: Annotated[str, "id, or its beginning or end; default: your newest"] = "") -> Shown:
    """Show a checkpoint, also one that only the ledger still has.

    Raises:
        NotFound: there is none.
    """
    if not which:
        agent = coord.me()
        newest = newest_of(coord, agent, [])
        if newest is None:
            raise NotFound(f"{agent} has no checkpoint", hint='save one: coord checkpoint save "where I am"')
        return Shown(newest)
    key = named.one([key for name in coord.config.everybody for key in _keys(coord, name)], which, "checkpoint")
    stored = coord.store.get(key) if key else None
    if stored is not None:
        return Shown(codec.decode_checkpoint(stored.data, stored.key))
    return Shown(_from_ledger(coord, which), retired=True)


@command("checkpoint restore", example="coord checkpoint restore --budget 2000")
def restore(
    coord: Coord,
    *,
    agent: Annotated[str, "whose; default: your own"] = "",
    budget: Annotated[int, "at most this many tokens"] = 2_000,
) -> Brief:
    """Print what a fresh session needs to carry on, the most useful first.

    The newest checkpoint, what changed since it was saved, leases, unread mail, what
    happened, and decisions that await their outcome. Looking consumes nothing. Works
    without a checkpoint, too.
    """
    name = coord.known(agent) if agent else coord.me()
    if budget < tokens.LEAST:
        raise Usage(f"{budget} tokens are too few to say anything", hint=f"give --budget {tokens.LEAST} or more")
    unreadable: list[str] = []
    newest = newest_of(coord, name, unreadable)
    own = own_of(coord, name) if newest and newest.title.startswith(BY_ITSELF) else None
    return brief.of(coord, name, newest, own=own, budget=budget, unreadable=unreadable)


def newest_of(coord: Coord, agent: str, unreadable: list[str]) -> Checkpoint | None:
    """Return AGENT's newest readable checkpoint; keys of damaged newer ones are added to UNREADABLE."""
    found = readable.at(coord, reversed(_keys(coord, agent)), codec.decode_checkpoint, unreadable)
    return next((one for _, one in found), None)


def own_of(coord: Coord, agent: str) -> Checkpoint | None:
    """Return the newest checkpoint that AGENT saved in its own words."""
    found = readable.at(coord, reversed(_keys(coord, agent)), codec.decode_checkpoint, [])
    return next((one for _, one in found if not one.title.startswith(BY_ITSELF)), None)


def _keys(coord: Coord, agent: str) -> list[str]:
    return sorted(coord.records(f"{_FOLDER}/{agent}"), key=_age)


def _age(key: str) -> str:
    return keys.id_in(key) or ""


def _from_ledger(coord: Coord, part: str) -> Checkpoint:
    blobs = dict(coord.indexed().find(part.strip().upper()))
    among = [key for key in blobs if key.startswith(f"{_FOLDER}/") and not key.startswith(f"{keys.DECISIONS}/")]
    key = named.one(among, part, "checkpoint")
    if key is None:
        raise NotFound(f"there is no checkpoint {part!r}", hint="see `coord checkpoint list --agent all`")
    return codec.decode_checkpoint(coord.index.content(blobs[key]), key)
