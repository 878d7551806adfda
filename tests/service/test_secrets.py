"""No credential enters the ledger: after each refusal none of its bytes is anywhere below `.git`."""

import os
import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import credentials
import mutants_secrets
import pytest
import tiers
from support import git

from coord.faces import cli
from coord.main import tree
from coord.model.errors import Corrupt, HoldsSecret, Refused, TimedOut
from coord.service import checkpoints, decisions, delivery, locks, mail, merges, verify
from coord.service.byhand import adopt
from coord.service.command import Prose
from coord.service.coord import Coord

Open = Callable[..., Coord]
Attempt = Callable[[Coord, str], object]


def secret(name: str = "github-token") -> str:
    """Return a credential that is like no other of this run."""
    made = credentials.made(random.Random(f"{tiers.seed()}{name}").randrange(1 << 32))
    return next(text for rule, text in made if rule == name)


def below_git(repo: Path) -> bytes:
    """Return every byte that git, the journal, the index or a log holds."""
    every = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    objects = subprocess.run(every, cwd=repo, check=True, capture_output=True).stdout
    files = [path.read_bytes() for path in sorted((repo / ".git").rglob("*")) if path.is_file()]
    return b"\n".join((objects, *files))


def holds(data: bytes, text: str) -> bool:
    """Tell whether DATA has TEXT, in any letter case and as UTF-16 too."""
    return any(form in data.lower() for form in (text.lower().encode(), text.lower().encode("utf-16-le")))


def records(repo: Path) -> bytes:
    """Return every byte of the live folders, but for what is withheld."""
    found = [
        path
        for folder in ("inbox", "locks", "checkpoints")
        for path in (repo / folder).rglob("*")
        if path.is_file() and "withheld" not in path.parts
    ]
    return b"\n".join(str(path).encode(errors="surrogateescape") + path.read_bytes() for path in found)


def merge_request(coord: Coord, **texts: Any) -> object:
    git(coord.home, "branch", "-f", "agent/backend")
    tip = git(coord.home, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "work")
    git(coord.home, "branch", "-f", "agent/backend", tip)
    return merges.request(coord, branch="agent/backend", **texts)


def reply(coord: Coord, text: str) -> object:
    other = Coord.open(coord.home, who="frontend")
    first = mail.send(other, ("backend",), Prose("a question")).message
    other.settle()
    return mail.reply(coord, first.id, Prose(f"the answer\n\nis {text}"))


def outcome(coord: Coord, text: str) -> object:
    made = decisions.record(coord, "where", Prose("here")).decision
    return decisions.outcome(coord, made.id, Prose(text))


def broken(coord: Coord, text: str) -> object:
    locks.acquire(coord, ("web_app/x.js",))
    boss = Coord.open(coord.home, who="owner")
    return locks.break_(boss, "web_app/x.js", reason=f"since {text}")


ATTEMPTS: dict[str, Attempt] = {
    "mail body": lambda coord, text: mail.send(coord, ("frontend",), Prose(f"hello\n\n  use {text}\n")),
    "mail subject": lambda coord, text: mail.send(coord, ("all",), Prose("hello"), subject=f"with {text}"),
    "mail ref": lambda coord, text: mail.send(coord, ("frontend",), Prose("hello"), ref=("path:x", f"task:{text}")),
    "mail cause": lambda coord, text: mail.send(coord, ("frontend",), Prose("hello"), cause=(text,)),
    "mail with a key": lambda coord, text: mail.send(coord, ("frontend",), Prose(f"use {text}"), key="once"),
    "reply": reply,
    "lock note": lambda coord, text: locks.acquire(coord, ("web_app/x.js",), note=f"with {text}"),
    "lock scope": lambda coord, text: locks.acquire(coord, (f"web_app/{text}",)),
    "lock break": broken,
    "checkpoint summary": lambda coord, text: checkpoints.save(coord, Prose(f"logged in by {text}")),
    "checkpoint next": lambda coord, text: checkpoints.save(coord, Prose("x"), next=("one", f"use {text}")),
    "checkpoint title": lambda coord, text: checkpoints.save(coord, Prose("x"), title=text),
    "checkpoint task": lambda coord, text: checkpoints.save(coord, Prose("x"), task=text),
    "checkpoint session": lambda coord, text: checkpoints.save(coord, Prose("x"), session=text),
    "checkpoint touched": lambda coord, text: checkpoints.save(coord, Prose("x"), touched=(text,)),
    "decision about": lambda coord, text: decisions.record(coord, f"where {text}", Prose("here")),
    "decision choice": lambda coord, text: decisions.record(coord, "where", Prose(f"here {text}")),
    "decision why": lambda coord, text: decisions.record(coord, "where", Prose("here"), why=Prose(f"why\n{text}")),
    "decision outcome": outcome,
    "merge title": lambda coord, text: merge_request(coord, title=f"with {text}"),
    "merge body": lambda coord, text: merge_request(coord, body=Prose(f"with {text}")),
}


def check_refused(repo: Path, coord: Coord, *, name: str) -> None:
    """See that what a command is given is refused, told without the secret, and kept nowhere."""
    text = secret()
    with pytest.raises(HoldsSecret) as caught:
        ATTEMPTS[name](coord, text)
    told = f"{caught.value.message} {caught.value.hint} {caught.value.facts}"
    assert text[:5] not in told, told
    assert "github-token" in told and "line" in told
    coord.settle()
    assert not holds(below_git(repo), text)
    assert not holds(records(repo), text)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_command_records_one(repo: Path, coord_for: Open, name: str) -> None:
    check_refused(repo, coord_for("backend"), name=name)


@pytest.mark.parametrize("rule", ["private-key", "password-in-url", "jwt", "slack-webhook"])
def test_nor_one_of_another_shape(repo: Path, coord_for: Open, rule: str) -> None:
    coord, text = coord_for("backend"), secret(rule)
    with pytest.raises(HoldsSecret) as caught:
        mail.send(coord, ("frontend",), Prose(f"hello\n{text}\n"))
    assert caught.value.facts["rule"] == rule
    coord.settle()
    assert not holds(below_git(repo), text.splitlines()[-1])


def test_its_place_is_named(coord_for: Open) -> None:
    text = secret()
    with pytest.raises(HoldsSecret, match=r"^body, line 3, column 5: .*\(github-token: gh._… \(40 characters\)\)"):
        mail.send(coord_for("backend"), ("frontend",), Prose(f"hello\n\nuse {text}"), subject="hello")
    with pytest.raises(HoldsSecret, match=r"^next, line 1, column 1"):
        checkpoints.save(coord_for("backend"), Prose("x"), next=(text,))
    with pytest.raises(HoldsSecret, match=r"^refs, line 1, column 6"):
        mail.send(coord_for("backend"), ("frontend",), Prose("x"), ref=(f"task:{text}",))


WRITTEN: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "body": ("note.md", lambda text: f"---\nfrom: backend\nto: frontend\n---\nuse {text}\n".encode()),
    "no front matter": ("note.md", lambda text: f"# hello\n\nuse {text}\n".encode()),
    "front matter": ("note.md", lambda text: f"---\nfrom: backend\nkeys: [a, {text}]\n---\nhello\n".encode()),
    "key of front matter": ("note.md", lambda text: f"---\nfrom: backend\n{text}: x\n---\nhello\n".encode()),
    "comment": ("note.md", lambda text: f"---\nfrom: backend\nto: nobody # {text}\n---\nhello\n".encode()),
    "sender": ("note.md", lambda text: f"---\nfrom: {text}\n---\nhello\n".encode()),
    "recipient": ("note.md", lambda text: f"---\nfrom: backend\nto: {text}\n---\nhello\n".encode()),
    "unreadable": ("note.md", lambda text: f"---\nfrom: [backend\n---\n{text}\xff".encode("latin-1")),
    "UTF-16": ("note.md", lambda text: f"hello {text}".encode("utf-16")),
    "cut by what is not shown": ("note.md", lambda text: f"---\nsubject: {text[:9]}\u200b{text[9:]}\n---\nx".encode()),
    "name": ("{}.md", lambda _: b"hello\n"),
    "name and body": ("{}", lambda text: f"---\nfrom: [x\n---\n{text}".encode()),
}


def drop(repo: Path, place: str, data: bytes) -> None:
    path = repo / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1_700_000_000, 1_700_000_000))


def check_withheld(repo: Path, coord: Coord, *, name: str, mailbox: str = "frontend") -> None:
    """See that a hand-written file is set aside, told of without the secret, and committed by nothing later."""
    text = secret()
    place, data = WRITTEN[name]
    written = data(text)
    drop(repo, f"inbox/{mailbox}/{place.format(text)}", written)
    assert adopt.adopt_waiting(coord) == 1
    coord.settle()
    told = mail.list_(coord, mailbox_="owner").items
    assert [item.message.subject.startswith("a credential in ") for item in told] == [True]
    assert "github-token" in told[0].message.body and text[:9] not in told[0].message.body
    (kept,) = (repo / adopt.WITHHELD).iterdir()
    assert kept.read_bytes() == written
    assert kept.name in told[0].message.body
    assert verify.verify(coord, commit=True, deep=True).ok
    assert verify.verify(coord).ok
    assert adopt.adopt_waiting(coord) == 0
    for half in (text, text[9:]):
        assert not holds(below_git(repo), half)
        assert not holds(records(repo), half)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_by_hand_is_withheld(repo: Path, coord_for: Open, name: str) -> None:
    check_withheld(repo, coord_for("owner"), name=name)


def test_also_where_it_would_reach_many_and_its_author_is_told(repo: Path, coord_for: Open) -> None:
    check_withheld(repo, coord_for("owner"), name="body", mailbox="all")
    (item,) = mail.list_(coord_for("backend")).items
    assert "line 1, column 5" in item.message.body
    assert mail.list_(coord_for("security")).unread == 0


def test_a_complete_message_in_all_is_withheld_too(repo: Path, coord_for: Open) -> None:
    coord, text = coord_for("owner"), secret()
    made = mail.send(coord, ("frontend",), Prose("hello")).message
    source = repo / f"inbox/frontend/{made.id}-hello.md"
    drop(repo, f"inbox/all/{made.id}-hello.md", source.read_bytes() + text.encode())
    assert adopt.forward(coord, f"inbox/all/{made.id}-hello.md")
    coord.settle()
    assert not holds(below_git(repo), text)
    assert len(list((repo / adopt.WITHHELD).iterdir())) == 1
    assert verify.verify(coord).ok


def test_a_record_put_there_by_hand_keeps_nothing_else_from_being_read(repo: Path, coord_for: Open) -> None:
    coord, text = coord_for("owner"), secret()
    made = mail.send(coord, ("frontend",), Prose("hello")).message
    source = (repo / f"inbox/frontend/{made.id}-hello.md").read_bytes()
    other = coord.new_id()
    drop(repo, f"inbox/frontend/{other}-key.md", source.replace(made.id.encode(), other.encode()) + text.encode())
    frontend = coord_for("frontend")
    assert {item.message.id for item in mail.read(frontend).items} == {made.id, other}
    assert [item.message.id for item in mail.list_(frontend).items] == [other]
    frontend.settle()
    assert not holds(below_git(repo), text)


def check_edit_is_refused(repo: Path, coord: Coord) -> None:
    """See that a record into which hands wrote a credential is not recorded as it is."""
    text = secret()
    made = mail.send(coord, ("frontend",), Prose("hello")).message
    coord.settle()
    path = repo / f"inbox/frontend/{made.id}-hello.md"
    path.write_bytes(path.read_bytes() + f"\nuse {text}\n".encode())
    with suppress(HoldsSecret):  # it refuses, or leaves the record out
        assert verify.reconcile(coord, verify.drift(coord)) == 0
    coord.settle()
    assert not holds(below_git(repo), text)
    with pytest.raises(HoldsSecret):
        mail.ack(Coord.open(repo, who="frontend"), (made.id,))
    assert not holds(below_git(repo), text)


def test_what_hands_wrote_into_a_record_is_not_recorded(repo: Path, coord_for: Open) -> None:
    check_edit_is_refused(repo, coord_for("backend"))


def test_only_the_owner_lets_one_pass_and_the_ledger_says_so(repo: Path, coord_for: Open) -> None:
    text = secret()
    with pytest.raises(Refused, match="only the owner may"):
        coord_for("backend").screen.allow("backend")
    boss = coord_for("owner")
    boss.screen.allow(boss.me())
    made = mail.send(boss, ("frontend",), Prose(f"use {text}"), subject="the key").message
    boss.settle()
    assert "Coord-Allowed-Secret: github-token" in git(repo, "log", "-1", "--format=%B", "coord/ledger")
    mail.send(boss, ("frontend",), Prose("hello"))
    boss.settle()
    assert "Allowed-Secret" not in git(repo, "log", "-1", "--format=%B", "coord/ledger")
    # It is in the ledger now: its reader may read, move and answer it, others may not say another one.
    reader = coord_for("frontend")
    mail.reply(reader, made.id, Prose("thank you"))
    assert mail.list_(reader).unread == 1
    assert verify.verify(reader).ok
    with pytest.raises(HoldsSecret):
        mail.send(reader, ("backend",), Prose(f"use {text[:-4]}ABCD"))


def test_a_rule_that_is_wrong_here_can_be_switched_off(repo: Path, coord_for: Open) -> None:
    config = repo / ".coord.yaml"
    config.write_text(f"{config.read_text()}secrets: {{allow: [github-token]}}\n")
    coord = coord_for("backend")
    mail.send(coord, ("frontend",), Prose(f"use {secret()}"))
    with pytest.raises(HoldsSecret):
        mail.send(coord, ("frontend",), Prose(f"use {secret('npm-token')}"))


def test_coords_own_words_are_redacted(coord_for: Open) -> None:
    text = secret()
    word = delivery.notice(coord_for("backend"), "owner", f"lost {text}", f"the test printed\n{text}\n")
    assert (word.subject, word.body) == ("lost [github-token]", "the test printed\n[github-token]\n")
    event = coord_for("backend").event("watch.failed", f"Adopt({text})", agent=delivery.COORD, why=text)
    assert (event.subject, event.facts["Why"]) == ("Adopt([github-token])", "[github-token]")


def test_on_the_command_line(repo: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = secret()
    monkeypatch.chdir(repo)

    def run(*words: str) -> tuple[int, str]:
        status = cli.run(tree(), list(words))
        told = capfd.readouterr()
        return status, told.out + told.err

    send = ("mail", "send", "frontend", f"use {text}", "--subject", "x")
    for words in (send, (*send, "--json"), (*send, "--allow-secret")):
        status, told = run("--as", "backend", *words)
        assert status == 4
        assert text[:5] not in told
    assert run("mail", "list", "--as", "owner", "--allow-secret")[0] == 2
    assert run(*send, "--as", "owner", "--allow-secret")[0] == 0
    assert text in run("mail", "read", "--as", "frontend")[1]


def test_waiting_keeps_none_either(repo: Path, coord_for: Open) -> None:
    text = secret()
    locks.acquire(coord_for("frontend"), ("web_app/x.js",))
    with pytest.raises(TimedOut):
        locks.acquire(coord_for("backend"), ("web_app/x.js",), note=text, wait=timedelta(milliseconds=50))
    assert not holds(below_git(repo), text)


CHECKS: dict[str, Callable[[Path, Coord], None]] = {
    **{name: partial(check_refused, name=name) for name in ("mail body", "mail cause", "lock break", "lock scope")},
    **{f"by hand: {name}": partial(check_withheld, name=name) for name in ("body", "name", "unreadable", "UTF-16")},
    "edited": check_edit_is_refused,
}


@pytest.mark.parametrize(("mutant", "check"), mutants_secrets.CAUGHT_BY)
def test_every_mutant_is_caught(
    repo: Path, coord_for: Open, monkeypatch: pytest.MonkeyPatch, mutant: str, check: str
) -> None:
    coord = coord_for("owner" if check.startswith("by hand") else "backend")
    mutants_secrets.SERVICE[mutant](monkeypatch)
    with pytest.raises((AssertionError, HoldsSecret, Corrupt, pytest.fail.Exception)):
        CHECKS[check](repo, coord)


def test_every_mutant_has_a_check() -> None:
    assert {mutant for mutant, _ in mutants_secrets.CAUGHT_BY} == set(mutants_secrets.SERVICE)
