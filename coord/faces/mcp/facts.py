"""What a relay says of its assistant when it comes: where it stands, who it is, and what it asks for again."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from coord.faces.mcp.calls import Caller
from coord.model.values import frozen
from coord.service.session import sessions
from coord.service.session.speaking import Origin
from coord.thin import relay

_CODEX = "x-codex-turn-metadata"


@frozen
class Facts:
    """An assistant's connection; `again` has the requests that another server may have done, and since when."""

    caller: Caller
    relay: str = ""
    again: Mapping[str | int, float] = field(default_factory=dict)

    @classmethod
    def read(cls, told: bytes) -> "Facts":
        """Read what a relay sent."""
        start, *rest = os.fsdecode(told).split("\0")
        named = dict(part.partition("=")[::2] for part in rest)
        pairs = (one.partition(" ")[::2] for one in named.get("AGAIN", "").split("\t") if one)
        again = {json.loads(number): float(since) for since, number in pairs}
        return cls(_caller(start, named, int(named.get("PARENT", "0"))), named.get("RELAY", ""), again)

    @classmethod
    def here(cls, start: Path, who: str) -> "Facts":
        """Return what this process would say of itself, whose client started it without a relay."""
        named = {name: os.environ.get(name, "") for name in relay.ASKED}
        return cls(_caller(str(start), {**named, "COORD_AGENT": who or named["COORD_AGENT"]}, os.getppid()))

    def told(self, meta: Mapping[str, Any] | None) -> Caller:
        """Return who calls, as a request's own words say it: one server may have several sessions of a client."""
        session = _session_of(meta or {})
        if not session:
            return self.caller
        origin = replace(self.caller.origin, sessions=(session, *self.caller.origin.sessions))
        return replace(self.caller, origin=origin)

    def key(self, number: str | int | None, params: Any) -> str:
        """Return the name under which a request is done once, however often it is asked; none without a relay.

        What it asks is part of the name: a client that uses an id again for something else means something else.
        """
        if not self.relay or number is None:
            return ""
        asked = json.dumps([number, params], sort_keys=True, default=str)
        return f"mcp:{self.relay}:{hashlib.sha256(asked.encode()).hexdigest()[:32]}"

    def asked_since(self, number: str | int | None) -> float:
        """Return since when a request may have been done already, or 0 where it is asked for the first time."""
        return self.again.get(number, 0.0) if number is not None else 0.0


def _caller(start: str, named: Mapping[str, str], parent: int) -> Caller:
    ids = tuple(filter(None, (named.get("COORD_SESSION"), named.get("CLAUDE_CODE_SESSION_ID"))))
    return Caller(Path(start), named.get("COORD_AGENT", ""), Origin(ids, tuple(sessions.ancestors(parent))))


def _session_of(meta: Mapping[str, Any]) -> str:
    """Return the session that a client notes in its requests; one that passes on no environment does."""
    told = meta.get(_CODEX)
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            return ""
    found = told.get("session_id") if isinstance(told, Mapping) else None
    return found if isinstance(found, str) else ""
