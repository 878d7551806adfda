"""Who should get mail addressed to `auto`: a score with its reasons, no guesses.

Evidence, strongest first: a path that lies in somebody's domain, the agent's own name,
a word of the domain, a word of the role. Presence and load only break ties, since the
right agent asleep beats the wrong one awake. A tie that they do not break, or no
evidence at all, is nobody's to decide here.
"""

from collections.abc import Mapping, Sequence

from coord.model import scope
from coord.model.records import Message
from coord.model.regex import regex
from coord.model.values import frozen

_PATH, _NAME, _WORD_IN_SUBJECT, _WORD, _ROLE = 10, 6, 4, 2, 1
_PATH_LIKE = regex(r"[\w.@+-]*(?:/[\w.@+-]+)+|[\w@+-]+\.[A-Za-z]{1,5}\b")
_TOKENS = regex(r"[a-z0-9]+")
_BODY_READ = 8_192
_COMMON = frozenset(("and", "the", "for", "with", "developer", "agent"))


@frozen
class Candidate:
    """An agent as the router sees it; `idle_seconds` is None where nobody has seen it yet."""

    name: str
    role: str = ""
    globs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    unread: int = 0
    idle_seconds: float | None = None


@frozen
class Choice:
    """The agent chosen, or "" where the evidence decides nothing, and why in one line."""

    agent: str
    why: str


def choose(message: Message, candidates: Sequence[Candidate], *, form: scope.Form, awake_within: float) -> Choice:
    """Choose who gets MESSAGE; its sender never does. Deterministic: the same evidence, the same choice."""
    scored: dict[str, tuple[int, tuple[str, ...]]] = {}
    by_name: Mapping[str, Candidate] = {c.name: c for c in candidates if c.name != message.sender}
    for candidate in by_name.values():
        scored[candidate.name] = _evidence(message, candidate, form)
    best = max((score for score, _ in scored.values()), default=0)
    if best == 0:
        return Choice("", "no path, name or word in it belongs to anybody's domain")
    tied = [name for name, (score, _) in scored.items() if score == best]
    ranked = sorted(tied, key=lambda name: (_asleep(by_name[name], awake_within), by_name[name].unread, name))
    first = ranked[0]
    reasons = ", ".join(scored[first][1])
    if len(ranked) == 1:
        return Choice(first, reasons)
    second = by_name[ranked[1]]
    if _asleep(by_name[first], awake_within) < _asleep(second, awake_within):
        return Choice(first, f"{reasons}; awake, unlike {second.name}")
    if by_name[first].unread < second.unread:
        return Choice(first, f"{reasons}; less unread mail than {second.name}")
    return Choice("", f"equally for {' and '.join(ranked)} ({reasons})")


def _asleep(candidate: Candidate, awake_within: float) -> bool:
    return candidate.idle_seconds is None or candidate.idle_seconds > awake_within


def _evidence(message: Message, candidate: Candidate, form: scope.Form) -> tuple[int, tuple[str, ...]]:
    text = f"{message.subject}\n{message.body[:_BODY_READ]}"
    score, reasons = 0, []
    for path in _paths(message, text, form):
        glob = next((glob for glob in candidate.globs if scope.covers(glob, path, form)), None)
        if glob is not None:
            score += _PATH
            reasons.append(f"{path} lies in {glob}")
    subject, everywhere = set(_TOKENS.findall(message.subject.lower())), set(_TOKENS.findall(text.lower()))
    name = set(_TOKENS.findall(candidate.name))
    if name <= everywhere:
        score += _NAME
        reasons.append(f"names {candidate.name}")
    for word in candidate.words:
        tokens = set(_TOKENS.findall(word.lower()))
        if tokens and tokens <= everywhere:
            score += _WORD_IN_SUBJECT if tokens <= subject else _WORD
            reasons.append(f'speaks of "{word}"')
    role = set(_TOKENS.findall(candidate.role.lower())) - name - _COMMON
    if shared := sorted(word for word in role & everywhere if len(word) > 2):
        score += _ROLE * len(shared)
        reasons.append(f'role has "{shared[0]}"')
    return score, tuple(reasons)


def _paths(message: Message, text: str, form: scope.Form) -> tuple[str, ...]:
    named = [ref.removeprefix("path:") for ref in message.refs if ref.startswith("path:")]
    named += _PATH_LIKE.findall(text)
    found: dict[str, None] = {}
    for candidate in named[:64]:
        try:
            found[scope.normalise(candidate.strip("./") or candidate, form)] = None
        except ValueError:
            continue
    return tuple(found)
