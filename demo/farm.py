"""Where the demonstration plays: a clone of this repository, or a generated one, with a small farm in it."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from coord.config import reading, writing
from coord.config.schema import Config, Leases, Merge, Watch

ROOT = Path(__file__).resolve().parents[1]
_KEPT = 3
_OWNER = {
    "user.name": "Owner",
    "user.email": "owner@coord.local",
    # The owner's own settings stay out of it: no signing, no hooks.
    "commit.gpgSign": "false",
    "core.hooksPath": "/dev/null",
}
# The test every merge must pass. It takes a moment, as tests do.
_CHECK = '''\
"""The farm's test: every amount in every table is a number above zero."""

import csv
import pathlib
import sys
import time

time.sleep(0.4)
faults = []
for path in sorted(pathlib.Path(__file__).parent.glob("*/*.csv")):
    for number, row in enumerate(csv.reader(path.open()), 1):
        if number > 1 and not float(row[-1]) > 0:
            faults.append(f"{path.parent.name}/{path.name}:{number}: {row[-1]} is no amount")
print("\\n".join(faults) or "all amounts are above zero")
sys.exit(bool(faults))
'''
_FILES = {
    "apps_script/orders.js": 'const openDays = ["Wednesday"];\n',
    "web_app/index.html": "<h1>The farm</h1>\n<p>Open on Wednesday</p>\n",
    "mobile_app/home.txt": "colours: green\n",
    "fields/beds.csv": "bed,square metres\n1,12\n2,12\n3,9\n4,15\n",
    "stock/seeds.csv": "seed,grams\nbeans,900\ncarrots,300\npeas,450\n",
    "money/prices.csv": "what,price\nhoney,9.00\ntomatoes,3.20\nbeans,4.10\n",
    "money/costs.csv": "what,price\ndiesel,80.00\n",
    "money/grants.csv": "grant,amount\nthe well,900.00\n",
    "docs/market.md": "# The market\n",
    "check_farm.py": _CHECK,
}


@dataclass(frozen=True, slots=True)
class Farm:
    """The place: its folder, the repository in it, its agents and where its main began."""

    folder: Path
    home: Path
    agents: tuple[str, ...]
    coordinator: str
    begin: str
    origin: str


def folder_for(into: Path | None) -> Path:
    """Make the folder of this run: INTO, or the next `.demo/<n>` below the project, where the last three stay."""
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        return into.resolve()
    demos = ROOT / ".demo"
    numbers = sorted(int(path.name) for path in demos.glob("*") if path.name.isdigit())
    for old in numbers[: -_KEPT + 1]:
        shutil.rmtree(demos / str(old), ignore_errors=True)
    made = demos / str(numbers[-1] + 1 if numbers else 1)
    made.mkdir(parents=True)
    return made


def build(folder: Path, run: Callable[..., str]) -> Farm:
    """Make the repository in FOLDER by git commands that RUN runs: `run(*words, cwd=...)` returns what they print."""
    home = folder / "farm"
    origin = _clone(home, run)
    for name, value in _OWNER.items():
        run("git", "config", "--local", name, value, cwd=home)
    settings = _settings()
    for path, text in {**_FILES, config_name(): writing.render(settings)}.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text, encoding="utf-8")
    run("git", "add", "--all", "--force", "--", *_FILES, config_name(), cwd=home)
    run("git", "commit", "--quiet", "--message", "demo: a small farm to look after", cwd=home)
    (folder / "marks").mkdir()
    begin = run("git", "rev-parse", "HEAD", cwd=home)
    return Farm(folder, home, settings.names, settings.coordinator, begin, origin)


def config_name() -> str:
    """Return the name of coord's configuration."""
    return ".coord.yaml"


def _settings() -> Config:
    """Return this project's own configuration with the farm's test and short times."""
    own = reading.load(ROOT / config_name())
    test = f"{shlex.quote(sys.executable)} check_farm.py"
    return replace(
        own,
        leases=Leases(ttl=timedelta(minutes=2), max=timedelta(minutes=10)),
        merge=Merge(into="main", test=test, timeout=timedelta(seconds=30)),
        watch=Watch(scan_every=timedelta(seconds=1)),
    )


def _clone(home: Path, run: Callable[..., str]) -> str:
    if not _is_checkout(run):
        run("git", "init", "--quiet", "--initial-branch=main", str(home), cwd=home.parent)
        return "a generated repository (the sources here are no git checkout)"
    run("git", "clone", "--quiet", "--no-hardlinks", "--single-branch", "--no-tags", str(ROOT), str(home), cwd=ROOT)
    run("git", "checkout", "--quiet", "-B", "main", cwd=home)
    # Nothing that happens here can be pushed to where it came from.
    run("git", "remote", "remove", "origin", cwd=home)
    return "a clone of this repository"


def _is_checkout(run: Callable[..., str]) -> bool:
    try:
        top = run("git", "rev-parse", "--show-toplevel", cwd=ROOT)
        run("git", "rev-parse", "--verify", "--quiet", "HEAD", cwd=ROOT)
    except subprocess.CalledProcessError:
        return False
    return Path(top).resolve() == ROOT
