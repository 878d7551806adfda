"""Draw pictures/*.svg from a small farm that is really worked on: python docs/make_pictures.py [FOLDER].

A repository is made in a temporary folder and several agents work in it, through the same
functions as on the command line. Clock and randomness are given, so that drawing again
changes nothing; on the screens only the place of the folder and the daemon's process id
are put in another's stead.
"""

import dataclasses
import io
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

import rich.console
import rich.text

from coord.daemon import run
from coord.faces import page, render
from coord.service import checkpoints, decisions, history, locks, mail, merges, setup, status, worktrees
from coord.service.command import Command, Prose
from coord.service.coord import Coord

P = ParamSpec("P")
R = TypeVar("R")

HERE = Path(__file__).parent
START = datetime(2026, 3, 9, 6, 30, tzinfo=UTC)
WIDTH = 130
SHOWN_HOME, SHOWN_PID = "~/farm", 4711
CONFIG = """\
format: 1
agents:
  pm-architect: {role: Orchestrator}
  backend: {role: Backend Developer, domain: ["apps_script/**"]}
  ux-design: {role: UX Design, domain: ["web_app/**"]}
  field-ops: {role: Field Operations, domain: [planning, succession, crops]}
  inventory: {role: Inventory, domain: [stock, seeds, supplies]}
  sales-crm: {role: Sales and CRM, domain: [customers, orders]}
coordinator: pm-architect
groups:
  web: [backend, ux-design]
merge:
  test: sh check.sh
"""
FILES = {
    ".coord.yaml": CONFIG,
    "check.sh": "grep -q getChefProfile apps_script/chefs.js\n",
    "apps_script/chefs.js": "function getChefProfile(id) { return row('Chefs', id) }\n",
    "apps_script/MERGED TOTAL.js": "// everything\n",
    "web_app/index.html": "<!doctype html><title>Farm</title>\n",
    "planning/beds.csv": "crop,week\nlettuce,12\n",
}


class Farm:
    """The repository, its clock, and what is done in it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "farm"
        self.moment = START

    def now(self) -> datetime:
        """Return the moment it is on the farm."""
        return self.moment

    def monotonic(self) -> float:
        """Return real seconds: waiting is real."""
        return time.monotonic()

    def later(self, **length: float) -> None:
        """Let time pass."""
        self.moment += timedelta(**length)

    def do(self, who: str, command: Command[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a command as WHO, a minute later, as the command line does."""
        self.later(minutes=1, seconds=17)
        tree = self.home.parent / f"agent-{who}"
        with Coord.open(tree if tree.is_dir() else self.home, who=who, clock=self) as coord:
            coord.presence.note(who, command.name)
            os.utime(coord.private / "seen" / who, (self.moment.timestamp(),) * 2)
            return command(coord, *args, **kwargs)

    def git(self, *words: str, at: str = "", who: str = "owner") -> str:
        """Run git as somebody at the farm's time."""
        self.later(seconds=41)
        date = f"{self.moment:%Y-%m-%dT%H:%M:%S+00:00}"
        mine = {"NAME": who, "EMAIL": f"{who}@coord.local", "DATE": date}
        env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in mine.items()}
        place = self.home.parent / f"agent-{at}" if at else self.home
        done = subprocess.run(
            ["git", *words], cwd=place, env={**os.environ, **env}, check=True, capture_output=True, text=True
        )
        return done.stdout

    def commit(self, who: str, path: str, text: str, message: str) -> None:
        """Let an agent add a line to a file in its worktree and commit it."""
        file = self.home.parent / f"agent-{who}" / path
        with file.open("a", encoding="utf-8") as out:
            out.write(text)
        self.git("commit", "-qam", message, at=who, who=who)

    def daemon(self) -> None:
        """Let the daemon do what there is to do."""
        self.later(seconds=2)
        with Coord.open(self.home, clock=self) as coord:
            run.once(coord, say=_nobody)


def _nobody(_line: str) -> None:
    """Hear a line of the daemon, and show it to nobody."""


def work(farm: Farm) -> None:
    """Let a morning pass on the farm."""
    farm.home.mkdir()
    farm.git("init", "-q", "-b", "main")
    for name, text in FILES.items():
        path = farm.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    farm.git("add", "-A")
    farm.git("commit", "-qm", "The farm as it is")
    setup.init(farm.home, clock=farm)
    farm.do("owner", worktrees.add, ("backend", "ux-design", "field-ops", "inventory"))
    farm.later(hours=1)
    _morning(farm)


def _morning(farm: Farm) -> None:
    farm.do("backend", locks.acquire, ("apps_script/**",), note="chef profiles from the Customers sheet")
    farm.commit("backend", "apps_script/chefs.js", "// from Customers\n", "Chef profiles from the Customers sheet")
    words = Prose("getChefProfile now uses the Customers sheet. The field `chefName` is `name`.")
    farm.do("backend", mail.send, ("@web",), words, subject="API changed: getChefProfile", priority="high")
    farm.do("backend", merges.request)
    farm.daemon()
    farm.do("field-ops", locks.acquire, ("planning/**",), ttl=timedelta(hours=4), note="succession for April")
    farm.do("field-ops", decisions.record, "lettuce succession", Prose("every 10 days"), confidence=0.8)
    words = Prose("Lettuce seed is enough for two more successions. Order now?")
    farm.do("inventory", mail.send, ("owner",), words, subject="Order lettuce seed?", kind="question")
    farm.do("ux-design", mail.read)
    farm.do("ux-design", locks.acquire, ("web_app/**",), note="profile page reads `name`")
    farm.commit("ux-design", "web_app/index.html", "<p>name\n", "Profile page reads the new field")
    farm.do("ux-design", merges.request)
    farm.daemon()
    farm.do("ux-design", locks.release)
    saved = Prose("Profile page reads `name`; merged.")
    farm.do("ux-design", checkpoints.save, saved, next=("the order form", "old field names"))
    farm.commit("field-ops", "planning/beds.csv", "lettuce,14\n", "Lettuce every 10 days")
    # The owner is at work in the same file, so this merge waits.
    (farm.home / "planning/beds.csv").write_text("crop,week\nlettuce,13\n", encoding="utf-8")
    farm.do("field-ops", merges.request)
    farm.daemon()
    farm.do("pm-architect", mail.send, ("auto",), Prose("Are the orders of last week in the new sheet?"))
    farm.do("backend", locks.renew)
    farm.do("ux-design", locks.acquire, ("web_app/orders.html",), note="order form")


def _prompt(console: rich.console.Console, words: str) -> None:
    console.print(rich.text.Text.assemble(("$ ", "green"), (words, "bold")))


def _status(farm: Farm, console: rich.console.Console) -> None:
    looks: list[status.Status] = []
    with Coord.open(farm.home, clock=farm) as coord:

        def look(_line: str) -> None:
            if not looks:  # the daemon's first line: it watches from now on
                farm.later(seconds=30)
                looks.append(status.status(coord))

        run.watch(coord, seconds=0.01, say=look)
    found = looks[0]
    here = str(farm.home)
    shown = dataclasses.replace(
        found,
        home=SHOWN_HOME,
        daemon=dataclasses.replace(found.daemon, pid=SHOWN_PID),
        merges=tuple(dataclasses.replace(one, held=one.held.replace(here, SHOWN_HOME)) for one in found.merges),
        needs=tuple(dataclasses.replace(one, what=one.what.replace(here, SHOWN_HOME)) for one in found.needs),
    )
    _prompt(console, "coord status")
    page.draw(render.blocks(shown), console)


def _log(farm: Farm, console: rich.console.Console) -> None:
    _prompt(console, "git log --oneline --graph")
    drawn = farm.git("log", "--oneline", "--graph", "--color=always", "--no-decorate", "main")
    console.print(rich.text.Text.from_ansi(drawn.rstrip()))
    console.print()
    _prompt(console, "coord log --limit 14")
    with Coord.open(farm.home, clock=farm) as coord:
        page.draw(render.blocks(history.log(coord, limit=14)), console)


def draw(name: str, title: str, show: Callable[[Farm, rich.console.Console], None], farm: Farm, folder: Path) -> None:
    """Draw one screen as a picture that asks nothing of the network."""
    console = rich.console.Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    show(farm, console)
    picture = console.export_svg(title=title, unique_id=f"coord-{name}")
    plain = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    plain = "".join(f"{line.rstrip()}\n" for line in plain.splitlines())
    if str(farm.home.parent) in plain:
        raise SystemExit(f"{name}: the picture shows where it was made")
    (folder / f"{name}.svg").write_text(plain, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Draw every picture."""
    folder = Path(arguments[0]) if arguments else HERE / "pictures"
    folder.mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("GIT_", "COORD_"))]:
        del os.environ[name]
    os.environ |= {"TZ": "UTC", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    time.tzset()
    os.urandom = random.Random(7).randbytes  # noqa: S311 - ids that are the same each time, in pictures only
    with tempfile.TemporaryDirectory() as place:
        farm = Farm(Path(os.path.realpath(place)))
        work(farm)
        draw("status", "coord status", _status, farm, folder)
        draw("log", "git log, coord log", _log, farm, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
