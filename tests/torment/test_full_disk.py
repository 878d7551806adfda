"""A disk of one mebibyte, really full: what was acknowledged is there, and mail goes on once there is space again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORK = """
import json, os, subprocess, sys
from contextlib import nullcontext
from pathlib import Path
top, helpers, mutant = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", top], check=True)
from coord.model import keys
from coord.model.errors import CoordError
from coord.service import mail, setup, verify
from coord.service.command import Prose
from coord.service.coord import Coord
farm = top / "farm"
farm.mkdir()
subprocess.run(["git", "init", "-q", "--template=", farm], check=True)
setup.init(farm, agents=("backend", "frontend"))
ballast = top / "ballast"
ballast.write_bytes(b"x" * 300_000)
reserve = top / "reserve"
reserve.write_bytes(b"x" * 250_000)
sent, errors, left = [], [], []
def send(size):
    with Coord.open(farm, who="backend") as coord:
        sent.append(mail.send(coord, ("frontend",), Prose("x" * size)).message.id)
    if coord.left is not None:
        left.append(coord.left.hint)
sys.path.insert(0, helpers)
from mutants_disk import ERRORS
with ERRORS[mutant][0]() if mutant else nullcontext():
    for number in range(300):
        try:
            send((10, 700, 9000)[number % 3])
        except CoordError as error:
            errors.append([type(error).__name__, error.message, error.hint])
            if len(errors) == 10:
                break
            # A few pages more each time, so that now this and now that is what does not fit.
            os.truncate(ballast, ballast.stat().st_size - 4096 * len(errors))
tried = len(sent)
litter = [path.name for path in (farm / ".git/coord/tmp").iterdir()]
reserve.unlink()
send(10)
coord = Coord.open(farm, who="frontend")
coord.committer.settle()
there = [keys.id_in(key) for key in coord.records("inbox/frontend")]
verified = verify.verify(coord).ok
print(json.dumps([tried, errors, left, litter, sorted(sent), sorted(there), verified]))
"""


def _own_mounts() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


NEEDED = pytest.mark.skipif(not _own_mounts(), reason="this system lets no user mount a file system of their own")


def filled(folder: Path, mutant: str = "") -> None:
    folder.mkdir()
    helpers = str(Path(__file__).parents[1])
    command = ["unshare", "-rm", sys.executable, "-c", WORK, str(folder), helpers, mutant]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    tried, errors, left, litter, sent, there, verified = json.loads(done.stdout)
    assert tried, "the disk was full from the beginning"
    assert len(errors) == 10, "the disk never filled"
    for name, message, hint in errors:
        assert name == "Unavailable", (name, message)
        assert "free some disk space" in hint
    assert all(left)
    assert litter == []
    assert there == sent
    assert verified


@NEEDED
def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    filled(tmp_path / "small")


@NEEDED
@pytest.mark.parametrize("mutant", ["an error while noting is swallowed", "a temporary file is left behind"])
def test_planted_faults_are_found(tmp_path: Path, mutant: str) -> None:
    with pytest.raises(AssertionError):
        filled(tmp_path / "small", mutant)
