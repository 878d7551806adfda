"""What a request's `gate` says: nothing yet, `ungated`, the test that it is tested by, or that this one passed."""

from coord.model.records import MergeRequest

UNGATED, PASSED = "ungated", "passed"


def gate_name(one: MergeRequest) -> str:
    """Return the test that a request is tested by, or was; `ungated` where it goes without, "" as long as it waits."""
    return one.gate.removeprefix(f"{PASSED} ")


def has_passed(one: MergeRequest) -> bool:
    """Tell whether the test passed on what lands with it."""
    return one.gate.partition(" ")[0] == PASSED


def passed(name: str) -> str:
    """Return the `gate` of a request whose test NAME passed."""
    return f"{PASSED} {name}"
