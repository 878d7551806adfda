"""A repository under play: the same acts on coord and on the oracle, and whether both then show the same."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import oracle as oracles
from likeness import BEGIN, Ticking, checkpoints_of, leases_shown, leases_told, letter_shown, letter_told
from oracle import COORD, COVERS, EVERYBODY, SPEAKS_TO, Denied, Entry, Oracle

from coord.daemon import run
from coord.model import keys
from coord.model.errors import CoordError
from coord.service import checkpoints, decisions, history, letters, locks, mail, verify
from coord.service.command import Prose
from coord.service.coord import Coord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_PLAY = timedelta(days=25)
SCOPES = tuple(COVERS)
BOXES = (*EVERYBODY, "all", "auto")
PAUSES = ((1, 59), (60, 3_000), (3_600, 9_000), (40_000, 90_000), (500_000, 700_000))  # seconds
_FAVOURED = 50
_PRIORITIES = ("low", "normal", "high", "urgent")


class Killed(BaseException):
    """The process ended here."""


class World:
    """One repository and its oracle; every act is a method, drawn by `step`."""

    def __init__(self, home: Path, seed: str, favoured: Collection[str] = ()) -> None:
        self.home = home
        self.weights = [_FAVOURED if act.__name__.strip("_") in favoured else weight for act, weight in self.acts]
        self.rng = Random(seed)
        self.clock = Ticking()
        self.oracle = Oracle(BEGIN)
        self.oracle.log["coord.initialised", COORD] = 1
        self.opened: dict[str, Coord] = {}
        self.seen: dict[str, Entry] = {}
        self.seer = Coord.open(home, who=oracles.OWNER, clock=self.clock)
        self.story: list[str] = []
        self.count = 0

    def coord(self, who: str) -> Coord:
        """Return WHO's process: the one from before, or another, and then the old one was dropped as it was."""
        if who not in self.opened or self.rng.random() < 0.06:
            self.opened[who] = Coord.open(self.home, who=who, clock=self.clock)
        return self.opened[who]

    def step(self) -> None:
        """Do one act and compare."""
        self._pass(timedelta(milliseconds=self.rng.randrange(1, 900)))
        (act,) = self.rng.choices([act for act, _ in self.acts], self.weights)
        who = self.rng.choice(EVERYBODY)
        self.story.append(f"{self.clock.at:%d %H:%M:%S.%f} {who} {act.__name__.strip('_')}")
        act(self, who)
        self.compare()

    def _pass(self, length: timedelta) -> None:
        self.clock.at += length
        self.oracle.now = self.clock.at

    def both(self, told: Callable[[], Any], done: Callable[[], Any]) -> tuple[Any, Any]:
        """Do one thing on both sides; where the oracle refuses, coord must in the same way."""
        refused = ""
        try:
            expected = told()
        except Denied as fault:
            expected, refused = None, str(fault)
        try:
            result = done()
        except CoordError as fault:
            self.story[-1] += f": {fault.message[:120]}"
            assert type(fault).__name__ == refused, f"{fault!r}; the oracle said {refused or 'yes'}"
            return None, None
        assert not refused, f"coord said yes; the oracle {refused}"
        return expected, result

    # ---- mail ----

    def _keyed(self, who: str) -> None:
        self._send(who, key="once")

    def _send(self, who: str, key: str = "") -> None:
        self.count += 1
        text = f"{self.rng.choice(tuple(SPEAKS_TO))} {self.count}"
        to = self.rng.choices((*EVERYBODY, "all", "@web", "auto", "nobody"), (3, 3, 3, 3, 3, 2, 2, 4, 1), k=1)
        to += [self.rng.choice(EVERYBODY)] * (self.rng.random() < 0.2)
        rest: dict[str, Any] = {
            "priority": self.rng.choice(_PRIORITIES),
            "ack": self.rng.choice(("none", "none", "required")),
        }
        lasting = timedelta(seconds=self.rng.randrange(60, 90_000)) if self.rng.random() < 0.2 else None
        until = self.clock.at + lasting if lasting else None
        entry, sent = self.both(
            lambda: self.oracle.send(who, to, text, expires=until, key=key, **rest),
            lambda: mail.send(self.coord(who), tuple(to), Prose(text), expires=lasting, key=key, **rest),
        )
        if sent is not None:
            self._learn(entry, sent.message.id)
            assert sent.message.body == entry["body"]

    def _learn(self, entry: Entry, identifier: str) -> None:
        assert entry["id"] in ("", identifier), f"{entry['id']} is called {identifier}"
        entry["id"] = identifier
        other = self.seen.setdefault(identifier, entry)
        assert other is entry, f"{identifier} is two things: {letter_told(other)} and {letter_told(entry)}"

    def _some(self, among: Sequence[Entry], most: int = 2) -> list[Entry]:
        return self.rng.sample(list(among), min(len(among), self.rng.randrange(most + 1)))

    def _read(self, who: str) -> None:
        chosen = self._some(self.oracle.box(who))
        limit = self.rng.choice((1, 20))
        entries, found = self.both(
            lambda: self.oracle.read(who, chosen, limit),
            lambda: mail.read(self.coord(who), tuple(one["id"] for one in chosen), limit=limit),
        )
        if found is not None:
            self._same_items(entries, found.items)

    def _ack(self, who: str) -> None:
        chosen = self._some(self.oracle.box(who)) or self._some(self.oracle.mail, 1)
        entries, found = self.both(
            lambda: self.oracle.ack(who, chosen),
            lambda: mail.ack(self.coord(who), tuple(one["id"] for one in chosen)),
        )
        if found is not None:
            self._same_items(entries, found.items)

    def _list(self, who: str) -> None:
        box = self.rng.choice(BOXES)
        self.oracle.adopt((box, "all", "auto"))
        found = mail.list_(self.coord(who), mailbox_=box, limit=1_000)
        self._same_items(self.oracle.box(box, "unread"), found.items)

    def _reply(self, who: str) -> None:
        if not self.oracle.mail:
            return
        self.count += 1
        original = self.rng.choice(self.oracle.box(who) or self.oracle.mail)
        text, everyone = f"answer {self.count}", self.rng.random() < 0.3
        entry, sent = self.both(
            lambda: self.oracle.reply(who, original, text, everyone=everyone),
            lambda: mail.reply(self.coord(who), original["id"], Prose(text), everyone=everyone),
        )
        if sent is not None:
            self._learn(entry, sent.message.id)

    def _drop(self, who: str) -> None:
        self.count += 1
        box, name = self.rng.choice(BOXES), f"note {self.count}.md"
        body = f"{self.rng.choice(tuple(SPEAKS_TO))} {self.count}\n"
        front: dict[str, str] = {}
        if self.rng.random() < 0.7:
            front = {"from": who, "subject": f"by hand {self.count}"}
            front |= {"to": self.rng.choice((*EVERYBODY, "@web", "nobody"))} if self.rng.random() < 0.4 else {}
            front |= {"broken": "x"} if self.rng.random() < 0.1 else {}
        lines = [f'{key}: "{value}"' for key, value in front.items() if key != "broken"]
        lines += ["subject: again", "Subject: again"] * ("broken" in front)
        text = "\n".join(["---", *lines, "---", body]) if front else body
        path = self.home / "inbox" / box / name
        path.write_text(text)
        written = (self.clock.at - EPOCH) // timedelta(microseconds=1) * 1_000
        os.utime(path, ns=(written, written))
        self.oracle.drop(box, name, body, **front)

    def _hand_read(self, who: str) -> None:
        """A hand moves a message to `read/`, which is an acknowledgement once somebody looks."""
        unread = [one for one in self.oracle.box(who, "unread") if one["id"]]
        if not unread:
            return
        entry = self.rng.choice(unread)
        me = self.coord(who)
        (key,) = (key for key in letters.keys_of(me, who) if keys.id_in(key) == entry["id"])
        (self.home / key).rename(self.home / keys.as_read(key))
        verify.verify(me, commit=True)
        self.oracle.ack_by_hand(who, entry)

    # ---- leases ----

    def _acquire(self, who: str) -> None:
        scopes = self.rng.sample(SCOPES, self.rng.choice((1, 1, 1, 2)))
        ttl, shared = timedelta(seconds=self.rng.randrange(60, 7_200)), self.rng.random() < 0.3
        self._leases(
            lambda: self.oracle.acquire(who, scopes, ttl, shared=shared),
            lambda: locks.acquire(self.coord(who), tuple(scopes), ttl=ttl, shared=shared),
        )

    def _leases(self, told: Callable[[], Any], done: Callable[[], locks.Leases]) -> None:
        expected, found = self.both(told, done)
        if found is not None:
            assert leases_shown(found.locks) == leases_told(expected)

    def _which(self, who: str) -> tuple[str, int | None]:
        mine = [one for one in self.oracle.locks if one["holder"] == who]
        lock: Entry = self.rng.choice(mine) if mine else {"scope": self.rng.choice(SCOPES), "token": 1}
        token: int | None = self.rng.choice((None, None, lock["token"], self.oracle.token + 1))
        scope: str = self.rng.choice(("", lock["scope"], self.rng.choice(SCOPES)))
        return scope, token

    def _renew(self, who: str) -> None:
        (scope, token), ttl = self._which(who), timedelta(seconds=self.rng.randrange(60, 7_200))
        self._leases(
            lambda: self.oracle.renew(who, scope, ttl, token),
            lambda: locks.renew(self.coord(who), (scope,) if scope else (), ttl=ttl, token=token),
        )

    def _release(self, who: str) -> None:
        scope, token = self._which(who)
        self._leases(
            lambda: self.oracle.release(who, scope, token),
            lambda: locks.release(self.coord(who), (scope,) if scope else (), token=token),
        )

    def _steal(self, who: str) -> None:
        scope = self.rng.choice([one["scope"] for one in self.oracle.locks] or SCOPES)
        self._leases(
            lambda: self.oracle.steal(who, scope),
            lambda: locks.break_(self.coord(who), scope, reason="a play"),
        )

    # ---- checkpoints and decisions ----

    def _save(self, who: str) -> None:
        self.count += 1
        text = f"done {self.count}\n"
        entry, saved = self.both(
            lambda: self.oracle.save(who, text), lambda: checkpoints.save(self.coord(who), Prose(text))
        )
        self._learn(entry, saved.checkpoint.id)

    def _restore(self, who: str) -> None:
        expected, brief = self.both(
            lambda: self.oracle.restore(who) or {"id": ""}, lambda: checkpoints.restore(self.coord(who))
        )
        assert brief.checkpoint == expected["id"]

    def _decide(self, who: str) -> None:
        self.count += 1
        about, choice = f"question {self.count}", f"answer {self.count}"
        earlier = self.rng.choice([None, None, *self.oracle.decisions])
        entry, ruling = self.both(
            lambda: self.oracle.decide(who, about, choice, earlier),
            lambda: decisions.record(
                self.coord(who), about, Prose(choice), supersedes=earlier["id"] if earlier else ""
            ),
        )
        if ruling is not None:
            self._learn(entry, ruling.decision.id)

    def _outcome(self, who: str) -> None:
        if self.oracle.decisions:
            one = self.rng.choice(self.oracle.decisions)
            self.both(
                lambda: self.oracle.outcome(who, one, "it held"),
                lambda: decisions.outcome(self.coord(who), one["id"], Prose("it held")),
            )

    # ---- the daemon, time, and what ends processes ----

    def _watch(self, who: str) -> None:
        run.once(self.coord(who), say=lambda _line: None)
        self.oracle.watch_once()

    def _wait(self, _who: str) -> None:
        least, most = self.rng.choice(PAUSES)
        pause = timedelta(milliseconds=self.rng.randrange(least * 1_000, most * 1_000))
        if self.clock.at + pause - BEGIN < LONGEST_PLAY:
            self._pass(pause)

    def _settle(self, who: str) -> None:
        self.coord(who).committer.settle()
        self.thoroughly()

    def _forget(self, who: str) -> None:
        """Coord's private state is gone while nothing runs."""
        self.coord(who).committer.settle()
        self.opened.clear()
        shutil.rmtree(self.home / ".git/coord", ignore_errors=True)

    def _killed(self, who: str) -> None:
        """The process ends before the note of its event, after it, or before the journal knows of the commit."""
        if self.oracle.dropped:
            return
        me = self.opened[who] = Coord.open(self.home, who=who, clock=self.clock)
        where = self.rng.choice(("before", "after", "advance"))
        append, unread = me.journal.append, self.oracle.box(who, "unread")[:1]

        def noted(*given: Any, **named: Any) -> None:
            if where == "after":
                append(*given, **named)
            raise Killed

        setattr(me.journal, *(("advance", noted) if where == "advance" else ("append", noted)))
        self.count += 1
        text = f"hello there {self.count}"
        try:
            if where == "advance":
                me.committer.settle()
            elif unread:
                mail.ack(me, (unread[0]["id"],))
            else:
                mail.send(me, ("backend",), Prose(text))
        except Killed:
            if where == "after":
                self.oracle.ack(who, unread) if unread else self.oracle.send(who, ("backend",), text)
        del self.opened[who]
        Coord.open(self.home, who=who, clock=self.clock).committer.settle()

    # What runs git is rare: a play costs a tenth of a second.
    acts: tuple[tuple[Callable[["World", str], None], int], ...] = (
        *((_send, 40), (_read, 16), (_ack, 12), (_list, 12), (_reply, 16), (_drop, 12), (_hand_read, 1), (_keyed, 2)),
        *((_acquire, 24), (_renew, 10), (_release, 8), (_steal, 4), (_save, 1), (_restore, 1), (_decide, 8)),
        *((_outcome, 4), (_watch, 3), (_wait, 12), (_settle, 1), (_forget, 1), (_killed, 3)),
    )

    # ---- comparing ----

    def compare(self) -> None:
        """Prove that mailboxes, leases, checkpoints and decisions are what the oracle says."""
        seer = self.seer
        for box in BOXES:
            found = sorted(letters.keys_of(seer, box), key=lambda key: keys.id_in(key) or "")
            expected = self.oracle.box(box)
            states = [("read" if keys.is_read(key) else "unread") for key in found]
            assert states == [one["in"][box] for one in expected], f"{box}: {found}\n{expected}"
            fresh = [pair for pair in zip(expected, found, strict=True) if not pair[0]["id"]]
            self._same_items([one for one, _ in fresh], letters.items(seer, box, [key for _, key in fresh]))
            assert [keys.id_in(key) for key in found] == [one["id"] for one in expected], box
        assert leases_shown(locks.list_(seer).locks) == leases_told(self.oracle.live())
        saved = Counter(one["agent"] for one in self.oracle.checkpoints)
        assert {name: len(seer.records(f"checkpoints/{name}")) for name in EVERYBODY if saved[name]} == saved
        assert len(seer.records(keys.DECISIONS)) == len(self.oracle.decisions)

    def _same_items(self, expected: Iterable[Entry], found: Iterable[letters.Item]) -> None:
        expected, found = list(expected), list(found)
        assert len(found) == len(expected), f"{found}\n{expected}"
        for entry, item in zip(expected, found, strict=True):
            self._learn(entry, item.message.id)
            assert letter_shown(item.message) == letter_told(entry), (
                f"{letter_shown(item.message)}\n{letter_told(entry)}"
            )
            assert item.message.reply_to == (entry["reply_to"]["id"] if entry["reply_to"] else "")

    def thoroughly(self) -> None:
        """Prove also what costs git: every record's content, the log, and that files, ledger and index agree."""
        self._pass(timedelta(milliseconds=1))
        seer = Coord.open(self.home, who=oracles.OWNER, clock=self.clock)
        for box in BOXES:
            self.oracle.adopt((box, "all", "auto"))
            found = mail.list_(seer, mailbox_=box, read=True, limit=10_000)
            self._same_items(self.oracle.box(box), found.items)
        self.compare()
        wanted, found_there = list(self.oracle.checkpoints_in_order()), list(checkpoints_of(seer))
        assert len(wanted) == len(found_there), "checkpoints"
        for told, shown in zip(wanted, found_there, strict=True):
            self._learn(told, shown.id)
            assert (told["agent"], told["body"], told["unread"]) == (shown.agent, shown.body, len(shown.open_messages))
            assert sorted(told["locks"]) == sorted(shown.locks)
        rulings = decisions.list_(seer, limit=10_000).items[::-1]
        for told, ruling in zip(self.oracle.decisions, rulings, strict=True):
            made = ruling.decision
            shown = (made.id, made.made_by, made.about, made.choice, made.outcome, ruling.superseded_by)
            by = told["by"]["id"] if told["by"] else ""
            assert shown == (told["id"], told["agent"], told["about"], told["choice"], told["outcome"], by)
        proven = verify.verify(seer)
        copies = sum(len(one["in"]) for one in self.oracle.mail)
        rest = len(self.oracle.locks) + len(self.oracle.checkpoints) + len(self.oracle.decisions) + self.oracle.dead
        assert proven.records == copies + rest
        events = history.log(seer, limit=100_000).events
        assert Counter((one.kind, one.agent) for one in events) == +self.oracle.log
