"""The `coord` program: what starts many times a minute must not load the rest."""

import gc
import os
import sys

_INTERRUPTED = 130
_SAID = b"\ncoord: interrupted; nothing is half done\n"


def main() -> None:
    """Run the command line of this process."""
    words = sys.argv[1:]
    try:
        _run(words)
    except KeyboardInterrupt:  # also while it loads what it needs
        if words[:1] != ["hook"]:
            os.write(2, _SAID)
        sys.exit(_INTERRUPTED)


def _run(words: list[str]) -> None:
    if words[:1] == ["hook"] and not any(word.startswith("-") for word in words[1:]):
        from coord.thin import hook

        sys.exit(hook.main(words[1:]))
    if words[:1] == ["mcp"] and not {"--here", "--host", "--help", "-h"} & set(words):
        from coord.thin import relay

        sys.exit(relay.main(words[1:]))
    from coord.thin import command

    status = command.main(words)
    if status is not None:
        sys.exit(status)
    gc.disable()  # all that loads stays: looking through it for garbage finds none
    from coord.main import main as everything  # loading it is what the others wait for

    gc.enable()
    everything()
