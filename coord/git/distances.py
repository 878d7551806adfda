"""How far branches are from a base, many at once."""

from coord.git.repo import Git

_FARTHEST = 20_000


def distances(git: Git, base: str, heads: set[str]) -> dict[str, tuple[int, int]]:
    """Return how many commits each head is ahead of BASE and how many behind, in two git processes for all.

    Every commit is marked with whom it can be reached from, children before parents.
    """
    others = sorted(head for head in heads - {base} if head.strip("0"))
    apart = dict.fromkeys(heads & {base}, (0, 0))
    if not others:
        return apart
    shared = git.run("merge-base", "--octopus", base, *others, check=False).out.decode().split()
    limit = f"--max-count={_FARTHEST}"
    listed = git.text("rev-list", "--topo-order", "--parents", limit, base, *others, *(f"^{one}" for one in shared))
    lines = listed.splitlines()
    if len(lines) == _FARTHEST:
        return apart
    marks = {base: 1}
    for number, head in enumerate(others, 1):
        marks[head] = marks.get(head, 0) | 1 << number
    reached = []
    for line in lines:
        commit, *parents = line.split()
        mark = marks.get(commit, 0)
        reached.append(mark)
        for parent in parents:
            marks[parent] = marks.get(parent, 0) | mark
    for number, head in enumerate(others, 1):
        bit = 1 << number
        ahead = sum(1 for mark in reached if mark & bit and not mark & 1)
        behind = sum(1 for mark in reached if mark & 1 and not mark & bit)
        apart[head] = (ahead, behind)
    return apart
