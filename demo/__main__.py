"""`python -m demo`: what `make watch` shows where no repository is given."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from demo import farm
from demo.show import Show, Stuck
from demo.voice import Voice

_INTERRUPTED = 130
_ASKS_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Perform it once and return the exit status: 0 when everything claimed was proven, 1 when not, 130 when ended."""
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="Show coord at work, for real, in about 40 seconds."
    )
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="play there; default: .demo/<n> below the project")
    voice = Voice()
    for number in _ASKS_TO_END[1:]:
        signal.signal(number, _interrupt)
    show = Show(farm.folder_for(parser.parse_args().into), voice)
    try:
        return 0 if show.play() else 1
    except KeyboardInterrupt:
        _end(show)
        voice.plain()
        voice.plain(f"ended; no process is left. What came to be is in {show.folder}", "bad")
        voice.plain("Nothing in it is half done: `coord ledger verify --commit` there says so", "dim")
        return _INTERRUPTED
    except (Stuck, OSError, subprocess.SubprocessError) as fault:
        voice.plain(f"the demonstration could not go on: {_told(fault)}", "alarm")
        return 1
    finally:
        _end(show)


def _end(show: Show) -> None:
    """End every process; asked again meanwhile, go on ending them."""
    for number in _ASKS_TO_END:
        signal.signal(number, signal.SIG_IGN)
    show.stage.stop_all()


def _told(fault: Exception) -> str:
    if isinstance(fault, subprocess.CalledProcessError):
        return f"`{' '.join(fault.cmd)}` ended with {fault.returncode}: {fault.stderr}{fault.stdout}".rstrip()
    return str(fault)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
