"""What a program does to files, as far as it matters after a power cut; files and folders are numbered nodes."""

from dataclasses import dataclass

Slot = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes written into the file NODE."""

    node: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Size:
    """The file NODE was cut to SIZE."""

    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Names:
    """Names that changed at once: each slot (folder, name) bears this node from now on, or none."""

    slots: tuple[tuple[Slot, int | None], ...]


@dataclass(frozen=True, slots=True)
class Tip:
    """Git moved the ledger's branch here."""

    commit: str


@dataclass(frozen=True, slots=True)
class Sync:
    """What the file or folder NODE holds is on the disk; None is the folder of the ledger's branch."""

    node: int | None


Op = Data | Size | Names | Tip | Sync
