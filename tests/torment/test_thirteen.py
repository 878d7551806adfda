"""Thirteen agents in worktrees of their own, a real daemon, and a queue that tests what they make."""

import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import thirteen
import tiers
from crowd import watched
from leftovers import leftovers
from support import at_rest, eventually, git

from coord.service import mergegraph, merges, setup, testruns, verify, worktrees
from coord.service.coord import Coord
from coord.service.guard import placing

AGENTS = tiers.rounds(3, 13)
SECONDS = tiers.rounds(6, 300)
CONFIG = """\
format: 1
agents:
{agents}merge: {{test: "sleep 0.3; ! grep -rq bad shared own"}}
watch: {{scan_every: 5s}}
"""


@pytest.mark.timeout(1200)
def test_what_should_land_has_landed_once(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed, names = tiers.seed(), thirteen.names(AGENTS)
    (repo / ".coord.yaml").write_text(CONFIG.format(agents="".join(f"  {name}: {{role: hand}}\n" for name in names)))
    thirteen.furnish(repo)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "thirteen")
    setup.init(repo)
    owner = Coord.open(repo, who="owner")
    added = worktrees.add(owner, names).trees
    placing.install(owner)
    owner.settle()
    begin = git(repo, "rev-parse", "main")
    with watched(repo):
        with thirteen.at_work({one.agent: Path(one.path) for one in added}, time.monotonic() + SECONDS, seed):
            pass
        eventually(lambda: not merges.waiting(owner) and not owner.journal.size(), within=120, what="an empty queue")
        eventually(lambda: not [one for one in leftovers(repo) if "worktrees" not in one.parts], within=60)
    at_rest(repo)
    told = thirteen.told([Path(one.path) for one in added])
    assert_landed_once(repo, begin, told)
    assert_green(repo, begin)
    verify.verify(owner)
    assert not git(repo, "status", "--porcelain") and not git(
        repo, "fsck", "--strict", "--no-dangling", "--no-progress"
    )
    runs = testruns.log(owner, limit=100_000).runs
    with capsys.disabled():
        print(f"\n{len(told)} requests of {AGENTS} agents in {SECONDS} s, {len(runs)} tests; told: {outcomes(told)}")
        print(git(repo, "log", "--graph", "--format=%h %an: %s", "-24", "main"))
        print(f"{len(mergegraph.graph(owner).branches)} branches in coord merge graph")


def outcomes(told: list[thirteen.Told]) -> dict[str, int]:
    kinds = Counter("merged" if one.outcome.startswith("merged") else one.outcome.split(": ")[-1] for one in told)
    return dict(kinds.most_common(8))


def assert_landed_once(repo: Path, begin: str, told: list[thirteen.Told]) -> None:
    """Prove that each change is in the base as often as its agent was told."""
    lines = Counter(git(repo, "grep", "-h", "-e", "-", "main", "--", "shared", "own").splitlines())
    trailer = "--format=%(trailers:key=Coord-Merge,valueonly,separator=)"
    merged = Counter(git(repo, "log", "--first-parent", trailer, f"{begin}..main").split())
    landed = [one for one in told if one.outcome.startswith("merged")]
    assert merged == Counter(one.request for one in landed), "what was merged is not what agents were told"
    assert lines == Counter(one.mark for one in landed), "the base holds something else than what landed"
    assert len(landed) > len(told) // 3 and not any(one.bad for one in landed)
    for one in told:
        if one not in landed:
            reason = one.bad or "it conflicts in" in one.outcome or "lease" in one.outcome
            assert one.outcome.startswith("not merged") and reason, f"{one} should have landed"


def assert_green(repo: Path, begin: str) -> None:
    """Prove that the test passes at every commit of the base, and that each is a merge that says whose it is."""
    for line in git(repo, "log", "--first-parent", "--format=%H %an %P", f"{begin}..main").splitlines():
        commit, author, *parents = line.split()
        assert len(parents) == 2 and author in thirteen.names(AGENTS), line
        bad = subprocess.run(["git", "grep", "-q", "bad", commit, "--", "shared", "own"], cwd=repo, check=False)
        assert bad.returncode == 1, f"the test fails at {commit}"
        text = git(repo, "log", "-1", "--format=%B", commit)
        assert "Coord-Gate: passed" in text and f"Coord-Agent: {author}" in text
