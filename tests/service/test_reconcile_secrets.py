"""What hands wrote beside a credential is recorded; what carries one is not, and is named."""

from collections.abc import Callable
from pathlib import Path

import credentials
import pytest
from byhand import ID, drop, message, sent

from coord.git import history
from coord.model import codec, keys
from coord.model.errors import Corrupt
from coord.service import verify
from coord.service.coord import Coord

As = Callable[..., Coord]


@pytest.mark.parametrize("place", [f"inbox/.dead/{ID}-x.txt", ""])
def test_a_credential_holds_up_nothing_but_itself(repo: Path, coord_for: As, place: str) -> None:
    _, text = next(one for one in credentials.made(3) if "\n" not in one[1])
    key = place or sent(coord_for)
    drop(repo, key, ((repo / key).read_bytes() if not place else b"") + f"\nthe key is {text}\n".encode())
    fresh = keys.message("backend", message())
    drop(repo, fresh, codec.encode(message()))
    coord = coord_for("owner")
    assert verify.reconcile(coord, verify.drift(coord)) == 1
    assert fresh in history.tree(coord.git, "coord/ledger")
    (left,) = verify.drift(coord)
    assert (left.key, left.what, left.by_hand) == (key, "credential", False)
    with pytest.raises(Corrupt) as caught:
        verify.verify(coord, commit=True)
    assert "--allow-secret" in caught.value.hint
    coord.screen.allow("owner")
    assert verify.verify(coord, commit=True).committed == 1
