"""What coord should do, as plain dicts: written from the documentation, without any of the product's code.

A refusal is the exception `Denied` with the name of the error class that the product must raise.
Ids are the product's to choose: an entry learns its own when it is first seen ("" until then).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

AGENTS = ("backend", "frontend", "security", "pm-architect")
OWNER, COORD, COORDINATOR = "owner", "coord", "pm-architect"
EVERYBODY = (*AGENTS, OWNER)
WEB = ("backend", "frontend")
KEPT = 3
RETENTION = timedelta(days=7)
AGES = {
    "low": timedelta(days=3),
    "normal": timedelta(days=1),
    "high": timedelta(hours=2),
    "urgent": timedelta(minutes=15),
}
# Every scope that plays use, as the places of this small world that it covers.
COVERS = {
    "docs": {"docs", "docs/a.md", "docs/b.md", "docs/deep/c.md"},
    "docs/**": {"docs/a.md", "docs/b.md", "docs/deep/c.md"},
    "docs/*.md": {"docs/a.md", "docs/b.md"},
    "docs/a.md": {"docs/a.md"},
    "docs/deep": {"docs/deep", "docs/deep/c.md"},
    "src/x.py": {"src/x.py"},
    "src/*": {"src/x.py", "src/y.py"},
    ".github/**": {".github/ci.yml"},
    "task:1": {"task:1"},
}
# Who a text speaks to, where `auto` is to choose.
SPEAKS_TO = {
    "apps_script/chefs.js is slow": "backend",
    "web_app/index.html is blank": "frontend",
    "rotate what lies in secrets": "security",
    "hello there": "",
}

Entry = dict[str, Any]


class Denied(Exception):
    """What the product must refuse; the name of its error class."""


class Oracle:
    """All that can be seen of a repository."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.mail: list[Entry] = []
        self.locks: list[Entry] = []
        self.checkpoints: list[Entry] = []
        self.decisions: list[Entry] = []
        self.dropped: list[Entry] = []
        self.log = Counter[tuple[str, str]]()
        self.token = 0
        self.dead = 0

    # ---- mail ----

    def box(self, name: str, state: str = "") -> list[Entry]:
        """Return what lies in a mailbox, oldest first: all, or what is `unread` or `read`."""
        found = [one for one in self.mail if name in one["in"] and state in ("", one["in"][name])]
        return sorted(found, key=lambda one: one["order"])

    def send(self, sender: str, to: Sequence[str], body: str, **rest: Any) -> Entry:
        """Send, unless some address is nobody's or nobody is reached."""
        if rest.get("key"):
            same = [one for one in self.mail if (one["from"], one["key"]) == (sender, rest["key"])]
            if same:
                return same[0]
        return self._post("mail.sent", sender, tuple(to), body, self._reach(sender, to, body), **rest)

    def _reach(self, sender: str, to: Iterable[str], body: str) -> list[str]:
        found: list[str] = []
        chosen = False
        for address in to:
            if address == "all":
                found += [name for name in AGENTS if name != sender]
            elif address == "@web":
                found += [name for name in WEB if name != sender]
            elif address == "auto":
                chosen = True
            elif address in EVERYBODY:
                found.append(address)
            else:
                raise Denied("UnknownAgent")
        if chosen:
            expert = next((name for text, name in SPEAKS_TO.items() if text in body), "")
            found.append(expert if expert and expert != sender else COORDINATOR)
        if not found:
            raise Denied("Usage")
        return list(dict.fromkeys(found))

    def _post(
        self, event: str, sender: str, to: tuple[str, ...], body: str, boxes: Sequence[str], **rest: Any
    ) -> Entry:
        entry: Entry = {
            "id": "",
            "order": (rest.get("at", self.now), len(self.mail)),
            "from": sender,
            "to": to,
            "subject": rest.get("subject") or body.splitlines()[0],
            "body": body,
            "kind": rest.get("kind", "note"),
            "priority": rest.get("priority", "normal"),
            "ack": rest.get("ack", "none"),
            "expires": rest.get("expires"),
            "reply_to": rest.get("reply_to"),
            "key": rest.get("key", ""),
            "sent": rest.get("at", self.now),
            "in": dict.fromkeys(boxes, "unread"),
            "since": {},
            "told": Counter[str](),
        }
        self.mail.append(entry)
        if event:
            self.log[event, sender] += 1
        return entry

    def _notice(self, to: str, subject: str, **rest: Any) -> Entry:
        """Coord's own word; its body is not compared."""
        return self._post("", COORD, (to,), subject, [to], subject=subject, kind="alert", **rest)

    def read(self, me: str, entries: Sequence[Entry] = (), limit: int = 20) -> list[Entry]:
        """Return unread mail and mark it read, but for what requires an acknowledgement."""
        self.adopt((me, "all", "auto"))
        unread = self.box(me, "unread")
        if any(one not in unread for one in entries):
            raise Denied("NotFound")
        chosen = list(entries) or unread[:limit]
        for one in dict.fromkeys(map(id, chosen)):
            entry = next(other for other in chosen if id(other) == one)
            if entry["ack"] != "required":
                self._move(me, entry, "mail.read")
        return chosen

    def ack(self, me: str, entries: Sequence[Entry]) -> list[Entry]:
        """Acknowledge; twice is harmless."""
        self.adopt((me,))
        if any(me not in one["in"] for one in entries):
            raise Denied("NotFound")
        for one in entries:
            if one["in"][me] == "unread":
                self._move(me, one, "mail.acked")
        return list(entries)

    def _move(self, name: str, entry: Entry, kind: str) -> None:
        entry["in"][name] = "read"
        entry["since"][name] = self.now.replace(microsecond=0)
        self.log[kind, name] += 1

    def reply(self, me: str, original: Entry, body: str, *, everyone: bool) -> Entry:
        """Answer in its thread, and acknowledge."""
        if original["from"] not in EVERYBODY:
            raise Denied("Refused")
        to = [original["from"]] if original["from"] != me else list(original["to"])
        if everyone:
            to = [name for name in dict.fromkeys((original["from"], *original["to"])) if name != me]
        subject = original["subject"]
        entry = self._post(
            "mail.sent",
            me,
            tuple(to),
            body,
            self._reach(me, to, f"{subject}\n{body}"),
            subject=subject if subject.lower().startswith("re: ") else f"Re: {subject}",
            kind="answer",
            reply_to=original,
        )
        if original["in"].get(me) == "unread":
            self._move(me, original, "mail.acked")
        return entry

    def ack_by_hand(self, me: str, entry: Entry) -> None:
        """Note that a hand moved a message to where acknowledged ones lie."""
        self._move(me, entry, "mail.acked")

    # ---- files written by hand ----

    def drop(self, box: str, name: str, body: str, **front: str) -> None:
        """Note that a hand wrote a file into a mailbox."""
        self.dropped.append({"box": box, "name": name, "body": body, "at": self.now, **front})

    def adopt(self, boxes: Iterable[str]) -> int:
        """Take in what hands wrote into some mailboxes."""
        taken = [
            one
            for box in dict.fromkeys(boxes)
            for one in sorted(self.dropped, key=lambda d: d["name"])
            if one["box"] == box
        ]
        for one in taken:
            self.dropped.remove(one)
            self._adopted(one)
        return len(taken)

    def _adopted(self, one: Entry) -> None:
        box, body, sender = one["box"], one["body"], one.get("from", "unknown")
        named = tuple(filter(None, [one.get("to", "")]))
        to = tuple(dict.fromkeys((*(() if box in ("all", "auto") and named else (box,)), *named)))
        subject = one.get("subject") or body.splitlines()[0]
        if "broken" in one:
            self._bury(one, box if box in AGENTS else OWNER)
            return
        try:
            boxes = self._reach(sender, to, f"{subject}\n{body}")
        except Denied:
            self._bury(one, sender if sender in EVERYBODY else OWNER)
            return
        self._post("mail.adopted", sender, to, body, boxes, subject=subject, at=one["at"])

    def _bury(self, one: Entry, mender: str) -> None:
        self._notice(mender, f"undeliverable: {one['name']}")
        self.log["mail.dead", COORD] += 1
        self.dead += 2

    # ---- leases ----

    def live(self) -> list[Entry]:
        """Return the leases that stand now."""
        return [one for one in self.locks if one["until"] > self.now]

    def acquire(self, me: str, scopes: Sequence[str], ttl: timedelta, *, shared: bool) -> list[Entry]:
        """Take all of them or none."""
        mode = "shared" if shared else "exclusive"
        others = [one for one in self.locks if one["holder"] != me and _meet(one, scopes)]
        if any(one["until"] > self.now and (one["mode"], mode) != ("shared", "shared") for one in others):
            raise Denied("LeaseHeld")
        for one in sorted((one for one in others if one["until"] <= self.now), key=_file):
            self._gone(one, "lease.expired")
        granted = []
        for scope in dict.fromkeys(scopes):
            own = [one for one in self.locks if (one["holder"], one["scope"]) == (me, scope)]
            kept = next((one for one in own if one["until"] > self.now and one["mode"] in (mode, "exclusive")), None)
            if kept is None:
                self.token += 1
                kept = {"scope": scope, "holder": me, "mode": mode, "token": self.token, "until": self.now + ttl}
                self.locks = [one for one in self.locks if one not in own] + [kept]
            kept["until"] = max(kept["until"], self.now + ttl)
            granted.append(kept)
        self.log["lease.granted", me] += 1
        return granted

    def _gone(self, lock: Entry, kind: str, by: str = COORD) -> None:
        self.locks.remove(lock)
        self._notice(lock["holder"], f"lease gone: {lock['scope']}")
        self.log[kind, by] += 1

    def _own(self, me: str, scope: str, token: int | None) -> Entry:
        own = [one for one in self.locks if (one["holder"], one["scope"]) == (me, scope)]
        if not own:
            raise Denied("NotFound")
        if token not in (None, own[0]["token"]):
            raise Denied("StaleToken")
        return own[0]

    def renew(self, me: str, scope: str, ttl: timedelta, token: int | None) -> list[Entry]:
        """Extend one lease, or all; one that has expired only while nobody else has what conflicts."""
        chosen = [self._own(me, scope, token)] if scope else self._all(me, token)
        if not chosen:
            raise Denied("NotFound")
        for one in chosen:
            rivals = [other for other in self.live() if other["holder"] != me and _meet(other, [one["scope"]])]
            if one["until"] <= self.now and any((r["mode"], one["mode"]) != ("shared", "shared") for r in rivals):
                raise Denied("LeaseHeld")
        for one in chosen:
            one["until"] = max(one["until"], self.now + ttl)
        self.log["lease.renewed", me] += 1
        return chosen

    def _all(self, me: str, token: int | None) -> list[Entry]:
        own = [one for one in self.locks if one["holder"] == me and token in (None, one["token"])]
        if token is not None and not own:
            raise Denied("StaleToken")
        return own

    def release(self, me: str, scope: str, token: int | None) -> list[Entry]:
        """Give back one lease, or all."""
        gone = [self._own(me, scope, token)] if scope else self._all(me, token)
        self.locks = [one for one in self.locks if one not in gone]
        self.log["lease.released", me] += bool(gone)
        return gone

    def steal(self, me: str, scope: str) -> list[Entry]:
        """Break every lease on a scope."""
        if me not in (OWNER, COORDINATOR):
            raise Denied("Refused")
        gone = sorted((one for one in self.locks if one["scope"] == scope), key=_file)
        if not gone:
            raise Denied("NotFound")
        for one in gone:
            self._gone(one, "lease.broken", me)
        return gone

    # ---- checkpoints and decisions ----

    def save(self, me: str, body: str) -> Entry:
        """Save a checkpoint; the oldest beyond those kept leaves the folder."""
        mine = [one for one in self.checkpoints if one["agent"] == me]
        if len(mine) >= KEPT:
            self.checkpoints.remove(mine[0])
        held = tuple(f"{one['token']} {one['scope']}" for one in self.live() if one["holder"] == me)
        entry = {"id": "", "agent": me, "body": body, "locks": held, "unread": len(self.box(me, "unread"))}
        self.checkpoints.append(entry)
        self.log["checkpoint.saved", me] += 1
        return entry

    def checkpoints_in_order(self) -> list[Entry]:
        """Return all of them, oldest first."""
        return self.checkpoints

    def restore(self, me: str) -> Entry | None:
        """Return the newest checkpoint; looking takes hand-written mail in."""
        self.adopt((me, "all", "auto"))
        return next((one for one in reversed(self.checkpoints) if one["agent"] == me), None)

    def decide(self, me: str, about: str, choice: str, supersedes: Entry | None) -> Entry:
        """Record a choice, which may take the place of one that still stands."""
        if supersedes is not None and supersedes["by"] is not None:
            raise Denied("Refused")
        entry: Entry = {"id": "", "agent": me, "about": about, "choice": choice, "outcome": "", "by": None}
        if supersedes is not None:
            supersedes["by"] = entry
        self.decisions.append(entry)
        self.log["decision.recorded", me] += 1
        return entry

    def outcome(self, me: str, decision: Entry, text: str) -> Entry:
        """Say what came of a decision, once."""
        if decision["outcome"]:
            raise Denied("Refused")
        decision["outcome"] = text
        self.log["decision.outcome", me] += 1
        return decision

    # ---- the daemon ----

    def watch_once(self) -> None:
        """Do what the daemon would, until nothing is left to do."""
        for _ in range(8):
            if not self._cycle():
                return

    def _cycle(self) -> bool:
        unread = [(name, one) for name in EVERYBODY for one in self.box(name, "unread")]
        read = [(name, one) for name in EVERYBODY for one in self.box(name, "read")]
        expired = sorted((one for one in self.locks if one["until"] <= self.now), key=_file)
        done = self.adopt(sorted((*EVERYBODY, "all", "auto")))
        for one in expired:
            self._gone(one, "lease.expired")
        done += len(expired)
        for name, one in read:
            if self.now - one["since"][name] >= RETENTION:
                done += self._retire(name, one, "mail.retired")
        for name, one in unread:
            if one["expires"] is not None and one["expires"] <= self.now:
                done += self._retire(name, one, "mail.expired")
                if one["ack"] == "required" and one["from"] in EVERYBODY:
                    self._notice(one["from"], f"expired unacknowledged: {one['subject']}")
        return bool(done + self._remind(unread))

    def _retire(self, name: str, entry: Entry, kind: str) -> int:
        del entry["in"][name]
        self.log[kind, COORD] += 1
        return 1

    def _remind(self, unread: Iterable[tuple[str, Entry]]) -> int:
        due: dict[tuple[str, str, int], list[Entry]] = {}
        for name, one in unread:
            level = min(3, int((self.now - one["sent"]) / AGES[one["priority"]]))
            if name == OWNER or one["from"] == COORD or name not in one["in"] or level <= one["told"][name]:
                continue
            higher = OWNER if level == 3 or name == COORDINATOR else COORDINATOR
            due.setdefault((name, name if level == 1 else higher, level), []).append(one)
        for (name, to, level), found in sorted(due.items(), key=lambda item: item[0]):
            whose = "you" if to == name else name
            self._notice(to, f"{len(found)} unread for {whose} too long", priority="high")
            self.log["mail.reminded" if level == 1 else "mail.escalated", COORD] += 1
            for one in found:
                one["told"][name] = level
        return len(due)


def _file(lock: Entry) -> str:
    """Return the name of a lease's file, in whose order leases are gone through."""
    name = quote(lock["scope"], safe="")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    return f"{name}{'@' + lock['holder'] if lock['mode'] == 'shared' else ''}.yaml"


def _meet(lock: Entry, scopes: Iterable[str]) -> bool:
    return any(COVERS[lock["scope"]] & COVERS[scope] for scope in scopes)
