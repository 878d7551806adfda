"""One agent of the demonstration: a process that plays its part through the real command line, git and files.

    python -m demo.agent backend /path/to/.demo/1 [--again]

It reads `act N` on its standard input and writes one JSON object a line: what it says, what it
knows for a fact (the proof at the end compares these with git), which mark it has come to, and
that an act is done. With `--again` it is the second process, after the first was killed.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from demo import story
from demo.deeds import do
from demo.player import Player, Unfinished, tell
from demo.steps import Step


def main() -> None:
    """Play the acts that are called out on standard input."""
    name, folder, *again = sys.argv[1:]
    me = Player(name, Path(folder))
    for line in sys.stdin:
        number = int(line.removeprefix("act "))
        _play(me, story.AGAIN if again else story.ACTS[number].parts.get(name, ()))
        again = []
        tell(done=number)


def _play(me: Player, part: Sequence[Step]) -> None:
    try:
        for step in part:
            do(step, me)
    except (Unfinished, OSError, LookupError, ValueError, subprocess.SubprocessError) as fault:
        me.fact("fault", what=f"{me.name}: {type(fault).__name__}: {fault}".rstrip())


if __name__ == "__main__":
    main()
