"""The trailers of a commit in a code branch that tell under which leases its changes were made.

`Coord-Lease: 42 src/billing/**` has a fencing token, and for people the scope, percent-encoded;
one too long for a line of a commit message is left out. `Coord-Agent: backend` says whose.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

from coord.model import keys
from coord.model.regex import regex

MOST = 64
_LONGEST = 72
_LEASE = regex(r"^[ \t]*Coord-Lease: ([0-9]{1,15})(?: \S*)?[ \t]*$", re.MULTILINE)
_AGENT = regex(r"^[ \t]*Coord-Agent: (\S+)[ \t]*$", re.MULTILINE)
_BY_COORD = ("owner",)


def written(agent: str, leases: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Return the trailers for AGENT's LEASES, (token, scope) each, the oldest first; none where there are none.

    Of more than 64 the oldest are named: what the rest covers is judged by the commit's time.
    """
    lines = lines_of(leases)
    return (*lines, f"Coord-Agent: {agent}") if lines else ()


def lines_of(leases: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Return the trailers for LEASES, (token, scope) each, the oldest first, without saying whose."""
    return tuple(_lease(token, scope) for token, scope in sorted(set(leases))[:MOST])


def tokens(message: str) -> tuple[int, ...]:
    """Return the tokens that a commit message names, wherever: a squashed one holds those of several."""
    return tuple(dict.fromkeys(int(digits) for digits in _LEASE.findall(message)))


def agent(message: str) -> str:
    """Return the agent that a commit message names, the last one, or "" where it is nobody's name."""
    *_, name = ["", *_AGENT.findall(message)]
    return name if keys.is_agent_name(name) or name in _BY_COORD else ""


def _lease(token: int, scope: str) -> str:
    named = quote(scope.encode(errors="replace"), safe="/*")
    return f"Coord-Lease: {token} {named}" if len(named) <= _LONGEST else f"Coord-Lease: {token}"
