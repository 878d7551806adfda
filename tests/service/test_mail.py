"""Mail through the service, on real files and real git."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support import eventually, git

from coord.model import keys
from coord.model.errors import NotFound, TimedOut, UnknownAgent, Usage
from coord.service import mail
from coord.service.command import Prose
from coord.service.coord import Coord

Open = Callable[..., Coord]


def test_a_message_is_in_the_mailbox_and_in_the_ledger(repo: Path, coord_for: Open) -> None:
    with coord_for("backend") as coord:
        sent = mail.send(coord, ("frontend",), Prose("# API changed\n\nuse Customers\n"))
    assert sent.delivered == ("frontend",)
    file = repo / keys.message("frontend", sent.message)
    assert file.read_text().endswith("# API changed\n\nuse Customers\n")
    assert git(repo, "log", "-1", "--format=%an|%s", "coord/ledger") == "backend|mail: backend -> frontend: API changed"
    assert git(repo, "show", f"coord/ledger:{file.relative_to(repo)}") == file.read_text().strip()


def test_peeking_never_consumes_and_reading_does(coord_for: Open) -> None:
    mail.send(coord_for("backend"), ("frontend",), Prose("hello"))
    me = coord_for("frontend")
    for _ in range(2):
        assert [item.message.body for item in mail.list_(me).items] == ["hello"]
        mail.show(me, mail.list_(me).items[0].message.id)
    assert [item.message.body for item in mail.read(me).items] == ["hello"]
    assert mail.list_(me).unread == 0
    assert mail.list_(me, read=True).items[0].unread is False


def test_what_requires_an_acknowledgement_stays_until_it_has_it(coord_for: Open) -> None:
    sent = mail.send(coord_for("backend"), ("frontend",), Prose("must"), ack="required")
    me = coord_for("frontend")
    mail.read(me)
    assert mail.list_(me).unread == 1
    for _ in range(2):
        mail.ack(me, (sent.message.id[-8:],))
    assert mail.list_(me).unread == 0
    assert mail.show(me, sent.message.id).read_by == ("frontend",)


def test_copies_are_byte_identical_and_one_blob(repo: Path, coord_for: Open) -> None:
    with coord_for("backend") as coord:
        sent = mail.send(coord, ("all",), Prose("to everyone"))
    assert sent.delivered == ("frontend", "security", "pm-architect")
    copies = {(repo / keys.message(name, sent.message)).read_bytes() for name in sent.delivered}
    assert len(copies) == 1
    listed = git(repo, "ls-tree", "-r", "coord/ledger", "--", "inbox").splitlines()
    assert len({line.split()[2] for line in listed if sent.message.id in line}) == 1


def test_groups_owner_and_several(coord_for: Open) -> None:
    coord = coord_for("backend")
    assert mail.send(coord, ("@web",), Prose("x")).delivered == ("frontend",)
    assert mail.send(coord, ("owner", "security"), Prose("x")).delivered == ("owner", "security")


def test_an_unknown_address_sends_nothing_and_names_the_nearest(repo: Path, coord_for: Open) -> None:
    with pytest.raises(UnknownAgent) as caught:
        mail.send(coord_for("backend"), ("frontend", "fronted"), Prose("x"))
    assert "frontend" in caught.value.hint
    assert mail.list_(coord_for("frontend")).unread == 0


@pytest.mark.parametrize(
    ("body", "chosen"),
    [
        ("please look at apps_script/chefs.js", "backend"),
        ("web_app/index.html is broken", "frontend"),
        ("the secrets leak", "security"),
        ("what shall we have for lunch?", "pm-architect"),
    ],
)
def test_auto_goes_where_the_evidence_says_and_the_ledger_says_why(
    repo: Path, coord_for: Open, body: str, chosen: str
) -> None:
    with coord_for("owner") as coord:
        sent = mail.send(coord, ("auto",), Prose(body))
    assert sent.delivered == (chosen,)
    assert sent.why in git(repo, "log", "-1", "--format=%B", "coord/ledger")


def test_the_same_key_sends_once_even_when_read_and_from_many_processes(repo: Path, coord_for: Open) -> None:
    command = [
        sys.executable,
        "-m",
        "coord",
        "--repo",
        str(repo),
        "--as",
        "backend",
        "mail",
        "send",
        "frontend",
        "once",
    ]
    running = [subprocess.Popen([*command, "--key", "k1"], stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    me = coord_for("frontend")
    assert mail.list_(me).unread == 1
    mail.read(me)
    me.settle()
    again = mail.send(coord_for("backend"), ("frontend",), Prose("once"), key="k1")
    assert again.duplicate
    assert mail.list_(me).unread == 0
    assert not mail.send(coord_for("security"), ("frontend",), Prose("other"), key="k1").duplicate


def test_a_key_may_hold_half_a_character(coord_for: Open) -> None:
    coord = coord_for("backend")
    first, again = (mail.send(coord, ("frontend",), Prose("hello"), key="\udc80") for _ in range(2))
    assert (again.duplicate, again.message.id) == (True, first.message.id)


def test_a_thread_and_its_replies(coord_for: Open) -> None:
    first = mail.send(coord_for("backend"), ("frontend",), Prose("question?"), subject="Q").message
    answer = mail.reply(coord_for("frontend"), first.id[-6:], Prose("answer!"))
    assert answer.delivered == ("backend",)
    assert answer.message.subject == "Re: Q"
    assert mail.list_(coord_for("frontend")).unread == 0, "answering acknowledges"
    thread = mail.thread(coord_for("owner"), answer.message.id)
    assert [message.body for message in thread.messages] == ["question?", "answer!"]


def test_a_message_that_left_the_folders_is_still_shown(repo: Path, coord_for: Open) -> None:
    with coord_for("backend") as coord:
        sent = mail.send(coord, ("frontend",), Prose("gone"))
    (repo / keys.message("frontend", sent.message)).unlink()
    found = mail.show(coord_for("owner"), sent.message.id)
    assert found.retired
    assert found.message == sent.message


def test_wait_returns_when_mail_comes_from_another_process(repo: Path, coord_for: Open) -> None:
    me = coord_for("frontend")
    got: list[mail.Listing] = []
    waiter = threading.Thread(target=lambda: got.append(mail.wait(me, timeout=timedelta(seconds=20))))
    waiter.start()
    eventually(lambda: list((me.private / "bells").glob("*/*.fifo")), what="the waiter listens")
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "coord", "--repo", str(repo), "--as", "backend", "mail", "send", "frontend", "wake"],
        check=True,
    )
    waiter.join(10)
    assert got
    assert got[0].items[0].message.body == "wake"
    assert time.monotonic() - began < 10


def test_wait_finds_whom_it_waits_for_behind_any_number_of_others(coord_for: Open) -> None:
    with coord_for("backend") as others, coord_for("security") as one:
        for _ in range(101):
            mail.send(others, ("frontend",), Prose("other"))
        sent = mail.send(one, ("frontend",), Prose("this"))
    for named in ({"from_": "security"}, {"thread": sent.message.id}):
        got = mail.wait(coord_for("frontend"), timeout=timedelta(milliseconds=50), **named)
        assert [item.message.body for item in got.items] == ["this"] and got.unread == 102


def test_wait_gives_up(coord_for: Open) -> None:
    with pytest.raises(TimedOut):
        mail.wait(coord_for("frontend"), timeout=timedelta(milliseconds=50))


def test_faults_name_the_thing(coord_for: Open) -> None:
    coord = coord_for("backend")
    with pytest.raises(NotFound, match="01ABCDEF"):
        mail.show(coord, "01ABCDEF")
    with pytest.raises(Usage, match="more than a message may have"):
        mail.send(coord, ("frontend",), Prose("x" * 300_000))
    with pytest.raises(UnknownAgent):
        mail.send(coord_for("nobody"), ("frontend",), Prose("x"))


def test_mail_waits_for_the_ledger_of_a_killed_sender(repo: Path, coord_for: Open) -> None:
    coord = coord_for("backend")
    mail.send(coord, ("frontend",), Prose("durable"))
    assert "durable" not in git(repo, "log", "--format=%s", "coord/ledger")
    with coord_for("security") as other:
        mail.send(other, ("frontend",), Prose("next"))
    subjects = git(repo, "log", "-2", "--format=%an %s", "coord/ledger").splitlines()
    assert subjects == ["security mail: security -> frontend: next", "backend mail: backend -> frontend: durable"]
