"""Many branches measured at once, as git measures each."""

from pathlib import Path

from support import git

from coord.git.distances import distances
from coord.git.repo import Git


def test_distances_agree_with_git_on_a_tangled_history(tmp_path: Path) -> None:
    repo = tmp_path
    git(repo, "init", "-q")
    git(repo, "commit", "-qm", "start", "--allow-empty")
    for name in ("one", "two", "three"):
        git(repo, "branch", name)
    git(repo, "checkout", "-q", "--orphan", "alien")
    git(repo, "commit", "-qm", "of its own", "--allow-empty")
    for number, name in enumerate(("one", "two", "three", "main", "one", "main", "two", "three", "one")):
        git(repo, "checkout", "-qf", name)
        git(repo, "commit", "-qm", f"{number}", "--allow-empty")
        if number % 3 == 2:
            git(repo, "merge", "-qm", "both", "one")
    door, base = Git(repo), git(repo, "rev-parse", "main")
    heads = {name: git(repo, "rev-parse", name) for name in ("one", "two", "three", "main", "alien")}
    for some in (("one", "two", "three", "main"), tuple(heads)):
        found = distances(door, base, {heads[name] for name in some})
        for name in some:
            behind, ahead = git(repo, "rev-list", "--left-right", "--count", f"main...{name}").split()
            assert found[heads[name]] == (int(ahead), int(behind)), name
