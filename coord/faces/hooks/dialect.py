"""What coord answers, in the words of each client.

Only exit 2 or a JSON denial keeps a tool from running: exit 1, a crash or a timeout lets it
through. Claude and Codex read the same shapes; Gemini takes JSON alone on its output. All
of them cut what is longer than 10,000 characters.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from coord.faces.hooks.payload import Hooked
from coord.model.values import frozen
from coord.thin import wait

MOST = 10_000
_ROOM = 200
_CUT = "\n… the rest is left out: coord checkpoint restore, coord mail list\n"


@dataclass(slots=True)
class Answer:
    """What to tell the client: at most one `refusal`; `delivered` is done once the client has the answer.

    To one that waits beside a session: `waits` is what to wait at, `wakes` what the client is to be woken with.
    """

    refusal: str = ""
    goes_on: str = ""
    context: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    waits: tuple[str, ...] = ()
    wakes: str = ""
    delivered: list[Callable[[], None]] = field(default_factory=list)


@frozen
class Reply:
    """The answer as the hook's process gives it; `refusal` goes to stderr with exit 2 where `out` cannot be written."""

    status: int = 0
    out: bytes = b""
    err: bytes = b""
    refusal: bytes = b""

    @property
    def fields(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The same as `thin/hook.py` takes it."""
        return str(self.status).encode(), self.out, self.err, self.refusal


def written(hooked: Hooked, answer: Answer) -> Reply:
    """Return ANSWER in the dialect of the client that was HOOKED."""
    if answer.waits:
        return Reply(wait.KEEP, os.fsencode("\0".join(answer.waits)))
    if answer.wakes:
        return Reply(2, b"", _bytes(f"{answer.wakes}\n"))
    told = _told(hooked, answer, "\n".join(answer.context))
    if len(_json(told)) > MOST:
        told = _shortened(hooked, answer)
    out = _json(told) if told else ""
    err = "".join(f"coord hook: {fault}\n" for fault in answer.faults)
    return Reply(0, _bytes(out), _bytes(err), _bytes(answer.refusal or answer.goes_on))


def _told(hooked: Hooked, answer: Answer, context: str) -> dict[str, object]:
    told: dict[str, object] = {}
    inside: dict[str, object] = {}
    if answer.refusal and hooked.client == "gemini":
        told |= {"decision": "deny", "reason": answer.refusal}
    elif answer.refusal:
        inside |= {"permissionDecision": "deny", "permissionDecisionReason": answer.refusal}
    elif answer.goes_on:
        told |= {"decision": "deny" if hooked.client == "gemini" else "block", "reason": answer.goes_on}
    elif context and _is_heard(hooked):
        inside["additionalContext"] = context
    spoken = [] if not context or _is_heard(hooked) else [context]
    if inside:
        told["hookSpecificOutput"] = {"hookEventName": hooked.name, **inside}
    if spoken or answer.faults:
        told["systemMessage"] = "\n".join((*spoken, *(f"coord hook: {fault}" for fault in answer.faults)))
    return told


def _is_heard(hooked: Hooked) -> bool:
    """Tell whether the model is shown what is added at this event; a person is, everywhere."""
    heard = ("started", "asked", "after tool")
    return hooked.event in heard or (hooked.event == "before tool" and hooked.client == "claude")


def _shortened(hooked: Hooked, answer: Answer) -> dict[str, object]:
    """Return what is told in as many characters as the client takes, cut at the end of a line."""
    answer = Answer(
        refusal=_cut(answer.refusal, 3_000),
        goes_on=_cut(answer.goes_on, MOST - _ROOM),
        faults=[_cut(fault, 300) for fault in answer.faults[:5]],
        context=answer.context,
    )
    context = "\n".join(answer.context)
    room = MOST
    while len(_json(told := _told(hooked, answer, _cut(context, room)))) > MOST and room > _ROOM:
        room = room * 4 // 5
        answer.goes_on = _cut(answer.goes_on, room)
    return told


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: max(most - len(_CUT), 0)].rpartition(chr(10))[0] or text[: most - len(_CUT)]}{_CUT}"


def _json(told: dict[str, object]) -> str:
    return json.dumps(told, ensure_ascii=False)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
