"""Merging in memory: predict, commit and publish without a checkout."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from coord.git import discovery, hookfiles, objects, output, stale, worktree
from coord.git.repo import LIMIT, Done, Git, clean
from coord.model.errors import Conflict, NotFound, Refused, Unavailable, Unsigned
from coord.model.regex import regex
from coord.model.values import frozen

# Git makes no fsync of loose objects by itself; git 2.36 and newer know the words.
DURABLE = {"core.fsync": "objects,reference"}
COMMITTER = {"GIT_COMMITTER_NAME": "coord", "GIT_COMMITTER_EMAIL": "coord@coord.local"}
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
_OID = regex(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PATHS_AT_ONCE = 500
_SIDES = {"<": "base", ">": "head"}
_GUARD, _ABORTED = "reference-transaction", "ref updates aborted by hook"
_TRUE = (b"true", b"yes", b"on", b"1")
_MOVING = {**DURABLE, "core.hooksPath": None}
_SIGNS_WITHIN = 30.0  # seconds: a program that asks for a passphrase waits for ever


@frozen
class Prediction:
    """What merging would give: the tree, with conflict markers in it unless it is clean.

    `conflicts` are the paths a person must look at.
    """

    tree: str
    conflicts: tuple[str, ...]
    clean: bool


@frozen
class Touch:
    """A commit that changed a path on one side ("base" or "head") since the sides parted."""

    commit: str
    author: str
    subject: str
    side: str


def predict(git: Git, base: str, head: str) -> Prediction:
    """Merge HEAD into BASE in memory, and tell what comes of it; the tree it names is durable.

    Raises:
        NotFound: one of them names no commit.
        Refused: their histories have nothing in common.
    """
    ours, theirs = _commit(git, base), _commit(git, head)
    done = git.run(*output.MERGE, ours, theirs, check=False, config=DURABLE)
    if "unrelated histories" in done.err:
        raise Refused(
            f"{head} and {base} share no history", hint="merge it once by hand with --allow-unrelated-histories"
        )
    # 1 means conflicts, and also some failures: those print no tree.
    if done.status not in (0, 1) or _OID.match(done.out) is None:
        _existing(git, base), _existing(git, head)
        raise git.failure(("merge-tree",), done)
    tree, conflicts = output.merged(done.out)
    return Prediction(tree, tuple(dict.fromkeys(one.path for one in conflicts)), clean=done.status == 0)


def touched_by(git: Git, base: str, head: str, paths: Sequence[str]) -> tuple[Touch, ...]:
    """Return the commits of both sides that changed PATHS since the sides parted, newest first on each."""
    span = f"{_commit(git, base)}...{_commit(git, head)}"
    found: dict[str, Touch] = {}
    for start in range(0, len(paths), _PATHS_AT_ONCE):
        some = paths[start : start + _PATHS_AT_ONCE]
        words = ("log", "-z", "--left-right", "--no-renames", "--format=%m%H%x1f%an%x1f%s", span, "--", *some)
        for line in git.run(*words, env=_LITERAL).out.decode(errors="replace").split("\0"):
            if line:
                commit, author, subject = (clean(word) for word in line.split("\x1f", 2))
                found[commit] = Touch(commit[1:], author, subject, _SIDES[commit[0]])
    return tuple(sorted(found.values(), key=lambda touch: touch.side))


@frozen
class Ways:
    """How a repository wants commits to be made: whether signed, and the hook that is asked before a ref moves."""

    signs: bool
    guard: Path | None


def ways(git: Git) -> Ways:
    """Return what the configuration says of it, in one look."""
    asked = r"^(commit\.gpgsign|core\.hookspath)$"
    config: dict[str, str | None] = {"commit.gpgSign": None, "core.hooksPath": None}
    lines = git.run("config", "-z", "--get-regexp", asked, check=False, config=config).out.split(b"\0")
    # Of several the last one counts; a name alone, without a value, means true.
    pairs = (line.partition(b"\n") for line in lines)
    said = {name.decode(): value if told else b"true" for name, told, value in pairs}
    # Of somebody who does not exist `~name` stays as it is, as with git.
    named = os.path.expanduser(os.fsdecode(said.get("core.hookspath", b"")))  # noqa: PTH111
    guard = git.cwd / (named or hookfiles.own_folder(git)) / _GUARD
    signs = said.get("commit.gpgsign", b"").lower() in _TRUE
    return Ways(signs, guard if os.access(guard, os.X_OK) else None)


def commit(
    git: Git,
    tree: str,
    parents: Sequence[str],
    message: str,
    *,
    author: tuple[str, str],
    at: datetime,
    signed: bool = False,
) -> str:
    """Make a commit of TREE that no ref names yet, durably, and return it.

    MESSAGE is taken as it is: escape what strangers wrote before. SIGNED, its committer is
    whose key signs it, as `git config` has them; else it is coord.

    Raises:
        Unsigned: it could not be signed.
    """
    name, email = author
    date = f"@{int(at.timestamp())} +0000"
    env = {**({} if signed else COMMITTER), "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email}
    words = ("commit-tree", tree, *(word for parent in parents for word in ("-p", parent)))
    done = git.run(
        *words,
        *(("-S",) if signed else ()),
        "-F",
        "-",
        stdin=message.encode(),
        env={**env, "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date},
        config={**DURABLE, "i18n.commitEncoding": "UTF-8"},
        check=not signed,
        timeout=_SIGNS_WITHIN if signed else LIMIT,
    )
    if done.status != 0:
        raise Unsigned(
            f"commit.gpgSign is set, and a merge cannot be signed: {clean(done.err)}",
            hint="set `user.signingKey` to a key that asks for nothing, or `merge.sign: never` in .coord.yaml",
        )
    return done.out.decode().strip()


def already_in(git: Git, base: str, head: str) -> bool:
    """Tell whether BASE holds all of HEAD's commits.

    Raises:
        NotFound: one of them names no commit.
    """
    words = ("merge-base", "--is-ancestor", _commit(git, head), _commit(git, base))
    done = git.run(*words, check=False)
    if done.status not in (0, 1):
        _existing(git, base), _existing(git, head)
        raise git.failure(words, done)
    return done.status == 0


def trees(git: Git, commits: Sequence[str]) -> dict[str, str]:
    """Return the trees of those of COMMITS that exist."""
    found = objects.kinds(git, [f"{commit}^{{tree}}" for commit in commits])
    return {commit: tree for commit, (tree, kind) in zip(commits, found, strict=True) if kind == "tree"}


def move(
    git: Git, ref: str, new: str, old: str, *, message: str = "coord: merge", pass_fds: Sequence[int] = ()
) -> None:
    """Move REF from OLD to NEW, durably; an empty OLD means that it must not exist yet.

    Bring the worktrees that stand on a branch along: see `checkout`, whose lock git keeps by PASS_FDS. A hook
    `reference-transaction` is asked: it is the one way to protect a branch in the repository itself.

    Raises:
        Refused: the hook says no.
        Conflict: it is not at OLD (any more).
        Unavailable: git could not write it, though it is; or another git that lives keeps it locked.
    """
    words = ("update-ref", "-m", message, "--create-reflog", "--end-of-options", ref, new, old or "0" * len(new))
    done = git.run(*words, check=False, config=_MOVING, pass_fds=pass_fds)
    if done.status != 0 and (git.tip(ref) or "") == old and _freed(git, ref):
        done = git.run(*words, check=False, config=_MOVING, pass_fds=pass_fds)
    if done.status == 0:
        return
    if reason := _refusal(ref, done):
        raise Refused(reason, hint="let the hook pass it, or choose another branch")
    now = git.tip(ref) or ""
    if now != old:
        raise Conflict(
            f"{ref} moved: it is at {now[:12] or 'nothing'}, not at {old[:12] or 'nothing'}",
            hint="look at it again and retry",
            ref=ref,
            found=now,
        )
    raise Unavailable(f"{ref} cannot be moved to {new[:12]}: {done.err}", hint="try again")


def protection(git: Git, guard: Path | None, ref: str, new: str, old: str) -> str:
    """Say why the hook GUARD would not let REF be moved from OLD to NEW, or "". Nothing moves by asking it."""
    if guard is None:
        return ""
    asked = f"start\nupdate {ref} {new} {old}\nprepare\nabort\n".encode()
    return _refusal(ref, git.run("update-ref", "--stdin", stdin=asked, check=False, config=_MOVING))


def _refusal(ref: str, done: Done) -> str:
    words, aborted, _ = done.err.partition(_ABORTED)
    if not aborted:
        return ""
    said = " ".join(words.removesuffix("fatal: ").split())
    return f"{ref} is protected: the hook {_GUARD} refuses{f': {said}' if said else ' it'}"


def _freed(git: Git, ref: str) -> bool:
    """Take away what a killed git left locked: the branch, and HEAD where that stands on it."""
    place = discovery.find(git.cwd)
    return stale.remove_all([place.common / f"{ref}.lock", worktree.own(place.top) / "HEAD.lock"], place.common)


def _commit(git: Git, name: str) -> str:
    """Return the commit that NAME names; a whole id is taken at its word, and git complains if there is none."""
    if _OID.fullmatch(name.encode()):
        return name
    return _existing(git, name)


def _existing(git: Git, name: str) -> str:
    found = git.tip(name)
    if found is None:
        raise NotFound(f"{name!r} names no commit", hint="`git branch --all` lists the branches")
    return found
