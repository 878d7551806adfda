"""Whatever fails around it, a conflict blocks, other work goes on, and mail is neither lost nor told twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
from hooking import THIN, daemon, hook, recorded
from support import eventually

from coord.service import checkpoints, locks, mail
from coord.service.command import Prose
from coord.service.coord import Coord

As = Callable[..., Coord]
EDIT, READ = "claude-2.1.330.PreToolUse.Edit", "claude-2.1.330.PreToolUse.Read"
END = "claude-2.1.330.SessionEnd"
PROMPT = "claude-2.1.330.UserPromptSubmit"


def start(repo: Path, name: str, *, start_new_session: bool = False) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(THIN), "claude"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=repo,
        env={**os.environ, "COORD_AGENT": "frontend"},
        start_new_session=start_new_session,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(recorded(name, repo)).encode())
    return process


def test_a_daemon_that_is_stopped_is_not_waited_for(repo: Path, coord_for: As) -> None:
    locks.acquire(coord_for("backend"), ("src",))
    mail.send(coord_for("backend"), ("frontend",), Prose("read me"))
    with daemon(repo) as process:
        process.send_signal(signal.SIGSTOP)
        assert "backend holds" in hook("claude", recorded(EDIT, repo), repo, "frontend").refusal
        assert hook("claude", recorded(READ, repo), repo, "frontend").out == ""
        prompt = hook("claude", recorded(PROMPT, repo), repo, "frontend")
        process.send_signal(signal.SIGCONT)
    assert "> read me" in prompt.context


def test_a_client_that_ends_its_hook_too_early_loses_no_checkpoint(repo: Path, coord_for: As) -> None:
    own = coord_for("frontend")
    hook("claude", recorded(PROMPT, repo), repo, "frontend")
    code = (
        "import sys, time; from pathlib import Path; from coord.service.coord import Coord; from coord.stores import oslock\n"
        "path = next((Coord.open(Path(sys.argv[1])).private / 'sessions').glob('*.json')).with_suffix('.lock')\n"
        "with oslock.hold(path, timeout=9, name='it'): print('in', flush=True); sys.stdin.read()"
    )
    held = [sys.executable, "-c", code, str(repo)]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with start(repo, END, start_new_session=True) as ending:
            assert ending.stdin is not None
            ending.stdin.close()
            works = psutil.Process(ending.pid).children
            eventually(lambda: any(os.getsid(one.pid) == one.pid for one in works()), within=60, what="its work")
            os.killpg(ending.pid, signal.SIGKILL)  # as a client does
        assert checkpoints.list_(own).items == ()
    eventually(lambda: checkpoints.list_(own).items, within=60, what="the checkpoint")


def test_a_daemon_that_dies_in_the_middle_is_replaced(repo: Path, coord_for: As) -> None:
    locks.acquire(coord_for("backend"), ("src",))
    with daemon(repo) as process:
        process.send_signal(signal.SIGSTOP)
        asking = start(repo, EDIT)
        process.kill()
        out, err = asking.communicate(timeout=60)
    assert b"backend holds" in out
    assert (asking.returncode, err) == (0, b"")


def test_mail_whose_hook_was_killed_is_handed_over_by_the_next(repo: Path, coord_for: As) -> None:
    mail.send(coord_for("backend"), ("frontend",), Prose("read me"))
    with daemon(repo):
        asking = start(repo, PROMPT)
        assert asking.stdin is not None
        asking.stdin.flush()
        asking.kill()
        asking.communicate()
        closed = start(repo, PROMPT)  # its reader is gone, so that nobody saw what it said
        assert closed.stdout is not None
        closed.stdout.close()
        closed.stdout = None
        closed.communicate(timeout=60)
        assert "> read me" in hook("claude", recorded(PROMPT, repo), repo, "frontend").context
        assert hook("claude", recorded(PROMPT, repo), repo, "frontend").out == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("served", [True, False])
def test_a_refusal_that_cannot_be_said_is_one_by_its_exit_status(repo: Path, coord_for: As, served: bool) -> None:
    locks.acquire(coord_for("backend"), ("src",))

    def ask() -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(THIN), "claude"],
                input=json.dumps(recorded(EDIT, repo)).encode(),
                stdout=full,
                stderr=subprocess.PIPE,
                cwd=repo,
                check=False,
                timeout=60,
            )
        assert done.returncode == 2
        assert b"backend holds" in done.stderr

    if served:
        with daemon(repo):
            ask()
    else:
        ask()


def test_a_guard_that_is_never_given_back_delays_an_edit_and_no_more(repo: Path, coord_for: As) -> None:
    code = (
        "import sys, time; from pathlib import Path; from coord.service.coord import Coord; from coord.service import leasebook\n"
        "with Coord.open(Path(sys.argv[1])).exclusive(leasebook.GUARD): print('in', flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(repo)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            heard = hook("claude", recorded(EDIT, repo), repo, "frontend")
        finally:
            holder.kill()
    assert heard.refusal == ""
    assert "could not take a lease" in heard.err
    assert "without a lease" in heard.context


@pytest.mark.parametrize("how", ["wrong", "gone"])
def test_a_wrong_configuration_is_said_and_leases_hold_all_the_same(repo: Path, coord_for: As, how: str) -> None:
    locks.acquire(coord_for("backend"), ("src",))
    if how == "wrong":
        (repo / ".coord.yaml").write_text("agents: [\n")
    else:
        (repo / ".coord.yaml").unlink()
    heard = hook("claude", recorded(EDIT, repo), repo, "frontend")
    assert "backend holds" in heard.refusal
    assert ".coord.yaml" in heard.err
    assert hook("claude", recorded(EDIT, repo, session_id="other"), repo, "backend").refusal == ""


FULL = """
import json, os, subprocess, sys
from pathlib import Path
top, thin, payloads = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", top], check=True)
from coord.service import locks, setup
from coord.service.coord import Coord
farm = top / "farm"
farm.mkdir()
subprocess.run(["git", "init", "-q", "--template=", farm], check=True)
setup.init(farm, agents=("backend", "frontend"))
with Coord.open(farm, who="backend") as coord:
    locks.acquire(coord, ("src",))
try:
    with open(top / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
except OSError:
    pass
found = []
for payload in payloads:
    data = json.dumps({**payload, "cwd": str(farm)}).encode()
    done = subprocess.run([sys.executable, "-I", "-S", thin, "claude"], input=data, cwd=farm, capture_output=True,
                          env={**os.environ, "COORD_AGENT": "frontend", "TMPDIR": str(top)})
    found.append([done.returncode, done.stdout.decode(), done.stderr.decode()])
print(json.dumps(found))
"""


def test_a_full_disk_takes_nothing_from_a_conflict(tmp_path: Path) -> None:
    unshare = ["unshare", "-rm"]
    try:
        able = subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if able.returncode:
        pytest.skip("no mounts of one's own here")
    top = tmp_path / "disk"
    top.mkdir()
    here = top / "farm"
    other = recorded(EDIT, here, tool_input={"file_path": f"{here}/free.py"})
    payloads = [recorded(EDIT, here), other, recorded(READ, here), recorded(PROMPT, here)]
    words = [*unshare, sys.executable, "-c", FULL, str(top), str(THIN), json.dumps(payloads)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    refused, free, *rest = json.loads(done.stdout)
    assert "backend holds" in refused[1]
    assert "permissionDecision" not in free[1]
    assert "No space left" in free[2]
    for status, _, err in (refused, free, *rest):
        assert status in (0, 1)
        assert "Traceback" not in err


@pytest.mark.parametrize("where", ["from coord.thin.entry import main", "from coord.thin.here import main"])
def test_an_interrupt_ends_a_hook_without_a_word(repo: Path, where: str) -> None:
    code = f"import sys; {where}; print('in', flush=True); main()"
    words = [sys.executable, "-c", code, *(["hook", "claude"] if "entry" in where else ["claude", "1", ""])]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=repo
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        eventually(lambda: psutil.Process(process.pid).status() == "sleeping", within=60, what="its waiting")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")


def test_a_client_that_is_none_is_said(repo: Path) -> None:
    heard = hook("clod", recorded(EDIT, repo), repo, "frontend")
    assert heard.status == 1
    assert "'clod'" in heard.err
    assert "claude, codex, gemini" in heard.err


@pytest.mark.parametrize("served", [True, False])
def test_a_folder_that_is_gone_takes_nothing_from_a_conflict(
    repo: Path, coord_for: As, tmp_path: Path, served: bool
) -> None:
    locks.acquire(coord_for("backend"), ("src",))
    gone = tmp_path / "gone"
    gone.mkdir()
    words = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", sys.executable, "-I", "-S", str(THIN), "claude"]
    env = {**os.environ, "CLAUDE_PROJECT_DIR": str(repo)}
    data = json.dumps(recorded(EDIT, repo)).encode()
    with daemon(repo) if served else nullcontext():
        done = subprocess.run(words, input=data, cwd=gone, env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"backend holds" in done.stdout


def test_a_waiter_hears_out_a_child_that_has_much_to_say_about_what_went_wrong(repo: Path) -> None:
    child = "import os; os.write(2, b'e' * (1 << 20)); os.write(1, b'told'); os._exit(3)"
    asking = (
        "import sys; from coord.thin import hook, wait\n"
        f"class Call(hook.Call):\n    def program(self):\n        return [sys.executable, '-c', {child!r}]\n"
        "status, out, err = wait._by_a_child(Call('claude', b'{}'))\nprint(status, out, len(err))"
    )
    done = subprocess.run([sys.executable, "-c", asking], cwd=repo, capture_output=True, timeout=20, check=False)
    assert done.stdout == f"3 b'told' {1 << 20}\n".encode(), done.stderr.decode()
