"""Which key a record lives at: a key is a path below home, with forward slashes.

inbox/<mailbox>/<id>-<slug>.md          unread
inbox/<mailbox>/read/<id>-<slug>.md     read or acked
inbox/merges/<id>-<slug>.md             merge requests
inbox/.dead/...                         dead letters, byte for byte
locks/<percent-encoded scope>[@<holder>].yaml
checkpoints/<agent>/<id>-<slug>.md
checkpoints/decisions/<id>-<slug>.md
"""

import hashlib
from urllib.parse import quote

from coord.model import ids
from coord.model.records import Checkpoint, Decision, Lock, MergeRequest, Message
from coord.model.regex import regex

FOLDERS = ("inbox", "locks", "checkpoints")
READ = "inbox/*/read"
MERGES = "inbox/merges"
DEAD = "inbox/.dead"
DECISIONS = "checkpoints/decisions"
SHARED_MAILBOXES = ("all", "auto")
_WORDS = "all auto owner coord git read tasks merges decisions memory live unknown con prn aux nul"
_DEVICES = (f"{device}{number}" for device in ("com", "lpt") for number in range(10))
RESERVED = frozenset((*_WORDS.split(), *_DEVICES))
_NAME = regex(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_LOCK_NAME_LIMIT = 200


def is_agent_name(text: str) -> bool:
    """Tell whether TEXT may name an agent (and so a folder, a branch and an author)."""
    return _NAME.fullmatch(text) is not None and text not in RESERVED


def file_name(identifier: str, subject: str) -> str:
    """Return `<id>-<slug>.md`, so that a directory listing reads as a history."""
    return f"{identifier}-{ids.slug(subject)}.md"


def id_in(key: str) -> str | None:
    """Return the id a key's file name starts with, or None where it has none."""
    name = key.rpartition("/")[2]
    identifier = name[: ids.LENGTH]
    canonical = name.endswith(".md") and name[ids.LENGTH : ids.LENGTH + 1] in ("-", ".")
    return identifier if canonical and ids.is_ulid(identifier) else None


def mailbox(name: str) -> str:
    """Return the folder of a mailbox."""
    return f"inbox/{name}"


def message(name: str, record: Message) -> str:
    """Return where a message waits in the mailbox NAME."""
    return f"inbox/{name}/{file_name(record.id, record.subject)}"


def as_read(key: str) -> str:
    """Return where the message at an unread key goes when it is acked."""
    folder, _, name = key.rpartition("/")
    return f"{folder}/read/{name}"


def is_read(key: str) -> bool:
    """Tell whether a message's key lies in a `read/` folder."""
    return key.split("/")[2:3] == ["read"]


def lock(record: Lock) -> str:
    """Return where a lease is written; shared ones have a file for each holder."""
    name = quote(record.scope, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"  # a dot file is no record
    if len(name) > _LOCK_NAME_LIMIT:
        digest = hashlib.sha256(record.scope.encode()).hexdigest()[:16]
        name = f"{name[:_LOCK_NAME_LIMIT].rstrip('%')}~{digest}"
    holder = f"@{record.holder}" if record.mode == "shared" else ""
    return f"locks/{name}{holder}.yaml"


def checkpoint(record: Checkpoint) -> str:
    """Return where a checkpoint is kept."""
    return f"checkpoints/{record.agent}/{file_name(record.id, record.title)}"


def decision(record: Decision) -> str:
    """Return where a decision is kept."""
    return f"{DECISIONS}/{file_name(record.id, record.about)}"


def merge_request(record: MergeRequest) -> str:
    """Return where a merge request waits."""
    return f"{MERGES}/{file_name(record.id, record.title)}"


def is_record(key: str) -> bool:
    """Tell whether a file at KEY belongs to the ledger, rather than to a code branch or an editor.

    Records sit at fixed depths under fixed endings; a README at the top of a folder,
    an editor's swap file and a dot file are none.
    """
    if (key.startswith(".") or "/." in key) and not key.startswith("inbox/.dead/"):
        return False
    match key.split("/"):
        case ["inbox", ".dead", _]:
            return True
        case ["inbox", _, name] | ["inbox", _, "read", name]:
            return id_in(name) is not None
        case ["locks", name]:
            return name.endswith(".yaml")
        case ["checkpoints", _, name]:
            return id_in(name) is not None
        case _:
            return False
