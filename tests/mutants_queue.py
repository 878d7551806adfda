"""Faults to plant in the merge queue: each breaks one of its promises. The first are those that matter most."""

# ruff: noqa: ARG005 - a stand-in is given what the real one is given
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from coord.git import gate, merge
from coord.model import bisect, verdicts
from coord.model.bisect import Eject, Land, Pause, Probe
from coord.model.records import Change
from coord.service.merging import fence, stacking, telling
from coord.service.merging.landing import Landing
from coord.service.merging.moving import Moving


@dataclass(frozen=True)
class Mutant:
    """A fault: OWNER's attribute is replaced by what MADE makes of it; FAVOURED are the acts that bring it to light.

    Without an owner it is one of `mutants_kills`, for daemons of their own process.
    """

    name: str
    favoured: str
    owner: Any = None
    attribute: str = ""
    made: Callable[[Any], Any] | None = None

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """Put the fault into this process; return its name where it is to be planted in others."""
        if self.made is None:
            return self.name
        monkeypatch.setattr(self.owner, self.attribute, self.made(getattr(self.owner, self.attribute)))
        return ""


def _steps(change: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """Change what is done next with a batch."""
    return lambda real: lambda known, **rest: change(real(known, **rest), known)


def _untested(step: Any, known: Any) -> Any:
    return Land(len(known) - 1) if isinstance(step, Probe) and known[-1] == "unknown" else step


def _one_too_many(step: Any, known: Any) -> Any:
    return Land(step.height + 1) if isinstance(step, Land) and step.height < len(known) - 1 else step


def _blamed_for_the_base(step: Any, known: Any) -> Any:
    return Eject() if isinstance(step, Pause) else step


def _without_after(real: Any) -> Any:
    def stack(coord: Any, base: Any, requests: Any, **rest: Any) -> Any:
        return real(coord, base, [(key, replace(one, after=())) for key, one in requests], **rest)

    return stack


def _without_a_word(_real: Any) -> Any:
    def refused(coord: Any, pair: Any, *_rest: Any) -> None:
        coord.record(coord.event("merge.held", "gone", (Change(pair[0], None),), agent="coord"))

    return refused


MUTANTS = (
    Mutant("what is to land is not tested", "branch", bisect, "next_step", _steps(_untested)),
    Mutant("one too many lands", "branch", bisect, "next_step", _steps(_one_too_many)),
    Mutant("leases are not looked at", "lease branch", fence, "look", lambda _: lambda *_: fence.Looked()),
    Mutant(
        "conflicts are merged",
        "branch",
        merge,
        "predict",
        lambda real: lambda *given: replace(real(*given), clean=True),
    ),
    Mutant("who comes is blamed for the base", "branch outside", bisect, "next_step", _steps(_blamed_for_the_base)),
    Mutant(
        "one failure is enough",
        "branch",
        bisect,
        "outcome",
        lambda _: lambda passed, failed: "passed" if passed else "failed" if failed else "unknown",
    ),
    Mutant(
        "every test passes",
        "branch",
        gate.Running,
        "_judge",
        lambda real: lambda running: replace(real(running), passed=True),
    ),
    Mutant(
        "leases are looked at only once",
        "lease branch hold",
        stacking,
        "fenced",
        lambda _: lambda coord, base, key, one: None,
    ),
    Mutant(
        "who agreed once agreed for ever", "lease branch approve", fence, "word", lambda _: lambda one: one.to.holder
    ),
    Mutant("the base may have moved", "outside branch hold", Landing, "_unfit", lambda _: lambda *given: None),
    Mutant(
        "what an earlier test said counts",
        "other_test branch hold",
        verdicts.Verdicts,
        "of",
        lambda _: (
            lambda known, tree, gate: next(
                (seen for (one, _), seen in known._seen.items() if one == tree), verdicts.Seen()
            )
        ),
    ),
    Mutant("nobody waits for what must come before", "branch", stacking, "stack", _without_after),
    Mutant("who is sent back is not told", "branch", telling, "refused", _without_a_word),
    Mutant(
        "the branch goes on where the other ended",
        "branch",
        merge,
        "commit",
        lambda real: lambda git, tree, parents, *rest, **more: real(git, tree, parents[::-1], *rest, **more),
    ),
    Mutant(
        "what a dead one began is not looked at",
        "die other_test branch",
        Moving,
        "_may_land",
        lambda _: lambda landing, members: True,
    ),
    Mutant("moved blindly", "race branch"),
)
