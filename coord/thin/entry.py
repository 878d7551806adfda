"""The `coord` program: two of its commands start many times a minute and must not load the others."""

import gc
import os
import sys

_INTERRUPTED = 130
_SAID = b"\ncoord: interrupted; nothing is half done\n"


def main() -> None:
    """Run the command line of this process."""
    command = sys.argv[1:2]
    try:
        _run(command)
    except KeyboardInterrupt:  # also while it loads what it needs
        if command != ["hook"]:
            os.write(2, _SAID)
        sys.exit(_INTERRUPTED)


def _run(command: list[str]) -> None:
    if command == ["hook"] and not any(word.startswith("-") for word in sys.argv[2:]):
        from coord.thin import hook

        sys.exit(hook.main(sys.argv[2:]))
    if command == ["mcp"] and not {"--here", "--host", "--help", "-h"} & set(sys.argv):
        from coord.thin import relay

        sys.exit(relay.main(sys.argv[2:]))
    gc.disable()  # all that loads stays: looking through it for garbage finds none
    from coord.main import main as everything  # loading it is what the others wait for

    gc.enable()
    everything()
