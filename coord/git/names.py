"""Which keys git takes as paths, here and on every other file system."""

import re

from coord.model.regex import regex

_PLAIN = regex(r"[A-Za-z0-9][A-Za-z0-9._@% -]*(?:/[A-Za-z0-9][A-Za-z0-9._@% -]*)*")
# What git itself would refuse to check out, or what `git fsck --strict` complains of, on any file system.
_IGNORED_BY_HFS = regex("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_RESERVED_BY_GIT = regex(r"\.git.*|gi[0-9a-z]{0,6}~\d+", re.DOTALL)


def fits(key: str) -> bool:
    """Tell whether git takes KEY as a path, here and on every other file system."""
    # Nearly every key, and long lists of them are asked about.
    if _PLAIN.fullmatch(key):
        return True
    return not any(part in ("", ".", "..") or "\0" in part or _is_gits(part) for part in key.split("/"))


def _is_gits(part: str) -> bool:
    plain = _IGNORED_BY_HFS.sub("", part).lower().partition(":")[0].rstrip(" .")
    return _RESERVED_BY_GIT.fullmatch(plain) is not None
