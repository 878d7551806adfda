"""What a relay says of its assistant when it comes: where it stands, who it is, and what it asks for again."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coord.faces.mcp.calls import Caller


@dataclass(frozen=True, slots=True)
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
        return cls(Caller(Path(start), named.get("COORD_AGENT", "")), named.get("RELAY", ""), again)

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
