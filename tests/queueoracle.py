"""What a base must hold when a merge queue kept its word: plain dicts, folded over the base's own history.

Content is places and their values: a file of its own, or one of the slots of a shared file, which lie so far apart
that git merges changes of two of them. A step is a commit on a work branch, a wish is a request for its last one.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

Content = Mapping[str, str]
Changes = Mapping[str, tuple[str, str]]  # place -> value before and after; "" is none
SHARED = ("src/p0", "src/p1", "src/p2")
SLOTS = 3
EVERYTHING = "src/**"
_APART = 4


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease that somebody was given on a scope."""

    scope: str
    holder: str
    token: int

    def covers(self, path: str) -> bool:
        return self.scope == path or (self.scope == EVERYTHING and path.startswith("src/"))


@dataclass(frozen=True, slots=True)
class Step:
    """A commit: what it changed, who made it, and the tokens that its message names."""

    commit: str
    agent: str
    changes: Changes
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """A request to merge all the steps of a branch."""

    id: str
    branch: str
    agent: str
    steps: tuple[Step, ...]
    after: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        return self.steps[-1].commit


def start() -> dict[str, str]:
    """Return what there is before anybody did anything."""
    return {f"{path}#{slot}": "nothing yet" for path in SHARED for slot in range(SLOTS)}


def path_of(place: str) -> str:
    return place.partition("#")[0]


def files(content: Content) -> dict[str, str]:
    """Return the text of every file."""
    found: dict[str, str] = {}
    for place, value in sorted(content.items()):
        path, _, slot = place.partition("#")
        apart = "".join(f"apart {slot} {number}\n" for number in range(_APART)) if slot else ""
        found[path] = f"{found.get(path, '')}{value}\n{apart}"
    return found


def blobs(content: Content) -> dict[str, str]:
    """Return what git must call the content of every file."""
    data = ((path, text.encode()) for path, text in files(content).items())
    return {path: hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest() for path, text in data}


def is_red(content: Content) -> bool:
    """Tell whether the test must fail: on what is bad by itself, or on two halves that do not go together."""
    halves = {place.removeprefix("own/left.") for place in content if place.startswith("own/left.")}
    return any("bad" in value for value in content.values()) or any(f"own/right.{one}" in content for one in halves)


def applied(content: Content, changes: Changes) -> dict[str, str]:
    """Return the content after changes."""
    after = {**content, **{place: new for place, (_, new) in changes.items()}}
    return {place: value for place, value in after.items() if value}


@dataclass(frozen=True, slots=True)
class Base:
    """What the base is at a commit: its content, and which steps it has."""

    commit: str
    content: dict[str, str] = field(default_factory=start)
    merged: frozenset[str] = frozenset()

    def net(self, wish: Wish) -> dict[str, tuple[str, str]]:
        """Return what merging a wish changes: the steps that the base has not, taken together."""
        found: dict[str, tuple[str, str]] = {}
        for step in self.missing(wish):
            found |= {place: (found.get(place, pair)[0], pair[1]) for place, pair in step.changes.items()}
        return found

    def missing(self, wish: Wish) -> list[Step]:
        """Return the steps of a wish that the base has not."""
        return [step for step in wish.steps if step.commit not in self.merged]

    def clashes(self, wish: Wish) -> list[str]:
        """Return the places that both sides changed, each to something else."""
        return [place for place, pair in self.net(wish).items() if self.content.get(place, "") not in pair]

    def is_broken_by(self, wish: Wish) -> bool:
        """Tell whether the test passes before a wish is merged, and not after it."""
        return not is_red(self.content) and is_red(applied(self.content, self.net(wish)))


@dataclass
class Oracle:
    """All that was asked for and granted, and what the base was, from the beginning until now."""

    past: list[Base]
    wishes: dict[str, Wish] = field(default_factory=dict)
    outside: dict[str, Changes] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    agreed: set[tuple[str, str, int]] = field(default_factory=set)
    landed: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    fencing: str = "refuse"

    @property
    def base(self) -> Base:
        return self.past[-1]

    def overtaken(self, wish: Wish, lacks: Callable[[str], bool]) -> list[Grant]:
        """Return the newest leases of others by which what a wish changes was overtaken, as nobody agreed to them.

        Who took the lease again is overtaken as long as its work LACKS what the base got at a path.
        """
        found = []
        for step in self.base.missing(wish) if self.fencing != "off" else ():
            for path in {path_of(place) for place in step.changes}:
                over = [grant for grant in self.grants if grant.covers(path)]
                under = min((grant.token for grant in over if grant.token in step.tokens), default=0)
                others = [grant for grant in over if grant.holder != step.agent and grant.token > under]
                newest = max(others, key=lambda grant: grant.token, default=None)
                if newest is None or (wish.id, newest.holder, newest.token) in self.agreed:
                    continue
                again = any(grant.holder == step.agent and grant.token > newest.token for grant in over)
                if not again or lacks(path):
                    found.append(newest)
        return found

    def came_by_hand(self, commit: str) -> None:
        """Take in that the base got a commit from outside."""
        self.past.append(Base(commit, applied(self.base.content, self.outside[commit]), self.base.merged))

    def came_by_merge(self, commit: str, identifier: str, head: str, lacks: Callable[[str], bool]) -> None:
        """Take in that a request was merged, which must have been right."""
        wish, base = self.wishes[identifier], self.base
        assert identifier not in self.landed, f"{identifier} was merged twice"
        assert head == wish.head, f"{commit} merges {head}, and {identifier} asked for {wish.head}"
        assert self.ended.get(identifier, "merge.landed") == "merge.landed", (
            f"{identifier} had {self.ended[identifier]}"
        )
        assert not (clash := base.clashes(wish)), f"{identifier} was merged, though it conflicts at {clash}"
        assert not (early := [one for one in wish.after if one not in self.landed]), f"{identifier} came before {early}"
        assert not (stale := self.overtaken(wish, lacks)), f"{identifier} was merged, though overtaken by {stale}"
        merged = base.merged | {step.commit for step in wish.steps}
        self.past.append(Base(commit, applied(base.content, base.net(wish)), merged))
        self.landed.add(identifier)

    def ends(self, identifier: str, kind: str, why: str, since: int, lacks: Callable[[str], bool]) -> None:
        """Take in that a request left the queue, for a reason that must be so upon one of the bases SINCE some."""
        wish, bases = self.wishes[identifier], self.past[since:]
        assert identifier not in self.ended, f"{identifier} ended twice: {self.ended[identifier]}, {kind}"
        self.ended[identifier] = kind
        if kind == "merge.landed":
            assert not self.base.missing(wish), f"{identifier} is said to have landed"
            self.landed.add(identifier)
        elif kind == "merge.conflict":
            assert any(base.clashes(wish) for base in bases), f"{identifier} does not conflict: {why}"
        elif "its test" in why:
            assert any(base.is_broken_by(wish) for base in bases), f"{identifier} was blamed for another's fault: {why}"
        elif "lease" in why:
            assert self.overtaken(wish, lacks), f"{identifier} was not overtaken: {why}"
        else:
            raise AssertionError(f"{identifier} went back for {why}")

    def replaces(self, old: str, new: str) -> None:
        """Take in that one request takes the place of another also for those that come after it."""
        for wish in [one for one in self.wishes.values() if old in one.after]:
            after = tuple(new if one == old else one for one in wish.after)
            self.wishes[wish.id] = Wish(wish.id, wish.branch, wish.agent, wish.steps, after)

    def excuses(self, waiting: Iterable[str], lacks: Callable[[Wish, str], bool]) -> dict[str, str]:
        """Return why each request that waits when all is at rest may do so; one without a reason has ""."""
        words: dict[str, str] = {}
        for name in sorted(waiting):
            wish = self.wishes[name]
            if any(one not in self.landed for one in wish.after):
                words[name] = "comes after one that did not land"
            else:
                stale = self.overtaken(wish, partial(lacks, wish))
                words[name] = "is to be looked at" if stale and self.fencing == "review" else ""
        return words
