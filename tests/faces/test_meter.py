"""A first reading of a long ledger says on a terminal how far it is, nowhere else, and can be interrupted."""

import io
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coord.faces import meter
from coord.service import history
from coord.service.coord import Coord

Open = Callable[..., Coord]
# `coord log`, which says at once how far it is.
LOG = "import sys; from coord.faces import meter; meter._QUIET = 0.0; sys.argv = ['coord', 'log']\n"
RUN = [sys.executable, "-c", f"{LOG}from coord import main; main.main()"]
# A git whose log stops in the middle for as long as nobody ends it.
SLOW = '#!/bin/sh\ncase " $* " in *" log "*) "$REAL" "$@" | { head -c 200000; exec sleep 60; };; *) exec "$REAL" "$@";; esac\n'


@pytest.fixture
def long_ledger(coord_for: Open) -> Coord:
    coord = coord_for("owner")
    events = [coord.event("mail.sent", f"number {number}") for number in range(1200)]
    coord.ledger.append(events, parent=coord.ledger.tip(), now=coord.now())
    return coord


def test_a_short_reading_says_nothing() -> None:
    out = io.StringIO()
    told = meter.Meter(out)
    told(500)
    told(1000)
    told.end()
    assert out.getvalue() == ""


def test_a_terminal_is_told_how_far_it_is_and_the_line_goes(long_ledger: Coord, repo: Path) -> None:
    parent, child = pty.openpty()
    done = subprocess.run(RUN, cwd=repo, stdout=subprocess.PIPE, stderr=child, check=True)
    os.close(child)
    said = os.read(parent, 65_536).decode()
    os.close(parent)
    assert "reading the ledger, 500 events so far" in said
    assert said.endswith("\r\x1b[K")
    assert b"number 1199" in done.stdout


def test_a_pipe_is_told_nothing(long_ledger: Coord, repo: Path) -> None:
    done = subprocess.run(RUN, cwd=repo, capture_output=True, check=True)
    assert done.stderr == b""


def test_an_interrupt_ends_it_and_the_next_reads_all(long_ledger: Coord, repo: Path, tmp_path: Path) -> None:
    slow = tmp_path / "bin/git"
    slow.parent.mkdir()
    slow.write_text(SLOW)
    slow.chmod(0o755)
    environment = {"REAL": shutil.which("git") or "", "PATH": f"{slow.parent}:{os.environ['PATH']}"}
    parent, child = pty.openpty()
    with subprocess.Popen(RUN, cwd=repo, stdout=subprocess.PIPE, stderr=child, env=os.environ | environment) as process:
        assert b"events so far" in os.read(parent, 65_536)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
    os.close(child)
    assert "interrupted" in os.read(parent, 65_536).decode()
    os.close(parent)
    assert history.log(long_ledger, limit=5000).events[-1].kind == "coord.initialised"
