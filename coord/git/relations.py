"""How branches stand to a base: how far, where they parted and since when. Many at once."""

from datetime import UTC, datetime

from coord.git.repo import Git
from coord.model.values import frozen

_FARTHEST = 20_000


@frozen
class Relation:
    """How a head stands to the base.

    `parted` is the last commit that both have, None where they share none; `since` when the first of
    those that only the head has was made.
    """

    ahead: int = 0
    behind: int = 0
    parted: str | None = None
    since: datetime | None = None


def relations(git: Git, base: str, heads: set[str]) -> dict[str, Relation]:
    """Return how each of HEADS stands to BASE, in two git processes for all; no answer for those farther than 20,000.

    Every commit is marked with whom it can be reached from, children before parents.
    """
    others = sorted(head for head in heads - {base} if head.strip("0"))
    found = {head: Relation(parted=base) for head in heads & {base}}
    if not others:
        return found
    shared = git.run("merge-base", "--octopus", base, *others, check=False).out.decode().split()
    words = ("log", "--topo-order", "--format=%H %at %P", f"--max-count={_FARTHEST}")
    lines = git.text(*words, base, *others, *(f"^{one}" for one in shared), "--").splitlines()
    if len(lines) == _FARTHEST:
        return found
    marks = {base: 1}
    for number, head in enumerate(others, 1):
        marks[head] = marks.get(head, 0) | 1 << number
    reached = []
    for line in lines:
        commit, at, *parents = line.split()
        mark = marks.get(commit, 0)
        reached.append((commit, int(at), mark))
        for parent in parents:
            marks[parent] = marks.get(parent, 0) | mark
    for number, head in enumerate(others, 1):
        bit = 1 << number
        own = [at for _, at, mark in reached if mark & bit and not mark & 1]
        both = (commit for commit, _, mark in reached if mark & bit and mark & 1)
        found[head] = Relation(
            ahead=len(own),
            behind=sum(1 for _, _, mark in reached if mark & 1 and not mark & bit),
            parted=next(both, shared[0] if shared else None),
            since=datetime.fromtimestamp(min(own), UTC) if own else None,
        )
    return found
