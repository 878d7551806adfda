"""The demonstration, performed once for real to its end, and once ended early."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support import eventually, git

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120
# What every process of a demonstration has in its environment.
TAG = "FARM_DEMONSTRATION"


def left_in(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TAG) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except (psutil.Error, OSError):
            continue
    return found


@contextmanager
def performance(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    words = [sys.executable, "-m", "demo", "--into", str(folder)]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if words in line:
            return
    pytest.fail(f"never heard {words!r} in:\n{''.join(heard)}")


def test_it_plays_to_its_end_and_proves_what_it_claims(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    begun = time.monotonic()
    with performance(folder) as process:
        told, _ = process.communicate(timeout=LIMIT)
    print(f"the demonstration took {time.monotonic() - begun:.1f} s")

    assert process.returncode == 0, told
    assert "claims hold" in told
    assert re.search(r"^ +yes  8 messages by command: each in the ledger once", told, re.MULTILINE), told
    assert " NO  " not in told
    assert "\x1b" not in told, "no colours in a pipe"
    assert left_in(folder) == []

    home = folder / "farm"
    subjects = git(home, "log", "--format=%s", "coord/ledger").splitlines()
    assert len(subjects) > 80
    assert any("social-media -> field-ops: A photo of bed 4?" in subject for subject in subjects)
    assert git(home, "remote") == "", "nothing here can be pushed to the project"
    assert git(home, "branch", "--format=%(refname:short)", "--no-merged", "main").split("\n") == [
        "agent/financial",
        "coord/ledger",
    ]


def test_it_can_be_ended_early(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with performance(folder) as process:
        until(process, "pm-architect -> all: Market day is Saturday")
        assert left_in(folder), "the processes of a demonstration can be told by their environment"
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
    print(f"it ended {time.monotonic() - asked:.1f} s after it was asked to")

    assert process.returncode == 130
    assert f"What came to be is in {folder}" in told
    assert "Traceback" not in told
    eventually(lambda: left_in(folder) == [], what="the end of every process")
    words = [sys.executable, "-P", "-m", "coord", "--json", "ledger", "verify", "--commit"]
    verified = subprocess.run(words, cwd=folder / "farm", env=os.environ, capture_output=True, text=True, check=False)
    assert json.loads(verified.stdout).get("ok"), verified.stdout
