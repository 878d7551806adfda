"""The command line as a person and a program meet it: real processes."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from support import eventually, git

from coord.faces import cli, own, wire
from coord.main import tree
from coord.service.commands import LISTED, every
from coord.service.coord import Coord

Open = Callable[..., Coord]
RUN = [sys.executable, "-m", "coord"]


def coord(cwd: Path, *words: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*RUN, *words],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )


def ok(cwd: Path, *words: str, stdin: str = "") -> Any:
    done = coord(cwd, *words, "--json", stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("--as", "backend", "--json", "mail", "list"),
        ("mail", "--as", "backend", "--json", "list"),
        ("mail", "list", "--as", "backend", "--json"),
        ("--as", "nobody", "mail", "list", "--as", "backend", "--json"),
    ],
)
def test_common_options_go_before_and_after(repo: Path, words: tuple[str, ...]) -> None:
    done = coord(repo.parent, "--repo", str(repo), *words)
    assert json.loads(done.stdout) == {"mailbox": "backend", "unread": 0, "items": [], "left_out": 0}


def test_who_am_i(repo: Path) -> None:
    done = coord(repo, "mail", "list")
    assert done.returncode == 2
    assert "who is speaking" in done.stderr
    assert "backend, frontend, security, pm-architect" in done.stderr
    assert coord(repo, "mail", "list", COORD_AGENT="Backend").returncode == 0
    ok(repo, "worktree", "add", "backend", "--as", "owner")
    assert ok(repo.parent / "agent-backend", "mail", "list")["mailbox"] == "backend"
    assert ok(repo.parent / "agent-backend", "mail", "list", "--as", "security")["mailbox"] == "security"


def test_every_command_has_help_that_opens_with_an_example() -> None:
    def leaves(group: click.Group, path: tuple[str, ...] = ()) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            text = command.get_help(click.Context(command, info_name=name))
            if isinstance(command, click.Group):
                assert len(text.splitlines()) > 5
                leaves(command, (*path, name))
            else:
                assert text.startswith("Example: coord " + " ".join((*path, name))) or text.startswith(
                    "Example: eval"
                ), text
                assert "Raises:" not in text

    leaves(tree())


def test_every_parameter_is_in_the_table_and_every_result_has_a_schema() -> None:
    for name, command in zip(LISTED, every(), strict=True):
        assert command.name == name
        assert command.params is not None
        assert wire.schema(command.returns)["type"] == "object", command.name


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("mial",), 2, "did you mean `coord mail`"),
        (("mail", "snd"), 2, "did you mean `coord mail send`"),
        (("mail", "send", "--subjct", "x"), 2, "--subject"),
        (("agents", "install", "cluade"), 2, "CLIENTS: 'cluade' is none of claude, codex, gemini, guide"),
        (("agents", "install", "cluade"), 2, "did you mean claude?"),
        (("mail", "send"), 2, "coord mail send --help"),
        (
            ("mail", "send", "frontend", "x", "--priority", "critical", "--as", "backend"),
            2,
            "low, normal, high, urgent",
        ),
        (("mail", "wait", "--timeout", "soon", "--as", "backend"), 2, "--timeout"),
        (("mail", "list", "--limit", "many", "--as", "backend"), 2, "--limit"),
        (("mail", "list", "--limit", "-1", "--as", "backend"), 2, "--limit -1 shows nothing"),
        (("mail", "read", "--limit", "0", "--as", "backend"), 2, "--limit 0 shows nothing"),
        (("log", "--limit", "0"), 2, "--limit 0 shows nothing"),
        (("checkpoint", "list", "--limit", "0", "--as", "backend"), 2, "--limit 0 shows nothing"),
        (("decision", "list", "--limit", "-7"), 2, "--limit -7 shows nothing"),
        (("mail", "send", "frontend", "-rf", "--as", "backend"), 2, "behind --"),
        (("mail", "send", "fronted", "x", "--as", "backend"), 2, "did you mean frontend"),
        (("mail", "list", "--as", "bakend"), 2, "backend"),
        (("mail", "show", "01KAJ3X5"), 3, "coord mail list --read"),
        (("lock", "acquire", "../x", "--as", "backend"), 2, "outside"),
        (("merge", "request", "--as", "backend"), 3, "agent/backend"),
        (("worktree", "remove", "backend"), 3, "coord worktree list"),
        (("--repo", "/", "status"), 2, "git"),
    ],
)
def test_errors_name_the_thing_and_the_next_step(repo: Path, words: tuple[str, ...], status: int, said: str) -> None:
    done = coord(repo, *words)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    as_json = coord(repo, *words, "--json")
    assert as_json.returncode == status
    assert json.loads(as_json.stdout)["error"]["message"]


def test_a_wrong_config_names_line_and_likely_intent(repo: Path) -> None:
    (repo / ".coord.yaml").write_text("format: 1\nagents: [backend]\ncordinator: backend\n")
    done = coord(repo, "status")
    assert done.returncode == 2
    assert ".coord.yaml:3" in done.stderr
    assert "coordinator" in done.stderr


def test_what_is_done_is_no_failure_when_the_ledger_must_wait(repo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bin/git"
    broken.parent.mkdir()
    broken.write_text('#!/bin/sh\ncase "$*" in *fast-import*) echo no space >&2; exit 128;; esac\nexec "$REAL" "$@"\n')
    broken.chmod(0o755)
    environment = {"REAL": shutil.which("git") or "", "PATH": f"{broken.parent}:{os.environ['PATH']}"}
    done = coord(repo, "--as", "backend", "--json", "mail", "send", "frontend", "hello", **environment)
    assert done.returncode == 0, done.stderr
    assert "not yet in the ledger" in done.stderr
    assert json.loads(done.stdout)["message"]["body"] == "hello"
    assert "hello" not in git(repo, "log", "--format=%s", "coord/ledger")
    ok(repo, "--as", "frontend", "mail", "read")
    assert "hello" in git(repo, "log", "--format=%s", "coord/ledger")


def test_standard_input_is_read_where_a_dash_is_given(repo: Path) -> None:
    body = "line 1\n`$(rm -rf /)` \x1b[31mred\n"
    sent = ok(repo, "mail", "send", "frontend", "-", "--as", "backend", stdin=body)
    assert ok(repo, "mail", "show", sent["message"]["id"])["message"]["body"] == body


def test_text_that_begins_with_a_dash_is_sent_behind_two_and_not_repeated_where_it_is_none(repo: Path) -> None:
    for text in ("-rf", "--subject", "--", "-"):
        sent = coord(repo, "--as", "backend", "--json", "mail", "send", "frontend", "--", text, stdin="-")
        assert json.loads(sent.stdout)["message"]["body"] == text
    done = coord(repo, "--as", "backend", "mail", "send", "frontend", "--Tr0ub4dor&3 is the password\x1b[2J")
    assert done.returncode == 2
    assert "Tr0ub4dor" not in done.stdout + done.stderr
    assert "behind --" in done.stderr


def test_untrusted_text_cannot_drive_the_terminal(repo: Path) -> None:
    ok(repo, "mail", "send", "frontend", "-", "--as", "backend", stdin="\x1b]0;owned\x07\x1b[2J\u202eevil\n")
    done = coord(repo, "mail", "read", "--as", "frontend")
    assert not set(done.stdout) & set("\x1b\x07\u202e")


def test_json_cannot_drive_the_terminal_and_loses_nothing(repo: Path) -> None:
    hostile = "\x1b[31mred\x9b2J\x7f\u202e\u200b\u2028\U000e0041 é"
    coord(repo, "mail", "send", "frontend", "-", "--as", "backend", stdin=hostile)
    done = coord(repo, "mail", "list", "--as", "frontend", "--json")
    assert all(character.isprintable() or character == "\n" for character in done.stdout)
    assert json.loads(done.stdout)["items"][0]["message"]["body"].strip() == hostile
    assert "é" in done.stdout


@pytest.mark.parametrize("words", [("mail", "read"), ("mail", "read", "--json"), ("log",), ("status",)])
def test_words_that_the_stream_cannot_show_do_not_end_a_command(repo: Path, words: tuple[str, ...]) -> None:
    coord(repo, "mail", "send", "frontend", "señal ☃ 𝄞", "--as", "backend")
    done = coord(repo, *words, "--as", "frontend", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    if "--json" in words:
        assert json.loads(done.stdout)["items"][0]["message"]["subject"] == "señal ☃ 𝄞"


def test_a_reader_that_goes_away_early_is_no_failure(repo: Path) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen([*RUN, "status"], cwd=repo, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        os.close(reading)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("style", [(), ("--json",)])
@pytest.mark.parametrize(("word", "told"), [("log", (6, "No space left")), ("lag", (2, "no command `coord lag`"))])
def test_an_output_that_takes_nothing_shows_no_traceback(
    repo: Path, word: str, told: tuple[int, str], style: tuple[str, ...], unbuffered: str
) -> None:
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*RUN, word, *style], cwd=repo, stdout=full, stderr=subprocess.PIPE, text=True, env=env, check=False
        )
    assert (done.returncode, "Traceback" in done.stderr, "ignored" in done.stderr) == (told[0], False, False)
    assert told[1] in done.stderr and done.stderr.count("  next: ") == 1


def test_a_closed_output_is_said(repo: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *RUN, "log"], cwd=repo, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "standard output is closed" in done.stderr


def test_a_terminal_gets_colour_a_pipe_does_not_and_no_color_is_honoured(repo: Path) -> None:
    assert "\x1b[" not in coord(repo, "status").stdout
    assert "\x1b[" in _on_terminal(repo, "status")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", _on_terminal(repo, "status", NO_COLOR="1"))


def _on_terminal(cwd: Path, *words: str, **environment: str) -> str:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*RUN, *words], cwd=cwd, stdout=child, env=os.environ | {"TERM": "xterm-256color"} | environment
    )
    os.close(child)
    out = b""
    while True:
        try:
            piece = os.read(parent, 65_536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    process.wait()
    os.close(parent)
    return out.decode()


def test_an_interrupt_ends_a_wait_cleanly(repo: Path) -> None:
    process = subprocess.Popen([*RUN, "--as", "backend", "mail", "wait"], cwd=repo, stderr=subprocess.PIPE, text=True)
    eventually(lambda: list((repo / ".git/coord/bells").glob("*/*.fifo")), what="waiting")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list((repo / ".git/coord/bells").glob("*/*.fifo")) == []


def test_a_closed_pipe_is_no_error(repo: Path) -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m coord log | head -c 1",
        shell=True,
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_two_terminals_at_once(repo: Path) -> None:
    running = [
        subprocess.Popen(
            [*RUN, "--as", "backend", "mail", "send", "frontend", f"number {n}"], cwd=repo, stdout=subprocess.DEVNULL
        )
        for n in range(6)
    ]
    assert [process.wait(60) for process in running] == [0] * 6
    assert ok(repo, "mail", "list", "--as", "frontend")["unread"] == 6
    assert git(repo, "log", "--format=%s", "coord/ledger").count("mail: backend -> frontend: number") == 6


def test_completion_scripts_are_printed(repo: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_COORD_COMPLETE" in coord(repo, "completion", shell).stdout
    done = coord(repo, _COORD_COMPLETE="bash_complete", COMP_WORDS="coord mai", COMP_CWORD="1")
    assert "mail" in done.stdout


def test_listing_loads_nothing_heavy(repo: Path) -> None:
    probe = """
import sys
sys.argv = ["coord", "--as", "backend", "mail", "list"]
from coord import main
try:
    main.main()
except SystemExit:
    pass
heavy = ("git", "sqlite_utils", "rich.console", "psutil", "filelock", "watchdog.observers")
print([name for name in heavy if type(sys.modules.get(name)).__name__ == "module"])
"""
    done = subprocess.run([sys.executable, "-c", probe], cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_and_version_need_no_repository(tmp_path: Path) -> None:
    assert coord(tmp_path, "--help").returncode == 0
    assert coord(tmp_path, "mail", "send", "--help").returncode == 0
    assert coord(tmp_path, "--version").stdout.startswith("coord 0.")


def test_a_fault_of_coords_own_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("boom")

    group = cli.Tree("coord", {}, {"burn": click.Command("burn", callback=broken)})
    assert cli.run(group, ["burn"]) == 1
    told = capsys.readouterr().err
    assert "boom" in told
    assert "Traceback" not in told


def test_welcome_names_the_first_step() -> None:
    assert "coord init" in own.WELCOME


@pytest.mark.parametrize("words", ["mail show", "checkpoint save", "decision record", "merge show", "mail reply 01AB"])
def test_a_word_that_is_missing_is_named(repo: Path, words: str) -> None:
    done = coord(repo, "--as", "backend", *words.split())
    assert done.returncode == 2
    assert "Missing argument" in done.stderr
