"""How each step of the story is done, for real: one function for each word of `steps.py`."""

import os
import time
from functools import singledispatch

from demo import steps
from demo.player import Player, Unfinished, tell

_NOTICED = 1.0


@singledispatch
def do(step: object, me: Player) -> None:
    """Do one step as ME."""
    raise TypeError(f"{me.name} cannot do {step!r}")


@do.register
def _send(step: steps.Send, me: Player) -> None:
    refusal = "unknown_agent" if step.nobody else ""
    done = me.coord("mail", "send", step.to, step.body, "--subject", step.subject, *step.options, refusal=refusal)
    if step.nobody:
        me.refused(done, refusal)
        return
    me.fact("sent", id=done["message"]["id"], delivered=done["delivered"])
    if done["why"]:
        me.say(f"learns that its mail to auto went to {', '.join(done['delivered'])}: {done['why']}")


@do.register
def _drop(step: steps.Drop, me: Player) -> None:
    me.say(f"writes inbox/{step.folder}/{step.name} by hand")
    (me.tree / "inbox" / step.folder / step.name).write_text(step.text, encoding="utf-8")
    me.fact("dropped", subject=step.subject, reaches=step.reaches)


@do.register
def _look(step: steps.Letter, me: Player) -> None:
    me.letter = me.await_letter(step.words)


@do.register
def _answer(step: steps.Answer, me: Player) -> None:
    found = me.coord("mail", "wait", "--from", step.sender, "--timeout", "40s")
    done = me.coord("mail", "reply", found["items"][0]["message"]["id"], step.body)
    me.fact("sent", id=done["message"]["id"], delivered=done["delivered"])


@do.register
def _ack(_step: steps.Ack, me: Player) -> None:
    me.coord("mail", "ack", me.letter[:26])


@do.register
def _put_away(_step: steps.PutAway, me: Player) -> None:
    names = me.letters()
    for name in names:
        (me.inbox / name).rename(me.inbox / "read" / name)
    count = "one letter" if len(names) == 1 else f"{len(names)} letters"
    me.say(f"has read {count} and moves what it read to inbox/{me.name}/read/ by hand")
    me.fact("put away", names=names)


@do.register
def _read(_step: steps.ReadAll, me: Player) -> None:
    me.coord("mail", "read")


@do.register
def _take(step: steps.Take, me: Player) -> None:
    wanted = {
        "--note": step.note,
        "--ttl": step.ttl,
        "--wait": step.wait,
        "--pid": str(os.getpid()) if step.mine else "",
    }
    options = [piece for name, value in wanted.items() if value for piece in (name, value)]
    refusal = "lease_held" if step.held else "would_deadlock" if step.else_give else ""
    if step.wait:
        me.say(f"asks for {' and '.join(step.scopes)}, and queues for it")
    begun = time.monotonic()
    done = me.coord("lock", "acquire", *step.scopes, *options, refusal=refusal)
    waited = time.monotonic() - begun
    if "error" in done or step.held:
        me.refused(done, refusal)
        if step.else_give:
            me.say(f"gives {step.else_give} back and asks for both together, as it was told")
            me.coord("lock", "release", step.else_give)
            _take(steps.Take((step.else_give, *step.scopes), step.note, step.ttl, step.wait), me)
        return
    me.fact("held", tokens=[lock["token"] for lock in done["locks"]])
    if step.wait and waited > _NOTICED:
        me.say(f"has it, after {waited:.1f} s in the queue", "good")


@do.register
def _give(_step: steps.Give, me: Player) -> None:
    me.coord("lock", "release")


@do.register
def _check(step: steps.Check, me: Player) -> None:
    verdict = me.coord("lock", "check", step.path)["verdicts"][0]
    held = ", ".join(f"{lock['holder']} holds {lock['scope']} (token {lock['token']})" for lock in verdict["held_by"])
    me.say(f"may I write {step.path}? {f'no: {held}' if held else 'yes'}")
    me.fact("checked", held=bool(held))


@do.register
def _edit(step: steps.Edit, me: Player) -> None:
    file = me.tree / step.path
    text = file.read_text(encoding="utf-8")
    if step.old not in text:
        raise Unfinished(f"{file} has no {step.old!r}")
    file.write_text(text.replace(step.old, step.new) if step.old else f"{text}{step.new}\n", encoding="utf-8")
    change = f"{step.old} becomes {step.new}" if step.old else f"+ {step.new}"
    me.say(f"edits {step.path}: {change}", "dim")


@do.register
def _commit(step: steps.Commit, me: Player) -> None:
    me.git("commit", "--quiet", "--all", "--message", step.message, *(["--amend"] if step.amend else []))
    me.say(f"{'amends' if step.amend else 'commits'} {me.git('rev-parse', '--short', 'HEAD')} {step.message}")


@do.register
def _ask_merge(step: steps.AskMerge, me: Player) -> None:
    asked = me.coord("merge", "request", "--title", step.title)
    letter = me.await_letter(f"merged-{me.branch.replace('/', '-')}", after=asked["id"])
    landed = "-not-merged-" not in letter
    me.fact("merge", head=asked["head"], branch=me.branch, outcome=step.outcome, landed=landed)
    if landed != (step.outcome == "landed"):
        raise Unfinished(f"the merge of {me.branch} should have ended as {step.outcome}, not so: {letter}")
    if not landed:
        lines = (me.inbox / letter).read_text(encoding="utf-8").splitlines()
        subject = next(line for line in lines if line.startswith("subject:"))
        told = subject.removeprefix("subject:").strip(" '\"")
        me.say(f"is told by mail: {told}", "bad")


@do.register
def _save(step: steps.Save, me: Player) -> None:
    me.coord("checkpoint", "save", step.words, *(piece for one in step.next for piece in ("--next", one)))


@do.register
def _restore(_step: steps.Restore, me: Player) -> None:
    brief = me.coord("checkpoint", "restore")
    first, *rest = [line for line in brief["text"].splitlines() if line.strip()]
    me.say(f"is back, in a new process (pid {os.getpid()}), and restores {first.strip('# ')}", "good")
    for line in rest[:5]:
        me.say(f"  {line}", "dim")
    me.fact("restored", checkpoint=brief["checkpoint"])


@do.register
def _decide(step: steps.Decide, me: Player) -> None:
    done = me.coord("decision", "record", step.about, step.choice, "--why", step.why, "--confidence", "0.8")
    me.decision = done["decision"]["id"]


@do.register
def _outcome(step: steps.Outcome, me: Player) -> None:
    me.coord("decision", "outcome", me.decision, step.words)
    me.fact("decided", id=me.decision)


@do.register
def _mark(step: steps.Mark, me: Player) -> None:
    (me.marks / step.name).touch()
    tell(mark=step.name)


@do.register
def _after(step: steps.After, me: Player) -> None:
    me.until((me.marks / step.name).exists, f"the mark {step.name!r}")


@do.register
def _pause(step: steps.Pause, _me: Player) -> None:
    time.sleep(step.seconds)
