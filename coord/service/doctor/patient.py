"""Open a repository in which anything may be wrong, as nobody in particular and without touching it."""

from pathlib import Path

from coord.config import reading
from coord.config.schema import DEFAULT, Config
from coord.git import branch, discovery, ledger
from coord.git.discovery import Place
from coord.git.repo import Git
from coord.model.errors import CoordError, Usage
from coord.service.coord import CONFIG_NAME, Coord


def opened(start: Path, *, who: str = "") -> Coord:
    """Open the repository that START lies in, whatever its configuration; WHO asks does not matter.

    Raises:
        Usage: START is in no repository, or nothing there was ever coord's.
    """
    del who
    found = discovery.find(start)
    place = Place(found.home, found.common, found.home)
    traces = (place.home / CONFIG_NAME, place.common / "coord")
    if not any(map(Path.exists, traces)) and Git(place.home).peek(place.common, ledger.REF) is None:
        raise Usage(f"coord was never set up in {place.home}", hint="set it up with `coord init`")
    return Coord(place, _readable(place.home / CONFIG_NAME) or DEFAULT)


def has_configuration(coord: Coord) -> bool:
    """Tell whether `.coord.yaml` can be read: without it nobody knows who the agents are."""
    return _readable(coord.home / CONFIG_NAME) is not None


def readable_tip(coord: Coord) -> str | None:
    """Return the ledger's tip where git has it whole, and it is a ledger's."""
    tip = coord.ledger.tip()
    return tip if tip is not None and is_sound(coord, tip) else None


def is_sound(coord: Coord, tip: str) -> bool:
    """Tell whether git has the commit TIP whole, and it is a ledger's."""
    return branch.is_whole(coord.git, tip) and coord.ledger.is_ledger(tip)


def _readable(path: Path) -> Config | None:
    try:
        return reading.load(path)
    except CoordError:
        return None
