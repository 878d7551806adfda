"""One branch at a remote, looked at and moved there while other things go on; nobody is ever asked for a password."""

import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Literal

from coord.git import merge
from coord.git.repo import Git, clean
from coord.model.regex import regex
from coord.model.values import frozen

PREFIX = "refs/coord/remotes"
_HEADS = "refs/heads"
_LIMIT = 600.0
_GRACE = 5.0
_MOST_WORDS = 4096
_SILENT = {"GIT_ASKPASS": "", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GCM_INTERACTIVE": "never"}
_STALLED = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": "60", "credential.interactive": "false"}
_BATCH = "-o BatchMode=yes -o ConnectTimeout=15"
# What a remote says of a push for good, not of this moment: by hooks, rules of a host, git's own settings.
_FOR_GOOD = regex(r"declined|prohibited|protected|den(?:y|ied)|forbidden|not allowed|not permitted|checked out")
# Somebody moved the branch between git's look at it and its lock: neither refused nor away.
_OVERTAKEN = regex(r"is at [0-9a-f]+ but expected [0-9a-f]+|incorrect old value provided")

Outcome = Literal["done", "absent", "moved", "refused", "unreachable"]


@frozen
class Answer:
    """What came of a call, and the remote's and git's words, safe to show.

    "absent" says that there is no such branch, "moved" that it is not where it was expected to be, or, of a look, no
    longer holds what it held; "refused" that the remote will not have the push, "unreachable" that nobody knows.
    """

    outcome: Outcome
    words: str = ""


class Call:
    """A git that talks to a remote. Ask `poll` now and then; it never waits."""

    def __init__(self, git: Git, *args: str, limit: float = _LIMIT) -> None:
        # Files, not pipes: ssh may leave a process behind that keeps those open.
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been read
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        env, config = {**_SILENT, **_ssh(git)}, {**merge.DURABLE, **_STALLED}
        self._process = git.start(*args, stdout=self._out.fileno(), stderr=self._err, env=env, config=config)
        self._ends_at, self._ended_late = time.monotonic() + limit, False
        self._answer: Answer | None = None

    def poll(self) -> Answer | None:
        """Return what came of it, or None while it goes on; one that takes too long is ended on the way."""
        if self._answer is None and self._process.poll() is not None:
            if self._ended_late:
                self._signal(signal.SIGKILL)
            self._answer = self._read()
        elif self._answer is None and (late := time.monotonic() - self._ends_at) > 0:
            self._signal(signal.SIGKILL if late > _GRACE else signal.SIGTERM)
            self._ended_late = True
        return self._answer

    def stop(self) -> None:
        """End it; what it did at the remote until then is not known."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._out.close()
        self._err.close()

    def _signal(self, number: int) -> None:
        # Its group's number is not given away while one of it lives, and what ssh leaves has no other.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self) -> Answer:
        with self._out as out, self._err as err:
            said, complained = (file.read(1 << 20).decode(errors="replace") for file in (out, err) if not file.seek(0))
        if self._process.returncode == 0:
            return Answer("done")
        return (
            Answer("unreachable", "it took too long and was ended") if self._ended_late else _judged(said, complained)
        )


def ref(remote: str, branch: str) -> str:
    """Return the ref that keeps where a remote's branch was when it was last looked at."""
    return f"{PREFIX}/{remote}/{branch}"


def look(git: Git, remote: str, branch: str, *, rewritten: bool, limit: float = _LIMIT) -> Call:
    """Begin to fetch a branch of a remote to `ref`; it may lack commits that were there before only if REWRITTEN."""
    spec = f"{'+' if rewritten else ''}{_HEADS}/{branch}:{ref(remote, branch)}"
    words = ("fetch", "--no-progress", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc")
    # The owner's own `origin/main` stays as it is: `git push --force-with-lease` trusts that they have seen it.
    return Call(git, *words, "--refmap=", "--end-of-options", remote, spec, limit=limit)


def push(git: Git, remote: str, branch: str, new: str, old: str, *, limit: float = _LIMIT) -> Call:
    """Begin to move a branch of a remote from OLD to NEW, which holds OLD; an empty OLD means that there is none yet.

    Hooks of this repository do not run.
    """
    lease = f"--force-with-lease={_HEADS}/{branch}:{old}"
    words = ("push", "--porcelain", "--no-follow-tags", "--no-signed", "--no-recurse-submodules", lease)
    return Call(git, *words, "--end-of-options", remote, f"{new}:{_HEADS}/{branch}", limit=limit)


def _judged(out: str, err: str) -> Answer:
    """Read why a call failed. Of a push, git says for each ref: FLAG TAB FROM:TO TAB [KIND] (REASON)."""
    rejected = [line.split("\t")[2] for line in out.splitlines() if line.startswith("!\t") and line.count("\t") > 1]
    words = _words("\n".join((*rejected, err)))
    if any(line.startswith("[remote rejected]") and _FOR_GOOD.search(line) for line in rejected):
        return Answer("refused", words)
    if rejected and _OVERTAKEN.search(words):
        return Answer("moved", words)
    if any(line.startswith("[rejected]") for line in rejected) or re.search(r"^ ! \[rejected\]", err, re.MULTILINE):
        return Answer("moved", words)
    return Answer("absent" if "couldn't find remote ref" in err else "unreachable", words)


def _words(text: str) -> str:
    """Return what tells a person something: without hints, and without what git says of every failed push."""
    lines = (line.strip() for line in clean(text).replace("\r", "\n").splitlines())
    noise = ("hint:", "error: failed to push some refs", "To ", "Everything up-to-date")
    told = (line for line in lines if line.removeprefix("remote:").strip() and not line.startswith(noise))
    return "\n".join(dict.fromkeys(told))[:_MOST_WORDS]


def _ssh(git: Git) -> Mapping[str, str]:
    """Return what keeps ssh from asking: options for the owner's own command, where that is OpenSSH's."""
    command = os.environ.get("GIT_SSH_COMMAND") or git.setting("core.sshCommand")
    if not command and os.environ.get("GIT_SSH"):
        return {}
    command = command or "ssh"
    try:
        words = [word for word in shlex.split(command) if "=" not in word.partition("/")[0]]
    except ValueError:
        return {}
    return {"GIT_SSH_COMMAND": f"{command} {_BATCH}"} if words and os.path.basename(words[0]) == "ssh" else {}
