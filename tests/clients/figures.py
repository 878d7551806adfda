"""What was measured, to be said when all is over."""

FIGURES: list[str] = []
LOST: dict[str, int] = {}  # packets for elsewhere than loopback, by who may have sent them
