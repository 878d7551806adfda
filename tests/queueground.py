"""Where a play of the merge queue takes place: a repository, its settings, and a test that notes what it sees."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import queueoracle
from support import git

# Notes the tree that it sees, by the files themselves; what fails only once fails the first time.
_GATE = """\
log=$1 hold=$2 version=$3 flaky=$4
export GIT_INDEX_FILE="$PWD/../seen.$$"
git add -A . && tree=$(git write-tree) || exit 1
rm -f "$GIT_INDEX_FILE"; unset GIT_INDEX_FILE
while test -e "$hold"; do sleep 0.02; done
red=no
grep -rqs bad src own && red=yes
for left in own/left.*; do test -e "own/right.${left##*.}" && red=yes; done
before=$(grep -cs "^$tree $version begun" "$log")
echo "$tree $version begun" >> "$log"
case $flaky$tree in yes[0-4]*) test "$before" = 0 && exit 1;; esac
test $red = no || exit 1
echo "$tree $version passed" >> "$log"
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """What is the same for a whole play."""

    into: str
    batch: int
    parallel: int
    flaky: bool
    gated: bool
    fencing: str

    @classmethod
    def drawn(cls, chance: Random, *, tested: bool) -> "Ground":
        return cls(
            into=chance.choice(("main", "trunk")),
            batch=chance.choice((1, 3, 8)),
            parallel=chance.choice((1, 1, 2)),
            flaky=chance.random() < 0.5,
            gated=tested or chance.random() < 0.85,
            fencing=chance.choice(("refuse", "refuse", "review", "off")),
        )


@dataclass
class Place:
    """A repository that is prepared for a play, and the files beside it: while there is `hold`, tests wait."""

    home: Path
    ground: Ground
    version: int = 1

    def __post_init__(self) -> None:
        self.log, self.hold = self.home.with_name("gate.log"), self.home.with_name("hold")
        self.hold.unlink(missing_ok=True)
        self.log.write_text("")
        self.home.with_name("gate.sh").write_text(_GATE)
        for path, text in queueoracle.files(queueoracle.start()).items():
            (self.home / path).parent.mkdir(exist_ok=True)
            (self.home / path).write_text(text)
        (self.home / ".gitignore").write_text(".coord.yaml\n")
        git(self.home, "rm", "-q", "--cached", ".coord.yaml")
        self._settings = (self.home / ".coord.yaml").read_text()
        self.configure()
        git(self.home, "add", "-A")
        git(self.home, "commit", "-qm", "begin")
        git(self.home, "branch", "trunk")

    def configure(self) -> None:
        ground, words = self.ground, [self.home.with_name("gate.sh"), self.log, self.hold, self.version]
        test = " ".join(["sh", *map(str, words), "yes" if ground.flaky else "no"])
        gate = f"test: '{test}'" if ground.gated else "ungated: allow"
        rest = f"batch: {ground.batch}, parallel: {ground.parallel}, fencing: '{ground.fencing}', into: {ground.into}"
        (self.home / ".coord.yaml").write_text(f"{self._settings}merge: {{{gate}, {rest}}}\n")
