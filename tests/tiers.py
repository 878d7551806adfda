"""How much torment a test does, and from which seed: a little in every run, all of it with `make torment`."""

import os
import secrets

LONG = os.environ.get("COORD_TORMENT") == "long"
_GIVEN = os.environ.get("COORD_SEED")


def rounds(short: int, long: int) -> int:
    """Return how many rounds to do: SHORT in every test run, LONG in the long tier."""
    return long if LONG else short


def seed() -> int:
    """Return a seed, a fresh one unless COORD_SEED gives it, and print how to replay it."""
    value = int(_GIVEN) if _GIVEN else secrets.randbelow(1 << 32)
    print(f"replay with COORD_SEED={value}")
    return value
