"""The only door to git: how its commands are run.

Commands run through `subprocess`: GitPython's runner cannot take a variable out of the
environment, quietly changes to the caller's directory when its own is gone, and ends a
slow git with SIGKILL, which leaves its locks behind; its `Repo` obeys GIT_WORK_TREE.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from coord.git import refs
from coord.model.errors import NotFound, Unavailable
from coord.model.untrusted import clean_text
from coord.model.values import frozen

OLDEST = (2, 38, 0)
LIMIT = 120.0
_GRACE = 2.0
# Where the user's git and its settings live; every other GIT_ variable could point it elsewhere.
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_SSH", "GIT_SSH_COMMAND")
_ENVIRONMENT = {"LC_ALL": "C", "LANGUAGE": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "color.ui": "false",
    "commit.gpgSign": "false",
    "log.showSignature": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


@frozen
class Done:
    """What a finished git command left: its exit status, its output, and its words of complaint."""

    status: int
    out: bytes
    err: str


def clean(words: str) -> str:
    """Return git's words without anything a terminal would obey."""
    return clean_text(words).strip()


class Git:
    """Runs git in one directory: as a list, never a shell, with the environment and the hooks kept out."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd

    def start(
        self,
        *args: str,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str | None] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start git and return the process, which the caller must end.

        CONFIG goes before coord's own settings; None leaves one to what the user has configured.

        Raises:
            Unavailable: git is not installed.
            NotFound: the directory is gone.
        """
        settings = {**_SETTINGS, **(config or {})}
        options = [word for name, value in settings.items() if value is not None for word in ("-c", f"{name}={value}")]
        own = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith("GIT_")}
        try:
            return subprocess.Popen(
                ["git", *options, *args],
                cwd=self.cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**own, **_ENVIRONMENT, **(env or {})},
                pass_fds=pass_fds,
                start_new_session=True,  # a timeout ends git with its children
            )
        except FileNotFoundError as error:
            if self.cwd.is_dir():
                raise Unavailable("git is not on the PATH", hint="install git 2.38 or newer") from error
            raise NotFound(f"the directory {self.cwd} is gone", hint="run the command from an existing one") from error

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: float = LIMIT,
        config: Mapping[str, str | None] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Done:
        """Run git to its end; with CHECK, any exit status but 0 is an error.

        Raises:
            Unavailable: git failed, or took longer than TIMEOUT seconds and was ended.
        """
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        process = self.start(*args, stdin=source, env=env, config=config, pass_fds=pass_fds)
        with _ended(process):
            try:
                out, err = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired as error:
                raise Unavailable(
                    f"`git {args[0]}` in {self.cwd} took longer than {timeout:g} s and was ended",
                    hint="try again; if it stays, see what else uses this repository",
                ) from error
        done = Done(process.returncode, out, clean(err.decode(errors="replace")))
        if check and done.status != 0:
            raise self.failure(args, done)
        return done

    @contextmanager
    def stream(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Iterator[IO[bytes]]:
        """Run git and read its output as it comes; leaving early ends it.

        Raises:
            Unavailable: git failed, found when its output has been read to the end.
        """
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as complaints:
            source.write(stdin)
            source.seek(0)
            process = self.start(*args, stdin=source, stderr=complaints, env=env)
            assert process.stdout is not None
            with _ended(process):
                yield process.stdout
                if process.stdout.read(1):
                    return
                process.wait()
            complaints.seek(0)
            done = Done(process.returncode, b"", clean(complaints.read().decode(errors="replace")))
            if done.status != 0:
                raise self.failure(args, done)

    def text(self, *args: str) -> str:
        """Run git and return its output as stripped text."""
        return self.run(*args).out.decode(errors="replace").strip()

    def tip(self, ref: str) -> str | None:
        """Return the commit REF names, or None."""
        found = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", check=False)
        return found.out.decode().strip() or None

    def tips(self, *patterns: str) -> dict[str, str]:
        """Return what the references point at that match PATTERNS or lie below them, by their full names."""
        lines = self.text("for-each-ref", "--format=%(objectname) %(refname)", "--", *patterns).splitlines()
        return {name: commit for commit, _, name in (line.partition(" ") for line in lines)}

    def peek(self, common: Path, ref: str) -> str | None:
        """Return what `tip` would, from the files of COMMON where they say it; else git is asked."""
        return refs.read(common, ref) or self.tip(ref)

    def setting(self, name: str) -> str:
        """Return what git's configuration says for NAME, or an empty text."""
        return self.run("config", "--get", name, check=False).out.decode(errors="replace").strip()

    def failure(self, args: Sequence[str], done: Done) -> Unavailable:
        """Say in git's own words why the command ARGS failed."""
        reason = done.err.removeprefix("fatal: ").removeprefix("error: ") or f"exit status {done.status}"
        hint = (
            "see `git help config` on safe.directory" if "dubious ownership" in reason else f"git -C {self.cwd} status"
        )
        return Unavailable(f"`git {args[0]}` in {self.cwd}: {reason}", hint=hint, status=done.status)


@cache
def version() -> tuple[int, int, int]:
    """Return git's version."""
    words = Git(Path("/")).text("--version")  # where one may have no home, and stand in a folder that is gone
    major, minor, *patch = (int(number) for number in re.findall(r"\d+", words)[:3])
    return (major, minor, patch[0] if patch else 0)


def require(oldest: tuple[int, int, int] = OLDEST) -> None:
    """Refuse a git older than OLDEST; predicting merges needs `merge-tree --write-tree`.

    Raises:
        Unavailable: git is too old.
    """
    if version() < oldest:
        have, need = (".".join(map(str, numbers)) for numbers in (version(), oldest))
        raise Unavailable(f"git {have} is too old: coord needs {need}", hint="install a newer git")


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process and no pipe behind; git is asked first, so that it takes its lock files away."""
    try:
        yield
    finally:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
