"""What workers said was done, held against the files and the ledger."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from support import git

from coord.git import history
from coord.model import keys
from coord.service import verify
from coord.service.coord import Coord

Said = list[list[str]]


class Accounts:
    """All that was acknowledged in one repository so far, and all that its ledger holds."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.coord = Coord.open(repo, who="owner")
        self.said = Counter[str]()
        self._expected: Said = []
        self._tip: str | None = None
        self._ids = Counter[str]()
        self._holders: dict[str, str] = {}
        self._facts = Counter[tuple[str, ...]]()

    def expect(self, *said: list[str]) -> None:
        """Take note of what was said in this process."""
        self._expected += said

    def audit(self, said: Said) -> None:
        """Prove, once all has healed, that what was said is there once, and that nothing else is there twice."""
        said, self._expected = [*said, *self._expected], []
        self.said.update(what for what, *_ in said)
        assert self.coord.journal.size() == 0, "the next start left events uncommitted"
        self._read_ledger()
        for what, *facts in said:
            if what == "sent":
                self._assert_sent(*facts)
            elif what == "read":
                self._assert_read(*facts)
            elif what == "granted":
                assert self._holders.get(facts[0]) == facts[1], f"lease {facts[0]} was granted and is not there"
            elif what == "released":
                assert self._facts["lease.released", facts[0]] == 1, f"lease {facts[0]} was released and is not"
            elif what == "landed":
                assert self._facts["merge.landed", facts[0]] == 1, f"{facts[0]} was said to have landed"
        assert not (twice := _repeated(self._ids)), f"events are in the ledger more than once: {twice}"
        assert not (twice := _repeated(self._facts)), f"it happened twice: {twice}"
        assert not (twice := _repeated(Counter(self._places()))), f"a message is in a mailbox twice: {twice}"
        verify.verify(self.coord)

    def audit_branches(self, *branches: str) -> None:
        """Prove that each request was merged once, and that the owner's checkout came along."""
        trailer = "--format=%(trailers:key=Coord-Merge,valueonly,separator=)"
        merged = Counter(git(self.repo, "log", trailer, *branches).split())
        landed = Counter({what[1]: count for what, count in self._facts.items() if what[0] == "merge.landed"})
        assert merged == landed, f"merged: {merged - landed}, said to be: {landed - merged}"
        assert not git(self.repo, "status", "--porcelain"), "the owner's checkout did not come along"

    def sound(self) -> None:
        """Prove that git finds nothing wrong."""
        found = git(self.repo, "fsck", "--strict", "--no-dangling", "--no-progress")
        assert not found, found

    def _read_ledger(self) -> None:
        tip = self.coord.ledger.tip()
        assert tip is not None
        for entry in history.entries(self.coord.git, since=self._tip, until=tip):
            if entry.kind:  # else it was committed by hand
                self._ids[entry.id] += 1
            if entry.kind == "lease.granted":  # again with the same token where its holder takes it again
                assert self._holders.setdefault(entry.facts["Token"], entry.agent) == entry.agent, "two have one token"
            if entry.kind == "lease.released":
                self._facts[entry.kind, entry.facts["Token"]] += 1
            if entry.kind in ("mail.read", "mail.acked"):
                self._facts["read", entry.agent, *entry.cause] += 1
            if entry.kind == "merge.landed":
                self._facts[entry.kind, *entry.cause] += 1
        self._tip = tip

    def _assert_sent(self, identifier: str, *boxes: str) -> None:
        assert self._ids[identifier] == 1, f"{identifier} was acknowledged and is {self._ids[identifier]} times there"
        for box in boxes:
            assert len(self._copies(box, identifier)) == 1, f"{identifier} was acknowledged and is not once in {box}"

    def _assert_read(self, box: str, identifier: str) -> None:
        assert self._facts["read", box, identifier] == 1, f"{box} read {identifier} and the ledger does not say so"
        found = self._copies(box, identifier)
        assert [keys.is_read(key) for key in found] == [True], f"{box} read {identifier} and it is at {found}"

    def _copies(self, box: str, identifier: str) -> list[str]:
        return [key for key in self.coord.store.list(keys.mailbox(box)) if keys.id_in(key) == identifier]

    def _places(self) -> Iterable[tuple[str, str]]:
        for key in self.coord.records("inbox"):
            yield key.split("/")[1], keys.id_in(key) or key


def _repeated(counted: Counter[str] | Counter[tuple[str, ...]] | Counter[tuple[str, str]]) -> list[object]:
    return [one for one, count in counted.items() if count > 1]
