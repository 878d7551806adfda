"""Files that somebody else wrote, and may be writing still."""

import os
from pathlib import Path

import pytest

from coord.model.errors import Corrupt
from coord.stores import claim


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "inbox/a").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("name", [b"x.md", b"caf\xe9.md", b"a\nb", b"-rf", b"x" * 255, b"x~0123abcd.taken~"])
def test_a_claim_moves_the_file_beside_itself_and_remembers_its_name(home: Path, name: bytes) -> None:
    key = "inbox/a/" + os.fsdecode(name)
    (home / key).write_bytes(b"hello")
    claimed = claim.claim(home, key)
    assert claimed is not None and claim.is_claimed(claimed) and not claim.is_claimed(key)
    assert not (home / key).exists()
    assert claim.given(claimed) == key[: len("inbox/a/") + 200]
    assert claim.claim(home, claimed) == claimed
    taken = claim.read(home, claimed, 3)
    assert taken is not None and taken.data == b"hel"


@pytest.mark.parametrize("lease", [claim.LEASE, None])
def test_a_file_open_for_writing_is_not_read_where_the_system_tells(home: Path, lease: int | None) -> None:
    (home / "inbox/a/x").write_bytes(b"")
    with (home / "inbox/a/x").open("ab", buffering=0) as writer:
        writer.write(b"half")
        claimed = claim.claim(home, "inbox/a/x")
        assert claimed is not None
        assert (claim.read(home, claimed, 9, lease=lease) is None) == (lease is not None)
        writer.write(b", whole")
    taken = claim.read(home, claimed, 99, lease=lease)
    assert taken is not None and taken.data == b"half, whole"


def test_links_pipes_and_folders_are_claimed_by_nobody(home: Path, tmp_path: Path) -> None:
    (home / "inbox/a/link").symlink_to("/etc/passwd")
    os.mkfifo(home / "inbox/a/pipe")
    (home / "inbox/a/folder").mkdir()
    (home / "inbox/b").symlink_to("a")
    assert [claim.claim(home, f"inbox/a/{name}") for name in ("link", "pipe", "folder", "nothing")] == [None] * 4
    with pytest.raises(Corrupt):
        claim.claim(home, "inbox/b/x")
    assert claim.read(home, "inbox/a/gone~0123abcd.taken", 9) is None
