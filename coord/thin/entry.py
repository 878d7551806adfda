"""The `coord` program: two of its commands start many times a minute and must not load the others."""

import gc
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process."""
    if sys.argv[1:2] == ["hook"] and not any(word.startswith("-") for word in sys.argv[2:]):
        try:
            from coord.thin import hook

            sys.exit(hook.main(sys.argv[2:]))
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
    if sys.argv[1:2] == ["mcp"] and not {"--here", "--host", "--help", "-h"} & set(sys.argv):
        from coord.thin import relay

        sys.exit(relay.main(sys.argv[2:]))
    gc.disable()  # all that loads stays: looking through it for garbage finds none
    from coord.main import main as everything  # loading it is what the others wait for

    gc.enable()
    everything()
