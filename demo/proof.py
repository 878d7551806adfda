"""What the story claims, proven from git and from the ledger, not from what the agents said alone."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from demo import stage, story
from demo.farm import Farm
from demo.player import COORD
from demo.stage import Stage

_LEDGER = "coord/ledger"
_TAKEN_IN = ("mail.adopted", "mail.dead")


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that must be true at the end."""

    text: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of the ledger."""

    kind: str
    id: str
    subject: str


class Proof:
    """Looks at what is there now; FACTS are what agents and director noted on the way."""

    def __init__(self, farm: Farm, on: Stage, facts: Sequence[dict[str, Any]]) -> None:
        self.farm = farm
        self.on = on
        self.facts = facts
        self.entries = list(self._entries())
        self.files = self._git("ls-tree", "-r", "--name-only", "-z", _LEDGER).split("\0")

    def claims(self) -> Iterator[Claim]:
        """Yield every claim with what was found."""
        yield from self._mail()
        yield from self._leases()
        yield from self._merges()
        yield from self._deaths()
        yield from self._ledger()
        left = [f"{one.pid} {one.name()}" for one in stage.strays(self.farm.folder, patience=5)]
        yield Claim("no process is left", not left, ", ".join(left))

    def _mail(self) -> Iterator[Claim]:
        times = Counter(entry.id for entry in self.entries)
        sent = self._of("sent")
        wrong = [fact["id"] for fact in sent if times[fact["id"]] != 1]
        wrong += [
            f"{fact['id']} in {name}"
            for fact in sent
            for name in fact["delivered"]
            if self._copies(fact["id"], name) != 1
        ]
        copies = sum(len(fact["delivered"]) for fact in sent)
        yield Claim(
            f"{len(sent)} messages by command: each in the ledger once, {copies} copies in their mailboxes",
            bool(sent) and not wrong,
            ", ".join(wrong),
        )
        dropped = self._of("dropped")
        wrong = []
        for fact in dropped:
            found = [entry for entry in self.entries if entry.kind in _TAKEN_IN and fact["subject"] in entry.subject]
            places = [name for name in fact["reaches"] if self._copies(found[0].id if found else "-", name)]
            if len(found) != 1 or (".dead" not in fact["reaches"] and len(places) != len(fact["reaches"])):
                wrong.append(f"{fact['subject']}: {len(found)} times, in {places}")
        yield Claim(
            f"{len(dropped)} written by hand: each taken in once", bool(dropped) and not wrong, ", ".join(wrong)
        )
        nearest = [fact["facts"]["nearest"] for fact in self._refused("unknown_agent")]
        yield Claim("mail to nobody was refused with the nearest name", nearest[:1] != [] and "field-ops" in nearest[0])
        dead = [name for name in self.files if name.startswith("inbox/.dead/") and name.endswith(".why.md")]
        yield Claim("a hand-written one to nobody went back to its sender", len(dead) == 1, ", ".join(dead))
        away = [name for fact in self._of("put away") for name in fact["names"]]
        lost = [name for name in away if not any(file.endswith(f"/read/{name}") for file in self.files)]
        yield Claim(
            f"{len(away)} letters read by hand are acknowledged in the ledger", bool(away) and not lost, ", ".join(lost)
        )

    def _leases(self) -> Iterator[Claim]:
        tokens = [token for fact in self._of("held") for token in fact["tokens"]]
        yield Claim(f"{len(set(tokens))} leases, no fencing token given twice", len(tokens) == len(set(tokens)))
        yield Claim("a lease held by another was refused", len(self._refused("lease_held")) == 1)
        circles = [" -> ".join(fact["facts"]["circle"]) for fact in self._refused("would_deadlock")]
        yield Claim(f"a deadlock was refused by name: {', '.join(circles)}", len(circles) == 1)
        yield Claim("a forgotten lease expired", self._count("lease.expired") >= 1)
        left = [name for name in self.files if name.startswith("locks/") and name.endswith(".yaml")]
        yield Claim("no lease is left over", not left, ", ".join(left))

    def _merges(self) -> Iterator[Claim]:
        merges = self._of("merge")
        landed = [fact for fact in merges if fact["landed"]]
        missing = [fact["branch"] for fact in landed if not self._in_main(fact["head"])]
        yield Claim(
            f"{len(landed)} merges landed, all of them in main", bool(landed) and not missing, ", ".join(missing)
        )
        for outcome, words in (("conflict", "that conflicted"), ("failed", "that failed its test")):
            refused = [fact for fact in merges if fact["outcome"] == outcome]
            inside = [fact["branch"] for fact in refused if fact["landed"] or self._in_main(fact["head"])]
            yield Claim(f"the merge {words} is not in main", len(refused) == 1 and not inside, ", ".join(inside))
        dirty = self._git("status", "--porcelain")
        yield Claim(
            "the owner's checkout followed main, and is clean",
            not dirty and self._git("branch", "--show-current") == "main",
            dirty,
        )
        steps = self._git("rev-list", "--first-parent", "--count", f"{self.farm.begin}..main")
        yield Claim("main has nothing but these merges", int(steps) == len(landed), f"{steps} steps")
        gate = self._run(sys.executable, "check_farm.py")
        yield Claim(f"main passes its test: {gate[1].strip()}", gate[0] == 0)

    def _deaths(self) -> Iterator[Claim]:
        freed = [entry for entry in self.entries if entry.kind == "lease.freed"]
        yield Claim(
            "the dead agent's lease was freed on proof of its death", any(story.VICTIM in one.subject for one in freed)
        )
        saved = {entry.id for entry in self.entries if entry.kind == "checkpoint.saved"}
        restored = [fact["checkpoint"] for fact in self._of("restored")]
        yield Claim("its new process went on from its checkpoint", len(restored) == 1 and restored[0] in saved)
        counted = self._git("show", "main:stock/seeds.csv")
        yield Claim("and finished the work", "beans,700" in counted and "carrots,280" in counted, counted)
        died = self._of("daemon died")
        seen = [
            entry
            for entry in self.entries
            if entry.kind == "merge.landed" and story.TESTED_IN_THE_DARK in entry.subject
        ]
        yield Claim(
            "the merge whose test died with the daemon landed all the same, once", len(died) == 1 and len(seen) == 1
        )
        judged = [fact["id"] for fact in self._of("decided")]
        outcomes = self._count("decision.outcome")
        yield Claim("a decision has its outcome", len(judged) == 1 and outcomes == 1)

    def _ledger(self) -> Iterator[Claim]:
        status, told = self._run(*COORD, "--json", "ledger", "verify", "--deep")
        found = json.loads(told) if told.startswith("{") else {}
        detail = "" if status == 0 else told
        yield Claim(
            f"files, ledger and index agree on {found.get('records', '?')} records", bool(found.get("ok")), detail
        )
        twice = [one for one, count in Counter(entry.id for entry in self.entries).items() if count > 1]
        yield Claim(f"{len(self.entries)} events, none recorded twice", not twice, ", ".join(twice))

    def _entries(self) -> Iterator[Entry]:
        fields = (
            "%(trailers:key=Coord-Event,valueonly,separator=)%x00%(trailers:key=Coord-Id,valueonly,separator=)%x00%s"
        )
        for line in self._git("log", f"--format={fields}", _LEDGER).splitlines():
            yield Entry(*line.split("\0"))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [fact for fact in self.facts if fact["kind"] == kind]

    def _refused(self, code: str) -> list[dict[str, Any]]:
        return [fact for fact in self._of("refused") if fact["code"] == code]

    def _count(self, kind: str) -> int:
        return sum(entry.kind == kind for entry in self.entries)

    def _copies(self, identifier: str, mailbox: str) -> int:
        places = (f"inbox/{mailbox}/{identifier}-", f"inbox/{mailbox}/read/{identifier}-")
        return sum(name.startswith(places) for name in self.files)

    def _in_main(self, head: str) -> bool:
        return self._run("git", "merge-base", "--is-ancestor", head, "main")[0] == 0

    def _git(self, *words: str) -> str:
        return self.on.run("git", *words, cwd=self.farm.home)

    def _run(self, *words: str) -> tuple[int, str]:
        try:
            return 0, self.on.run(*words, cwd=self.farm.home)
        except subprocess.CalledProcessError as fault:
            return fault.returncode, f"{fault.stdout}{fault.stderr}"
