"""The base at a remote: looked at before a batch is formed upon it, and moved there before it moves here.

What a remote is asked goes on beside all else. Nothing that is remembered here is needed after a crash: where a
branch was when it was last looked at is in a ref, and whoever is not sure what came of a push looks again.
"""

from dataclasses import dataclass, field

from coord.git import merge, remote
from coord.git.remote import Answer, Call
from coord.model import backoff
from coord.model.untrusted import clean_line
from coord.model.values import frozen
from coord.service.coord import Coord

_FRESH = 10.0
_FIRST, _LONGEST = 1.0, 300.0


@frozen
class Trouble:
    """Why nothing can be moved at the remote: a line, the remote's words, and whether nobody answered there."""

    what: str
    words: str = ""
    unreachable: bool = False


@dataclass(slots=True)
class _Branch:
    """A branch there: what is under way (a push of `pushed`, else a look), and what came of the last ones."""

    call: Call | None = None
    pushed: str = ""
    looked_at: float | None = None
    failures: int = 0
    again_at: float = 0.0
    signs: tuple[int, ...] = ()  # of somebody at work on the remote, before the last look
    trouble: Trouble | None = None
    missed: str | None = None  # where a push expected it to be, and it was not
    refused: dict[str, str] = field(default_factory=dict)


class Remotes:
    """What this process knows of the configured remote, and asks it."""

    def __init__(self, coord: Coord) -> None:
        self.coord = coord
        self.ended = 0
        self._known: dict[tuple[str, str], _Branch] = {}

    @property
    def name(self) -> str:
        """The remote that what lands is pushed to, "" where there is none."""
        return self.coord.config.merge.push

    @property
    def busy(self) -> bool:
        """Whether a remote is being asked."""
        return any(one.call for one in self._known.values())

    def tip(self, into: str) -> str:
        """Return where a branch was at the remote when it was last looked at or moved; "" where nobody knows."""
        if not self.name:
            return ""
        return self.coord.git.peek(self.coord.place.common, remote.ref(self.name, into)) or ""

    def look(self, into: str, here: str) -> bool:
        """Tell whether a branch was looked at a moment ago; if not, begin to, where it is time.

        It may have been rewritten there only where HERE, the branch as it is here, lacks what was rewritten as well.
        """
        one, now = self._of(into), self.coord.clock.monotonic()
        if one.call is None and one.looked_at is not None and now - one.looked_at < _FRESH:
            return True
        if one.call is None and (now >= one.again_at or one.signs != self._signs()):
            one.signs = self._signs()
            if not self.coord.git.setting(f"remote.{self.name}.url"):
                self._failed(one, Trouble(f"git knows no remote {self.name}: `git remote add {self.name} URL`"))
                return False
            before = self.tip(into)
            rewritten = bool(before) and not merge.already_in(self.coord.git, here, before)
            one.call, one.pushed = remote.look(self.coord.git, self.name, into, rewritten=rewritten), ""
        return False

    def push(self, into: str, new: str) -> None:
        """Begin to move a branch at the remote to NEW, from where it was looked at."""
        one = self._of(into)
        one.call, one.pushed = remote.push(self.coord.git, self.name, into, new, self.tip(into)), new

    def trouble(self, into: str) -> Trouble | None:
        """Return why the remote cannot be asked, as long as that lasts."""
        return self._of(into).trouble

    def refusal(self, into: str, commit: str) -> str | None:
        """Return in which words the remote refused a commit, or None where it did not."""
        return self._of(into).refused.get(commit)

    def collect(self) -> None:
        """Take in what came of the calls that ended."""
        for (name, into), one in self._known.items():
            if one.call is not None and (answer := one.call.poll()) is not None:
                one.call, self.ended = None, self.ended + 1
                if one.pushed:
                    self._after_push(name, into, one, answer)
                else:
                    self._after_look(name, into, one, answer)

    def stop(self) -> None:
        """End the calls that are under way; the next process looks what came of them."""
        for one in self._known.values():
            if one.call is not None:
                one.call.stop()
                one.call = None

    def _of(self, into: str) -> _Branch:
        return self._known.setdefault((self.name, into), _Branch())

    def _after_look(self, name: str, into: str, one: _Branch, answer: Answer) -> None:
        match answer.outcome:
            case "absent" if not self.coord.git.tip(remote.ref(name, into)):
                self._looked(one)  # the first push makes it
            case "absent":
                self._failed(one, Trouble(f"{name} has no branch {into} any more: push it there again"))
            case "moved":
                what = (
                    f"{into} was rewritten at {name}, and {into} here has what was taken out: push it, or reset {into}"
                )
                self._failed(one, Trouble(what))
            case "done" if one.missed == self.coord.git.tip(remote.ref(name, into)):
                one.missed = None
                self._failed(one, Trouble(f"{name} is one place to fetch from and another to push to: `git remote -v`"))
            case "done":
                self._looked(one)
            case _:
                self._failed(one, _unreachable(name, answer))

    def _after_push(self, name: str, into: str, one: _Branch, answer: Answer) -> None:
        one.looked_at = None
        match answer.outcome:
            case "done":
                ref = remote.ref(name, into)
                merge.move(self.coord.git, ref, one.pushed, self.coord.git.tip(ref) or "", message="coord: pushed")
                self._looked(one)
            case "moved":
                one.missed = self.coord.git.tip(remote.ref(name, into)) or ""
            case "refused":
                one.refused = {one.pushed: answer.words}
            case "unreachable":
                self._failed(one, _unreachable(name, answer))

    def _signs(self) -> tuple[int, ...]:
        """Return when somebody last changed git's configuration here, or fetched: it may be mended by that."""
        files = (self.coord.place.common / name for name in ("config", "FETCH_HEAD"))
        return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)

    def _looked(self, one: _Branch) -> None:
        one.looked_at, one.failures, one.trouble, one.missed = self.coord.clock.monotonic(), 0, None, None

    def _failed(self, one: _Branch, trouble: Trouble) -> None:
        one.looked_at, one.failures = None, one.failures + 1
        # Why nobody answers is worded anew at each try, and the owner is told of each line.
        if one.trouble is None or not (one.trouble.unreachable and trouble.unreachable):
            one.trouble = trouble
        wait = backoff.pause(one.failures, _FIRST, _LONGEST)
        one.again_at = self.coord.clock.monotonic() + wait


def _unreachable(name: str, answer: Answer) -> Trouble:
    first = next((line for line in answer.words.splitlines() if line.startswith("fatal:")), answer.words)
    what = f"{name} cannot be reached: {clean_line(first.removeprefix('fatal:'), 160)}"
    return Trouble(what, answer.words, unreachable=True)
