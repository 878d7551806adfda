"""Merging pairs in memory: what is left out cannot conflict, and nobody's files, index or objects change."""

import os
import random
from itertools import combinations
from pathlib import Path

import pytest
from support import git, gits

from coord.git.foresight import Foreseer, State
from coord.git.relations import relations
from coord.git.repo import Git
from coord.model import foresight
from coord.model.foresight import Side

SEED = int(os.environ.get("COORD_SEED", random.SystemRandom().randrange(1 << 30)))
BASE_FILES = ("a.txt", "lib/b.txt", "lib/c.txt", "lib/deep/d.txt", "web/e.txt")


def written(place: Path, name: str, text: str) -> None:
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    top = tmp_path / "farm"
    top.mkdir()
    git(top, "init", "-q")
    for number, name in enumerate(BASE_FILES):  # each its own text, so that a rename is known by it
        written(top, name, "".join(f"{name} {number} {line}\n" for line in range(12)))
    git(top, "add", "-A")
    git(top, "commit", "-qm", "start")
    return top


def foreseer(place: Path) -> Foreseer:
    return Foreseer(Git(place), place / ".git", place / ".git" / "coord" / "foresight")


def changed(place: Path, chance: random.Random) -> str:
    """Do one thing that work does to a tree, and say it."""
    files = [name for name in git(place, "ls-files").splitlines() if (place / name).is_file()]
    name = chance.choice(files) if files else ""
    match chance.choice(("edit", "edit", "add", "remove", "rename", "move folder", "file for folder", "mode")):
        case "edit" if name:
            lines = (place / name).read_text().splitlines()
            lines[chance.randrange(len(lines)) if lines else 0 :][:1] = []
            lines.insert(chance.randrange(len(lines) + 1), f"new {chance.random()}")
            (place / name).write_text("\n".join(lines) + "\n")
            return f"edit {name}"
        case "add":
            folder = chance.choice(("", "lib/", "lib/deep/", "web/", "fresh/"))
            fresh = f"{folder}new-{chance.randrange(3)}.txt"
            if any((place / above).is_file() for above in foresight.folders([fresh])):
                return "nothing"
            written(place, fresh, f"{chance.random()}\n")
            return f"add {fresh}"
        case "remove" if name:
            (place / name).unlink()
            return f"remove {name}"
        case "rename" if name:
            to = f"{chance.choice(('lib', 'web', 'moved'))}/renamed-{chance.randrange(3)}.txt"
            if not (place / to).exists() and not any((place / above).is_file() for above in foresight.folders([to])):
                written(place, to, (place / name).read_text())
                (place / name).unlink()
            return f"rename {name} to {to}"
        case "move folder" if (place / "lib").is_dir() and not (place / "core").exists():
            (place / "lib").rename(place / "core")
            return "move lib to core"
        case "file for folder" if (place / "web").is_dir():
            for path in (place / "web").rglob("*"):
                path.unlink()
            (place / "web").rmdir()
            (place / "web").write_text("a file now\n")
            return "a file for web"
        case "mode" if name:
            (place / name).chmod(0o755)
            return f"mode of {name}"
    return "nothing"


def snapshot(door: Foreseer, place: Path, head: str) -> str:
    (found,) = door.snapshots([State(place, head, "me")])
    return found


def side(door: Foreseer, base: str, name: str, commit: str) -> Side:
    start = relations(Git(door._git.cwd), base, {commit})[commit].parted
    assert start is not None
    (found,) = door.changes([(start, commit)])
    return Side(
        name=name, branch=name, head=commit, commit=commit,
        paths=found.paths, left=found.left, entered=found.entered, behind=start != base,
    )  # fmt: skip


@pytest.mark.parametrize("round_", range(12))
def test_pairs_that_are_passed_over_do_merge(place: Path, round_: int) -> None:
    print(f"COORD_SEED={SEED}")
    chance = random.Random(f"{SEED} {round_}")
    names, told = ("one", "two", "three"), []
    for name in names:
        git(place, "checkout", "-qfB", name, "main")
        told.append((name, [changed(place, chance) for _ in range(chance.randrange(1, 4))]))
        git(place, "add", "-A")
        git(place, "commit", "-qm", name, "--allow-empty")
    door, base = foreseer(place), git(place, "rev-parse", "main")
    sides = [side(door, base, name, git(place, "rev-parse", name)) for name in names]
    asked = foresight.suspects(sides)
    every = [(first, second) for number, first in enumerate(sides) for second in sides[number + 1 :]]
    merged = door.merge([(first.commit, second.commit) for first, second in every])
    for (first, second), found in zip(every, merged, strict=True):
        own = git_conflicts(place, first.commit, second.commit)
        assert sorted(found.conflicts) == own
        if own:
            assert (first.name, second.name) in asked, (told, own)


def git_conflicts(place: Path, first: str, second: str) -> list[str]:
    done = Git(place).run(
        "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", first, second, check=False
    )
    assert done.status in (0, 1)
    return sorted({name.decode() for name in done.out.split(b"\0")[1:] if name}) if done.status else []


def test_a_file_where_another_puts_a_folder_is_suspected(place: Path) -> None:
    for name, path in (("one", "fresh"), ("two", "fresh/inside.txt")):
        git(place, "checkout", "-qfB", name, "main")
        written(place, path, f"{name}\n")
        git(place, "add", "-A")
        git(place, "commit", "-qm", name)
    door, base = foreseer(place), git(place, "rev-parse", "main")
    sides = [side(door, base, name, git(place, "rev-parse", name)) for name in ("one", "two")]
    assert foresight.suspects(sides) == [("one", "two")]
    assert foresight.suspects(sides[::-1]) == [("two", "one")]
    assert git_conflicts(place, *(one.commit for one in sides))


def test_a_snapshot_holds_all_that_lies_there_and_touches_nothing(place: Path) -> None:
    head = git(place, "rev-parse", "HEAD")
    door = foreseer(place)
    assert snapshot(door, place, head) == head
    (place / "a.txt").write_text("changed\n")
    written(place, "lib/fresh.txt", "untracked\n")
    written(place, "staged.txt", "staged\n")
    git(place, "add", "staged.txt")
    (place / "web/e.txt").unlink()
    written(place, ".gitignore", "ignored.txt\n")
    written(place, "ignored.txt", "not mine\n")
    index, status = (place / ".git/index").read_bytes(), git(place, "status", "--porcelain")
    objects = git(place, "count-objects")
    found = snapshot(door, place, head)
    assert found == snapshot(door, place, head), "the same files are the same commit"
    (listed,) = (one.paths for one in door.changes([(head, found)]))
    assert listed == {"a.txt", "lib/fresh.txt", "staged.txt", "web/e.txt", ".gitignore"}
    assert ((place / ".git/index").read_bytes(), git(place, "status", "--porcelain")) == (index, status)
    assert git(place, "count-objects") == objects, "git's own store knows nothing of it"


def test_where_a_merge_is_half_done_its_last_commit_stands(place: Path) -> None:
    git(place, "checkout", "-qb", "other")
    (place / "a.txt").write_text("theirs\n")
    git(place, "commit", "-qam", "theirs")
    git(place, "checkout", "-q", "main")
    (place / "a.txt").write_text("ours\n")
    git(place, "commit", "-qam", "ours")
    head = git(place, "rev-parse", "HEAD")
    assert Git(place).run("merge", "other", check=False).status == 1
    assert snapshot(foreseer(place), place, head) == head


def test_changes_of_many_spans_come_apart(place: Path) -> None:
    heads = [git(place, "rev-parse", "HEAD")]
    for number, name in enumerate(("a.txt", "40 hex.txt", "lib/new/" + "f" * 40 + " " + "e" * 40, "\u00e4.txt")):
        written(place, name, f"{number}\n")
        git(place, "add", "-A")
        git(place, "commit", "-qm", name)
        heads.append(git(place, "rev-parse", "HEAD"))
    spans = [(heads[first], heads[last]) for first in range(5) for last in range(5)]
    for (start, end), found in zip(spans, foreseer(place).changes(spans), strict=True):
        own = git(place, "-c", "core.quotePath=false", "diff", "--name-only", "--no-renames", start, end).splitlines()
        assert found.paths == set(own)


def test_histories_with_nothing_in_common_do_not_hide_the_other_pairs(place: Path) -> None:
    git(place, "checkout", "-q", "--orphan", "alien")
    git(place, "commit", "-qm", "of its own")
    alien, main = git(place, "rev-parse", "alien"), git(place, "rev-parse", "main")
    door = foreseer(place)
    found = door.merge([(main, main), (alien, main), (main, main)])
    assert [bool(one.tree) for one in found] == [True, False, True]


def test_the_places_of_a_conflict_have_lines(place: Path) -> None:
    for name, text in (("one", "mine\n"), ("two", "yours\n")):
        git(place, "checkout", "-qfB", name, "main")
        lines = (place / "a.txt").read_text().splitlines(keepends=True)
        lines[4] = text
        (place / "a.txt").write_text("".join(lines))
        git(place, "commit", "-qam", name)
    door = foreseer(place)
    (found,) = door.merge([(git(place, "rev-parse", "one"), git(place, "rev-parse", "two"))])
    ((hunk,),) = door.hunks([(found.tree, path) for path in found.conflicts])
    assert (hunk.path, hunk.line, hunk.lines) == ("a.txt", 5, 3)


def test_a_store_that_has_grown_is_emptied(place: Path) -> None:
    door = foreseer(place)
    assert not door.trim()
    many = [place / f".git/coord/foresight/objects/{number:02x}" for number in range(256)]
    for folder in many:
        folder.mkdir()
        for number in range(15):
            (folder / str(number)).touch()
    assert not door.trim()
    for folder in many:
        (folder / "one more").touch()
    assert door.trim()
    assert not many[0].exists()


def test_many_pairs_are_merged_as_few_are(place: Path) -> None:
    heads = [git(place, "rev-parse", "HEAD")]
    for number in range(6):
        git(place, "checkout", "-qfB", f"b{number}", "main")
        (place / "a.txt").write_text(f"{number % 3}\n")
        written(place, f"web/{number}.txt", f"{number}\n")
        git(place, "add", "-A")
        git(place, "commit", "-qm", "x")
        heads.append(git(place, "rev-parse", "HEAD"))
    pairs = list(combinations(heads, 2))
    with gits() as ran:
        found = foreseer(place).merge(pairs)
    assert len(ran) == 2
    assert found == [foreseer(place).merge([pair])[0] for pair in pairs]
    assert {bool(one.conflicts) for one in found} == {True, False}
