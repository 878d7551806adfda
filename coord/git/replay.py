"""Replay commits upon others in memory, as `git rebase` does, but with no checkout and nothing left half done."""

from collections.abc import Sequence

from coord.git import merge, objects
from coord.git.repo import Git, clean
from coord.model.errors import Refused, Unsigned
from coord.model.regex import regex
from coord.model.untrusted import several
from coord.model.values import frozen

_AUTHOR = regex(rb"(?P<name>.*?) ?<(?P<email>.*)> (?P<date>\d+ [+-]\d{4})")
_SIGNATURE = b"gpgsig"


@frozen
class Original:
    """A commit as it was made, but for what replaying it gives anew: tree, parents, committer and signature."""

    commit: str
    parents: tuple[str, ...]
    author: str
    email: str
    date: str
    encoding: str
    message: bytes
    signed: bool

    @property
    def named(self) -> str:
        """Its number and subject, for people."""
        subject, *_ = self.message.decode(errors="replace").splitlines() or [""]
        return f"{self.commit[:10]} ({clean(subject)[:60]})"


def own(git: Git, base: str, head: str) -> tuple[str, ...]:
    """Return the commits of HEAD that BASE has not, the oldest first; none where one is a merge or a root."""
    lines = git.text("rev-list", "--reverse", "--topo-order", "--parents", f"{base}..{head}").splitlines()
    found = [line.split() for line in lines]
    return tuple(words[0] for words in found) if all(len(words) == 2 for words in found) else ()


def originals(git: Git, commits: Sequence[str]) -> tuple[Original, ...]:
    """Return the commits as they were made."""
    contents = objects.contents(git, [commit.encode() for commit in commits])
    return tuple(_read(commit, data or b"") for commit, data in zip(commits, contents, strict=True))


def _read(commit: str, data: bytes) -> Original:
    header, _, message = data.partition(b"\n\n")
    fields = [line.partition(b" ")[::2] for line in header.split(b"\n")]
    found = {name: value for name, value in fields if name}
    author = _AUTHOR.fullmatch(found.get(b"author", b""))
    if author is None:
        raise Refused(f"{commit[:10]} does not say who wrote it, or when", hint="rebase it by hand")
    return Original(
        commit=commit,
        parents=tuple(value.decode() for name, value in fields if name == b"parent"),
        author=author["name"].decode("utf-8", "surrogateescape"),
        email=author["email"].decode("utf-8", "surrogateescape"),
        date=f"@{author['date'].decode()}",
        encoding=found.get(b"encoding", b"UTF-8").decode(errors="replace"),
        message=message,
        signed=any(name.startswith(_SIGNATURE) for name in found),
    )


def elsewhere(git: Git, commit: str, own: str) -> tuple[str, ...]:
    """Return the branches and tags, here and as remotes had them last, that have COMMIT, without the ref OWN."""
    words = ("for-each-ref", "--format=%(refname)", "--contains", commit, "refs/heads", "refs/remotes", "refs/tags")
    return tuple(name for name in git.text(*words).splitlines() if name != own)


def replay(git: Git, commits: Sequence[Original], onto: str, *, signed: bool) -> str:
    """Make COMMITS, which are no merges, again upon ONTO, and return the last.

    Author, date and message are as they were. What ONTO has already is left out, as by a rebase.

    Raises:
        Refused: one conflicts; no ref has moved, and nothing is left behind but objects.
        Unsigned: commits are to be signed, and one could not be.
    """
    tip = onto
    trees = merge.trees(git, [onto, *(one.commit for one in commits), *(one.parents[0] for one in commits)])
    tree = trees[onto]
    for one in commits:
        found = merge.predict(git, _beside(git, tree, one.parents[0]), one.commit)
        if not found.clean:
            raise Refused(f"its commit {one.named} conflicts in {several(found.conflicts)}", hint="rebase it by hand")
        if found.tree == tree and trees[one.commit] != trees[one.parents[0]]:
            continue
        tip, tree = _again(git, one, found.tree, tip, signed=signed), found.tree
    return tip


def _beside(git: Git, tree: str, parent: str) -> str:
    """Return a commit of TREE on PARENT: merged with another child of PARENT, the base is PARENT.

    Git 2.40 can be told the base; this is for those before.
    """
    words = ("commit-tree", tree, "-p", parent, "-m", "beside")
    done = git.run(*words, env={**merge.COMMITTER, "GIT_AUTHOR_NAME": "coord", "GIT_AUTHOR_EMAIL": "coord@coord.local"})
    return done.out.decode().strip()


def _again(git: Git, one: Original, tree: str, parent: str, *, signed: bool) -> str:
    author = {"GIT_AUTHOR_NAME": one.author, "GIT_AUTHOR_EMAIL": one.email, "GIT_AUTHOR_DATE": one.date}
    done = git.run(
        *("commit-tree", tree, "-p", parent, *(("-S",) if signed else ()), "-F", "-"),
        stdin=one.message,
        env={**author, **({} if signed else merge.COMMITTER)},
        config={**merge.DURABLE, "i18n.commitEncoding": one.encoding},
        check=False,
    )
    if done.status != 0:
        raise (Unsigned if signed else Refused)(f"{one.named} cannot be made again: {done.err}", hint="git rebase")
    return done.out.decode().strip()
