"""Commands that the daemon answers: the same bytes as of a process that loads everything, or no answer at all."""

import difflib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import bothways
import hooking
import pytest
import tiers
from bothways import NOT_SERVED, Came, Run, Runner
from support import eventually, git

from coord.daemon import door
from coord.faces import meter, served
from coord.faces.mcp import tools
from coord.model import times
from coord.service import checkpoints, commands, decisions, locks, mail, merges, worktrees
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.thin import command, reach

As = Callable[..., Coord]
_MOMENT = re.compile(
    r'"(at|age|left|seen_at|idle|oldest)": .*|(?<![0-9])[0-9]+s\b'
)  # when a command looked, and how long ago something was
_NASTY = "\x1b[31mred\x1b[0m \u202e right to left, ünïcödé 日本 \x07\nsecond line > quoted\n"
_WORDS = {
    "mail show": "{mail}",
    "mail thread": "{mail}",
    "lock check": "apps_script/chefs.js web_app/index.html README.md",
    "checkpoint show": "{checkpoint}",
    "checkpoint restore": "--agent backend",
    "merge show": "{request}",
    "merge log": "{request}",
    "history": "--at {moment}",
}


def test_the_list_is_the_commands_that_only_look() -> None:
    fit = {
        one.name
        for one in commands.every()
        if not one.writes
        and one.opens == Coord.open  # `coord doctor` looks from outside
        and one.name not in tools.WITHHELD  # the owner's alone
        and not any(param.kind == "prose" or param.name == "timeout" for param in one.params)  # reads input, waits
    }
    assert fit == command.SERVED


class Farm:
    """A repository in which something of everything is, and a daemon that watches it."""

    def __init__(self, repo: Path, coord_for: As) -> None:
        self.repo = repo
        backend, frontend = coord_for("backend"), coord_for("frontend")
        sent = mail.send(backend, ("frontend", "owner"), Prose(_NASTY), priority="urgent").message.id
        mail.reply(frontend, sent, Prose("done"))
        mail.send(coord_for("owner"), ("all",), Prose("Long " * 200), ack="required")
        locks.acquire(backend, ("apps_script/**",), note=_NASTY.partition("\n")[0])
        locks.acquire(frontend, ("web_app/*.html",), shared=True)
        saved = checkpoints.save(backend, Prose("# Where I am\n\nIn the middle."), next=("write the test",))
        decisions.record(backend, "which sheet", Prose("Customers"), why=Prose("it has them"))
        worktrees.add(coord_for("owner"), ("backend", "frontend"))
        self.worktree = backend.worktree_of("backend")
        (self.worktree / "README.md").write_text("# Another farm\n")
        git(self.worktree, "commit", "-qam", "another name")
        requested = merges.request(coord_for("backend", self.worktree))
        for coord in (backend, frontend):
            coord.settle()
        self.names = {
            "mail": sent,
            "checkpoint": saved.checkpoint.id,
            "request": requested.id,
            "moment": times.format_time(backend.now()),
        }

    def line(self, name: str) -> list[str]:
        """Return a command line that runs the command NAME."""
        return [*name.split(), *_WORDS.get(name, "").format(**self.names).split()]


@pytest.fixture
def farm(repo: Path, coord_for: As) -> Farm:
    return Farm(repo, coord_for)


@pytest.fixture
def watched(farm: Farm) -> Iterator[Farm]:
    with hooking.daemon(farm.repo):
        hooking.hook("claude", hooking.recorded("claude-2.1.330.SessionStart", farm.worktree), farm.worktree)
        coord = Coord.open(farm.repo)
        eventually(lambda: not coord.journal.size(), what="the ledger's rest")
        yield farm


@pytest.fixture
def at_door(farm: Farm) -> Iterator[Farm]:
    """A farm with the door alone, in this process: nothing changes by itself."""
    common = farm.repo / ".git"
    with door.opened(common / "coord", {"command": served.visitors(common)}, pytest.fail):
        yield farm


@pytest.fixture
def runner() -> Iterator[Runner]:
    with bothways.runner() as runs:
        yield runs


def masked(came: Came | subprocess.CompletedProcess[str]) -> Came:
    if isinstance(came, Came):
        return Came(came.status, _MOMENT.sub("", came.out), came.err)
    return Came(came.returncode, _MOMENT.sub("", came.stdout), came.stderr)


def same(runner: Runner, run: Run) -> Came:
    """Run it both ways, again where a minute may have passed between."""
    served, local = Came(0, "", ""), Came(0, "", "")
    for _ in range(5):
        served, local = masked(runner.served(run)), masked(runner.local(run))
        if served == local:
            assert served.out
            return served
    told = "\n".join(difflib.unified_diff(local.out.splitlines(), served.out.splitlines(), lineterm=""))
    pytest.fail(f"{run}: {local.status}, {served.status}\n{told}{served.err}{local.err}")


@pytest.mark.timeout(600)
def test_the_daemon_answers_what_a_process_of_its_own_says(watched: Farm, runner: Runner) -> None:
    repo, worktree = str(watched.repo), str(watched.worktree)
    for name in sorted(command.SERVED):
        line = watched.line(name)
        same(runner, Run(["--as", "frontend", *line], repo))
        same(runner, Run([*line, "--json"], worktree))
        same(runner, Run(["--as=owner", "--repo", repo, *line], "/", columns=63))


def test_whoever_calls_and_whatever_the_terminal_is_like(at_door: Farm, runner: Runner) -> None:
    repo, worktree = str(at_door.repo), str(at_door.worktree / "web_app")
    mine = same(runner, Run(["mail", "list"], worktree)).out
    assert mine.startswith("backend: ")
    theirs = same(runner, Run(["mail", "list"], repo, {"COORD_AGENT": "FrontEnd"})).out
    assert theirs.startswith("frontend: ")
    assert same(runner, Run(["mail", "--as", "frontend", "list"], worktree, {"COORD_AGENT": "security"})).out == theirs
    assert same(runner, Run(["mail", "list", "--repo", "..", "--as", "backend"], worktree)).out == mine
    assert "apps_script/chefs.js: " in same(runner, Run(["lock", "check", "chefs.js"], f"{repo}/apps_script")).out
    for env in ({"TERM": "dumb"}, {"TERM": "xterm-256color"}, {"COLORTERM": "truecolor"}, {"NO_COLOR": "1"}):
        for columns in ({}, {"COLUMNS": "40"}, {"COLUMNS": "", "LINES": "5"}):
            same(runner, Run(["--as", "owner", "mail", "list"], repo, {**env, **columns}, columns=100))


def test_whatever_is_out_of_the_ordinary_is_left_to_a_process_of_its_own(
    at_door: Farm, runner: Runner, tmp_path: Path
) -> None:
    repo = str(at_door.repo)
    other = tmp_path / "other"
    shutil.copytree(repo, other, symlinks=True, ignore=shutil.ignore_patterns("door"))
    told = ["mail", "list", "--as", "owner"]
    assert runner.served(Run(told, repo)).status == 0
    wrong: tuple[list[str], ...] = (
        *([], ["mail"], ["--help"], ["-h"], ["mail", "list", "-h"], [*told, "--help"], ["--version"], ["mail", "lst"]),
        *(["mail", "list"], [*told, "--limit", "0"], [*told, "--nope"], ["mail", "list", "--as", "nobody"]),
        *(["mail", "show", "NONE", "--as", "owner"], ["mail", "send", "owner", "x"], [*told, "--repo", str(other)]),
        *([*told, "--repo", "/"], ["mail", "wait", "--as", "owner"], ["doctor"], ["watch", "stop"]),
    )
    for words in wrong:
        came = runner.served(Run(words, repo))
        assert came == Came(NOT_SERVED, "", ""), words
    for env in ({"COORD_DEBUG": "1"}, {"TZ": "Asia/Tokyo"}, {"HOME": repo}, {"GIT_CONFIG_GLOBAL": "/dev/null"}):
        assert runner.served(Run(told, repo, env)).status == NOT_SERVED, env
    assert runner.served(Run(told, repo, {"TERM": "unknown"}, columns=80)).status == NOT_SERVED
    assert runner.served(Run(told, str(other))).status == NOT_SERVED


def test_who_comes_to_the_door_gets_no_more_than_that(at_door: Farm, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(at_door.repo, other, symlinks=True, ignore=shutil.ignore_patterns("door"))
    here = os.fsencode(at_door.repo)

    def asked(folder: bytes, *words: str, likeness: bytes = b"") -> list[list[bytes]]:
        door = reach.connect(f"{at_door.repo}/.git")
        assert door is not None
        line = b"\0".join(map(os.fsencode, words))
        reach.send(door, command.NAME, likeness or command.likeness(), folder, line, b"COORD_AGENT=owner", b"")
        heard: list[list[bytes]] = []
        while (said := reach.receive(door)) is not None:
            heard.append(said)
        door.close()
        return heard

    before = Coord.open(at_door.repo).records("inbox/frontend")
    assert asked(here, "mail", "list")[-1][0] == b"0"
    for words in (("mail", "send", "frontend", "hello"), ("mail", "list", "--help"), ("mail",), ("",)):
        assert asked(here, *words) == []
    for folder, repo in ((os.fsencode(other), "."), (here, str(other)), (b"/", ".")):
        assert len(asked(folder, "mail", "list", "--repo", repo)) < 2
    assert asked(here, "mail", "list", likeness=command.likeness() + b"\0TZ=UTC") == []
    assert Coord.open(at_door.repo).records("inbox/frontend") == before


def test_what_was_written_is_seen_at_once(at_door: Farm, runner: Runner, coord_for: As) -> None:
    chance = random.Random(tiers.seed())
    for number in range(tiers.rounds(15, 300)):
        line, expected = written(at_door.repo, coord_for, chance, number)
        came = runner.served(Run(line, str(at_door.repo)))
        assert expected in came.out, line
        same(runner, Run(line, str(at_door.repo)))


def written(repo: Path, coord_for: As, chance: random.Random, number: int) -> tuple[list[str], str]:
    """Write something; return a command line that shows it, and what that must say."""
    who = chance.choice(["backend", "frontend", "security"])
    match chance.randrange(6):
        case 0:
            sent = mail.send(coord_for("owner"), (who,), Prose(f"number {number}"))
            return ["mail", "show", sent.message.id], f"> number {number}"
        case 1:
            locks.acquire(coord_for(who), (f"made/{number}/**",))
            return ["lock", "list"], f"made/{number}/**"
        case 2:
            mail.read(coord_for(who), limit=1000)
            return ["mail", "list", "--as", who], f"{who}: 1 unread"
        case 3:
            subject = f"by hand {number}"
            (repo / "inbox" / who / f"note-{number}.md").write_text(f"---\nfrom: owner\nsubject: {subject}\n---\nx\n")
            return ["mail", "list", "--as", who, "--limit", "1000"], subject
        case 4:
            config = (repo / ".coord.yaml").read_text()
            new = f"agents:\n  new-{number}: {{role: new}}\n"
            (repo / ".coord.yaml").write_text(config.replace("agents:\n", new))
            return ["status"], f"new-{number}"
        case _:
            checkpoints.save(coord_for(who), Prose(f"saved {number}"))
            return ["log"], f"saved {number}"


def coord(cwd: Path, *words: str, code: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run the program itself, after CODE."""
    program = f"import sys; from coord.thin import command, entry; {code}\nentry.main()"
    words = (sys.executable, "-P", "-c", program, *words)
    return subprocess.run(words, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("said", [b"", b"coord: reading"], ids=["at once", "after a word of how far it is"])
def test_a_daemon_that_ends_or_stands_still_is_done_without(repo: Path, coord_for: As, said: bytes) -> None:
    mail.send(coord_for("backend"), ("frontend",), Prose("hello"))
    coord_for("backend").settle()
    alone = coord(repo, "--as", "frontend", "mail", "list")
    assert "> hello" in alone.stdout

    def ends(visitor: socket.socket, _fields: Sequence[bytes]) -> None:
        reach.send(visitor, said)
        reach.send(visitor, b"")
        visitor.sendall(b"1 500\n0half of an answer")

    def stands_still(visitor: socket.socket, _fields: Sequence[bytes]) -> None:
        reach.send(visitor, said)
        visitor.recv(1)  # until its client goes

    def says_nothing(visitor: socket.socket, _fields: Sequence[bytes]) -> None:
        visitor.recv(1)

    for answer in (ends, stands_still, says_nothing):
        with door.opened(repo / ".git/coord", {"command": answer}, print):
            came = coord(repo, "--as", "frontend", "mail", "list", code="command._GOES_ON_WITHIN = 0.1")
        assert masked(came) == masked(alone)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_daemon_that_is_killed_or_stopped_in_the_middle_is_answered_for_once(
    repo: Path, coord_for: As, number: signal.Signals
) -> None:
    chance = random.Random(tiers.seed())
    for count in range(200):
        mail.send(coord_for("backend"), ("frontend",), Prose(f"number {count}"))
    coord_for("backend").settle()
    words = ("--as", "frontend", "mail", "list", "--limit", "1000", "--json")
    alone = masked(coord(repo, *words))
    for _ in range(tiers.rounds(3, 100)):
        with hooking.daemon(repo) as daemon:
            wait = chance.uniform(0.01, 0.2)
            killing = threading.Timer(wait, daemon.send_signal, [number])
            killing.start()
            assert masked(coord(repo, *words)) == alone, wait
            killing.join()


def test_the_source_of_another_coord_does_not_answer(repo: Path, coord_for: As, tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(Path(served.__file__).parents[1], copy / "coord", ignore=shutil.ignore_patterns("__pycache__"))
    env = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    asked = "status = command.main(sys.argv[1:]); sys.exit(99 if status is None else status)"
    words = ("--as", "frontend", "mail", "list")
    with hooking.daemon(repo, env=env):
        assert coord(repo, *words, code=asked, **env).returncode == 0
        assert coord(repo, *words, code=asked).returncode == NOT_SERVED
        (copy / "coord/faces/pages/mail.py").touch()
        assert coord(repo, *words, code=asked, **env).returncode == NOT_SERVED


def test_an_interrupt_ends_it_as_it_ends_a_process_of_its_own(repo: Path) -> None:
    begun = threading.Event()

    def stands_still(visitor: socket.socket, _fields: Sequence[bytes]) -> None:
        reach.send(visitor, b"")
        begun.set()
        visitor.recv(1)

    with door.opened(repo / ".git/coord", {"command": stands_still}, print):
        program = [sys.executable, "-P", "-m", "coord", "--as", "frontend", "mail", "list"]
        with subprocess.Popen(program, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert begun.wait(60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"\ncoord: interrupted; nothing is half done\n")


def test_a_reader_that_goes_is_no_failure(at_door: Farm, coord_for: As) -> None:
    for count in range(20):
        mail.send(coord_for("backend"), ("security",), Prose(f"{count} " * 5000))
    program = f"{sys.executable} -P -m coord --as security --json mail list"
    done = subprocess.run(
        ["bash", "-c", f'{program} | head -c 1; echo " ${{PIPESTATUS[0]}}"'],
        cwd=at_door.repo,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"{ 0\n", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_output_that_takes_nothing_is_told_by_a_process_of_its_own(at_door: Farm) -> None:
    program = [sys.executable, "-P", "-m", "coord", "--as", "frontend", "mail", "list"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(program, cwd=at_door.repo, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 6
    assert "No space left on device" in done.stderr
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *program], cwd=at_door.repo, capture_output=True, check=False
    )
    assert closed.returncode == 2


def test_how_far_a_long_reading_is_shows_on_a_terminal_alone(
    at_door: Farm, runner: Runner, coord_for: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "_QUIET", 0.0)
    coord = coord_for("owner")
    events = [coord.event("mail.sent", f"number {number}") for number in range(1200)]
    coord.committer.settle()
    coord.ledger.append(events, parent=coord.ledger.tip(), now=coord.now())
    for columns, shown in ((0, False), (100, True)):
        (at_door.repo / ".git/coord/index.db").unlink(missing_ok=True)
        came = runner.served(Run(["--as", "owner", "log"], str(at_door.repo), columns=columns))
        assert came.status == 0
        assert "number 1199" in came.out
        assert ("reading the ledger, 500 events so far" in came.out, came.err) == (shown, "")
