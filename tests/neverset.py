"""Repositories in which coord was never set up, and ledgers whose files never came here."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from coord.model.records import Change, Event, Message
from coord.service.coord import Coord

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
IDS = [f"01KAJ3X5ZC9Q0V7T2D4M8N6P{number:02d}" for number in range(10, 40)]


def git(cwd: Path, *args: str) -> str:
    done = subprocess.run(["git", "--no-optional-locks", *args], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def farm_in(home: Path, *files: str) -> Path:
    home.mkdir()
    git(home, "init", "-q")
    for name in ("README.md", *files):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"{name}\n")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "start")
    return home


def message(number: int, *, sender: str = "backend", to: str = "frontend") -> Message:
    return Message(
        id=IDS[number],
        sender=sender,
        to=(to,),
        subject=f"word {number}",
        body="so it is\n",
        sent_at=NOW,
        thread=IDS[number],
    )


def publish(home: Path, *events: tuple[str, dict[str, bytes | None]]) -> None:
    """Put events on the ledger alone, as if their files had never come here."""
    coord = Coord.open(home)
    made = [
        Event(
            id=IDS[-1 - number],
            kind="mail.sent",
            agent=agent,
            subject="word",
            at=NOW,
            changes=tuple(Change(key, data) for key, data in changes.items()),
        )
        for number, (agent, changes) in enumerate(events)
    ]
    coord.ledger.append(made, parent=coord.ledger.tip(), now=NOW)


def traces(home: Path) -> dict[str, object]:
    """Everything of the owner's that setting up must leave as it is."""
    common = home / ".git"
    return {
        "index": (common / "index").read_bytes() if (common / "index").exists() else None,
        "HEAD": (common / "HEAD").read_bytes(),
        "config": (common / "config").read_bytes(),
        "hooks": sorted((path.name, path.read_bytes()) for path in (common / "hooks").iterdir()),
        "status": git(home, "status", "--porcelain", "--untracked-files=all").replace("?? .coord.yaml", "").strip(),
        "refs": [line for line in git(home, "for-each-ref").splitlines() if "coord/ledger" not in line],
        "files": {path: (home / path).read_bytes() for path in git(home, "ls-files").splitlines()},
    }
