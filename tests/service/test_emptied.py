"""What went with its whole folder is an accident: nobody's removals are recorded for it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from byhand import sent

from coord.model.errors import Corrupt
from coord.service import mail, verify
from coord.service.coord import Coord
from coord.service.looks import Looks

As = Callable[..., Coord]


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def linked(folder: Path) -> None:
    elsewhere = folder.parents[1] / f"elsewhere-{folder.name}"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize("folder", ["inbox", "inbox/frontend"])
@pytest.mark.parametrize("harm", [gone, linked])
def test_mail_whose_folder_is_gone_or_a_link_is_not_removed(
    repo: Path, coord_for: As, folder: str, harm: Callable[[Path], None]
) -> None:
    key = sent(coord_for)
    harm(repo / folder)
    coord = coord_for("owner")
    (found,) = verify.drift(coord)
    assert (found.key, found.what) == (key, "folder emptied")
    assert verify.reconcile(coord, (found,)) == 0
    assert key in Looks(coord).tree()


def test_a_folder_of_read_mail_or_of_dead_letters_may_be_thrown_away(repo: Path, coord_for: As) -> None:
    key = sent(coord_for)
    read = repo / "inbox/frontend/read"
    read.mkdir(exist_ok=True)
    (repo / key).rename(read / Path(key).name)
    coord = coord_for("owner")
    assert verify.reconcile(coord, verify.drift(coord)) == 1
    shutil.rmtree(read)
    assert verify.reconcile(coord, verify.drift(coord)) == 1
    assert verify.drift(coord) == ()


@pytest.mark.parametrize("folder", ["inbox", "inbox/frontend"])
@pytest.mark.parametrize("harm", [gone, linked])
def test_a_mailbox_that_cannot_be_seen_is_never_said_to_be_empty(
    repo: Path, coord_for: As, folder: str, harm: Callable[[Path], None]
) -> None:
    sent(coord_for)
    harm(repo / folder)
    for look in (mail.list_, mail.read):
        with pytest.raises(Corrupt, match="cannot be told") as caught:
            look(coord_for("frontend"))
        assert "coord doctor" in caught.value.hint
