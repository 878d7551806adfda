"""The base branch, and how far others are from it."""

from collections.abc import Iterable

from coord.config.schema import Config
from coord.git import ledger, refs
from coord.git.repo import Git
from coord.model.errors import NotFound, Refused
from coord.service.coord import Coord

_HEADS = "refs/heads/"
_SET = "set `merge: {into: main}` in .coord.yaml"


def base(coord: Coord) -> str:
    """Return the branch that work is merged into: configured, else the one checked out at home.

    Raises:
        Refused: home stands on no branch and none is configured.
    """
    found = seen_base(coord)
    if not found:
        raise Refused(f"{coord.home} is on no branch, so there is no base to merge into", hint=_SET)
    return found


def asked_for(coord: Coord) -> tuple[str, str]:
    """Return the base for a request that names none; and where that is not configured, a line that says so.

    Raises:
        Refused: home stands on no branch, or on an agent's own, and none is configured.
    """
    found = base(coord)
    if coord.config.merge.into:
        return found, ""
    if is_agents(coord.config, found):
        reason = f"{coord.home} is on {found}, an agent's own branch, and `merge.into` names no other to merge into"
        raise Refused(reason, hint=f"{_SET}, or give --into")
    return found, f"into {found} since that is checked out at home: `merge.into` in .coord.yaml is not set"


def seen_base(coord: Coord) -> str:
    """Return the base for those who only look: "" where there is none at the moment."""
    if coord.config.merge.into:
        return coord.config.merge.into
    if (here := refs.head(coord.place.common)) and here[0]:
        return here[0]
    return checked_out(coord.git)


def checked_out(git: Git) -> str:
    """Return the branch that a worktree stands on, which need not have a commit yet; "" where HEAD is detached."""
    done = git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False)
    return done.out.decode(errors="replace").strip() if done.status == 0 else ""


def is_agents(config: Config, branch: str) -> bool:
    """Tell whether a branch is the one that an agent is given to work on."""
    return branch in (config.worktrees.branch.format(name=name) for name in config.names)


def ref(branch: str) -> str:
    """Return the full name of a branch's ref."""
    return branch if branch.startswith("refs/") else f"{_HEADS}{branch}"


def named(coord: Coord, text: str) -> str:
    """Return the short name of the branch that TEXT names: spelled as git lists it, and no alias of another.

    Checkouts are found by this name, so nothing may move a branch by any other.

    Raises:
        NotFound: it is no branch: a tag, or an expression such as `main~1`, is none.
        Refused: it is the ledger's.
    """
    return located(coord, text)[0]


def located(coord: Coord, text: str) -> tuple[str, str]:
    """Return what `named` does, and the commit that the branch points at, in one look.

    Raises:
        NotFound: it is no branch.
        Refused: it is the ledger's.
    """
    wanted = ref(text.strip())
    if wanted != ledger.REF and (tip := refs.exact(coord.place.common, wanted)):
        return wanted.removeprefix(_HEADS), tip
    form = "--format=%(refname) %(objectname) %(symref)"
    listed = [line.split(" ", 2) for line in coord.git.text("for-each-ref", form, "--", wanted).splitlines()]
    aims = {name: "".join(aim) for name, _, *aim in listed}
    tips = {name: commit for name, commit, *_ in listed}
    found = aims.get(wanted) or wanted
    if wanted not in aims or not found.startswith(_HEADS):
        raise NotFound(f"there is no branch {text!a}", hint="see `git branch`; commit something on it first")
    if found == ledger.REF:
        raise Refused(
            "the ledger's branch is coord's own: nothing is merged into it or from it", hint="see `git branch`"
        )
    return found.removeprefix(_HEADS), tips[wanted]


def tip(coord: Coord, branch: str) -> str:
    """Return the commit a branch points at.

    Raises:
        NotFound: there is no such branch.
    """
    found = coord.git.tip(ref(branch))
    if found is None:
        raise NotFound(f"there is no branch {branch}", hint="see `git branch`; commit something on it first")
    return found


def tips(coord: Coord, names: Iterable[str]) -> dict[str, str]:
    """Return the commits that those of NAMES point at which are branches."""
    asked = {ref(name): name for name in names}
    found = coord.git.tips(*asked) if asked else {}
    return {asked[name]: commit for name, commit in found.items() if name in asked}


def distance(coord: Coord, base_branch: str, head: str) -> tuple[int, int]:
    """Return how many commits HEAD is ahead of the base and how many behind; (0, 0) where either is missing."""
    from_base = coord.git.tip(ref(base_branch)) if base_branch else None
    if from_base is None or not head or set(head) == {"0"}:
        return 0, 0
    behind, ahead = coord.git.text("rev-list", "--left-right", "--count", f"{from_base}...{head}").split()
    return int(ahead), int(behind)
