"""Batches: what waits together is tested once, the one that fails is found, and the others land."""

import json
import math
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from queueing import ask, branch, configure, drive, drive_until, last, queue, several
from support import git

from coord.model.errors import Refused
from coord.model.verdicts import Run
from coord.service import mail, merges, status, testruns
from coord.service.coord import Coord
from coord.service.merging.landing import Landing
from coord.service.merging.verdicts import Kept

As = Callable[..., Coord]
# Fails where there is a file `bad…`; notes each run with what it saw.
GATE = "'echo run >> ../../../runs; ls >> ../../../runs; ! ls bad* 2>/dev/null'"


def runs(repo: Path) -> int:
    """How often the gate ran."""
    noted = repo / ".git/coord/runs"
    return noted.read_text().split().count("run") if noted.exists() else 0


def firsts(repo: Path) -> list[str]:
    """The subjects of main, the oldest first."""
    return git(repo, "log", "--first-parent", "--reverse", "--format=%s", "main").splitlines()


def one_more(landing: Landing, before: int) -> bool:
    """Tell whether a test came to an end, or there is none to come."""
    return not queue(landing.coord) or len(landing.gates.verdicts().runs) > before


def test_what_waits_together_is_tested_once(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    asked = ask(coord_for("backend"), *several(repo, 5, {}))
    drive(Landing(coord_for("owner")))
    assert runs(repo) == 1 and not queue(coord_for("owner"))
    assert firsts(repo)[-5:] == [f"Merge {one.branch}: {one.title}" for one in asked]
    assert all((repo / f"good{n}").exists() for n in range(5)) and git(repo, "status", "--porcelain") == ""
    body = git(repo, "log", "-1", "--format=%B", "main")
    assert f"Coord-Merge: {asked[-1].id}" in body and "Coord-Gate: passed" in body and " 5" in body


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_the_one_that_fails_is_found_by_halves_and_the_others_land(repo: Path, coord_for: As, bad: int) -> None:
    configure(repo, f"test: {GATE}")
    asked = ask(coord_for("backend"), *several(repo, 7, {bad: "bad"}))
    landing = Landing(coord_for("owner"))
    drive(landing, within=60)
    landed = [n for n in range(7) if (repo / f"good{n}").exists()]
    assert landed == [n for n in range(7) if n != bad] and not (repo / "bad").exists()
    # The first red one, then the bound, then the rest of the batch once more.
    assert runs(repo) <= 1 + math.ceil(math.log2(7)) + 2 + 1
    told = [one.message for one in mail.list_(coord_for("backend")).items]
    (back,) = [one for one in told if one.subject.startswith("not merged")]
    assert asked[bad].branch in back.subject and "bad" in back.body


def test_newcomers_do_not_join_a_batch_in_which_somebody_is_looked_for(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    ask(coord_for("backend"), *several(repo, 4, {3: "bad"}))
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: runs(repo) >= 2)
    (late,) = ask(coord_for("frontend"), branch(repo, "late", {"late": "x\n"}), priority="urgent")
    first = [one for one in queue(coord_for("owner")) if one.id != late.id]
    assert len({one.batch for one in first}) == 1

    def the_first_are_gone() -> bool:
        batches = {one.id: one.batch for one in queue(landing.coord)}
        mine = batches.pop(late.id, "")
        assert not (batches and mine), "it joined them"
        return not batches

    drive_until(landing, the_first_are_gone)
    drive(landing, within=60)
    assert firsts(repo)[-1].startswith("Merge late")


def test_a_flaky_test_holds_nobody_up_and_is_remembered(repo: Path, coord_for: As) -> None:
    configure(repo, "test: 'test -e ../../../seen || { touch ../../../seen; exit 1; }'")
    ask(coord_for("backend"), *several(repo, 3, {}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    assert not queue(coord_for("owner")) and len(firsts(repo)) == 5
    seen = Kept(repo / ".git/coord/verdicts.jsonl").read().runs
    assert [one.passed for one in seen if len(one.members) == 3].count(True) == 1


def test_a_base_that_fails_by_itself_is_held_against_nobody(repo: Path, coord_for: As) -> None:
    (repo / "bad").write_text("x\n")
    git(repo, "add", "bad")
    configure(repo, f"test: {GATE}")
    ask(coord_for("backend"), *several(repo, 3, {}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    assert runs(repo) == 3
    waiting = queue(coord_for("owner"))
    assert len(waiting) == 3 and all("fails its own test" in one.result for one in waiting)
    assert not mail.list_(coord_for("backend")).items
    (word,) = mail.list_(coord_for("owner")).items
    assert word.message.subject.startswith("merge waits")
    ask(coord_for("backend"), branch(repo, "more", {"more": "x\n"}))
    drive(landing)
    assert runs(repo) == 3 and mail.list_(coord_for("owner")).unread == 1, "told once for each reason"

    mend = branch(repo, "mend", {"mended": "x\n"})
    git(repo, "branch", "-f", mend, git(repo, "commit-tree", "-p", "main", "-m", "mend", without(repo, "bad")))
    ask(coord_for("frontend"), mend, priority="urgent")
    drive(landing, within=30)
    assert not queue(coord_for("owner")) and not (repo / "bad").exists() and (repo / "more").exists()


def test_what_is_urgent_is_tried_once_upon_a_red_base_however_long_the_reason(repo: Path, coord_for: As) -> None:
    """Into a branch whose name makes the reason longer than what a request says of it."""
    configure(repo, f"test: {GATE}")
    into = branch(repo, "long" * 50, {"bad": "x\n"})
    (made,) = ask(coord_for("backend"), branch(repo, "more", {"more": "x\n"}, into), into=into, priority="urgent")
    landing = Landing(coord_for("owner"))
    drive(landing)
    assert merges.show(landing.coord, made.id).result.startswith(f"waits: {into} at ")


def without(repo: Path, name: str) -> str:
    lines = [line for line in git(repo, "ls-tree", "main").splitlines() if not line.endswith(f"\t{name}")]
    words = ["git", "mktree"]
    done = subprocess.run(words, cwd=repo, check=True, capture_output=True, text=True, input="\n".join(lines) + "\n")
    return done.stdout.strip()


def test_conflicts_leave_a_batch_by_themselves(repo: Path, coord_for: As) -> None:
    """With the base: back to its author. Only with one that is ahead: next time, when that one landed or did not."""
    configure(repo, f"test: {GATE}")
    stale = branch(repo, "stale", {"README.md": "# Stale\n"})
    ahead, rival = branch(repo, "ahead", {"a": "1\n"}), branch(repo, "rival", {"a": "2\n"})
    good = branch(repo, "good", {"b": "x\n"})
    (repo / "README.md").write_text("# Owner\n")
    git(repo, "commit", "-qam", "owner")
    ask(coord_for("backend"), stale, ahead, rival, good)
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: runs(repo))
    (waits,) = [one for one in queue(coord_for("owner")) if one.branch == "rival"]
    assert waits.state == "queued" and "conflicts with ahead" in waits.result and "in a" in waits.result
    drive(landing)
    assert firsts(repo)[-2:] == ["Merge ahead: ahead", "Merge good: good"] and runs(repo) == 1
    subjects = {one.message.subject for one in mail.list_(coord_for("backend")).items}
    assert {"not merged: stale: it conflicts in README.md", "not merged: rival: it conflicts in a"} <= subjects


def test_a_base_that_moves_meanwhile_is_stacked_upon_again(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    ask(coord_for("backend"), *several(repo, 3, {}))
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: landing.running)
    (repo / "by-hand").write_text("x\n")
    git(repo, "add", "by-hand")
    git(repo, "commit", "-qm", "by hand")
    drive(landing)
    assert firsts(repo)[-4] == "by hand" and len(firsts(repo)) == 6
    assert "by-hand" in (repo / ".git/coord/runs").read_text().rpartition("run")[2]


def test_one_that_is_cancelled_while_it_is_tested_is_left_out(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    asked = ask(coord_for("backend"), *several(repo, 4, {}))
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: landing.running)
    merges.cancel(coord_for("backend"), asked[1].id)
    drive(landing)
    assert [n for n in range(4) if (repo / f"good{n}").exists()] == [0, 2, 3]


def test_what_was_tested_is_not_tested_again_by_the_next_daemon(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    ask(coord_for("backend"), *several(repo, 4, {2: "bad"}))
    coord = coord_for("owner")
    for _ in range(30):
        if queue(coord):
            before, landing = runs(repo), Landing(coord)
            drive_until(landing, partial(one_more, landing, before))
            landing.stop()
    assert not queue(coord)
    lines = (repo / ".git/coord/verdicts.jsonl").read_text().splitlines()
    seen = [(one["tree"], "passed" in one) for one in map(json.loads, lines)]
    assert seen and all(seen.count(one) <= (1 if one[1] else 2) for one in seen)


def test_requests_land_in_the_order_that_they_ask_for(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    coord = coord_for("backend")
    names = several(repo, 3, {})
    (low,) = ask(coord, names[0], priority="low")
    (high,) = ask(coord, names[1], priority="high", after=(low.id,))
    ask(coord, names[2])
    assert [one.branch for one in queue(coord)] == [names[0], names[1], names[2]], "what is waited for is as urgent"
    with pytest.raises(Refused, match="wait for itself"):
        merges.request(coord, branch=names[0], after=(high.id,))
    drive(Landing(coord_for("owner")))
    assert firsts(repo)[-3:] == [f"Merge {name}: {name}" for name in names]


def test_what_somebody_else_asked_for_is_not_replaced(repo: Path, coord_for: As) -> None:
    """Else whoever may not cancel a request could ask for its branch, and cancel that."""
    configure(repo, "test: 'true'")
    backend, other, owner = (coord_for(name) for name in ("backend", "frontend", "owner"))
    name = branch(repo, "work/mine", {"mine": "x\n"})
    mine = merges.request(backend, branch=name, priority="urgent")
    with pytest.raises(Refused, match=f"{mine.id} for {name} is backend's"):
        merges.request(other, branch=name, priority="low")
    [theirs] = ask(other, branch(repo, "work/theirs", {"theirs": "x\n"}))
    merges.cancel(other, theirs.id)
    git(repo, "update-ref", f"refs/heads/{theirs.branch}", name)
    merges.request(backend, branch=theirs.branch)
    with pytest.raises(Refused, match="is backend's"):
        merges.retry(other, theirs.id)
    assert queue(owner)[0] == mine
    owners = merges.request(owner, branch=branch(repo, "work/owners", {"owners": "x\n"}))
    with pytest.raises(Refused) as refused:
        merges.cancel(other, owners.id)
    assert refused.value.hint == "ask owner"
    newer = merges.request(backend, branch=name)
    assert newer in queue(owner) and mine not in queue(owner)
    assert merges.request(owner, branch=name) in queue(owner) and newer not in queue(owner)


def test_who_comes_after_one_that_does_not_land_waits_and_says_so(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    coord = coord_for("backend")
    (first,) = ask(coord, branch(repo, "first", {"bad": "x\n"}))
    (second,) = ask(coord, branch(repo, "second", {"good": "x\n"}), after=(first.id,))
    landing = Landing(coord_for("owner"))
    drive(landing)
    (left,) = queue(coord)
    assert left.id == second.id and left.result == f"waits: comes after {first.id}, which did not land"
    git(repo, "branch", "-f", "first", branch(repo, "mended", {"fine": "x\n"}))
    again = merges.retry(coord_for("backend"), first.id)
    assert again.id != first.id and queue(coord)[1].after == (again.id,)
    drive(landing)
    assert not queue(coord) and firsts(repo)[-1] == "Merge second: second"
    with pytest.raises(Refused, match="has landed"):
        merges.retry(coord_for("backend"), again.id)


def test_without_a_test_nothing_lands_until_the_owner_allows_it(repo: Path, coord_for: As) -> None:
    ask(coord_for("backend"), *several(repo, 3, {}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    assert len(queue(landing.coord)) == 3 and len(firsts(repo)) == 1
    assert mail.list_(coord_for("owner")).unread == 1 and "merge.ungated" in last(landing.coord)
    configure(repo, "ungated: allow")
    landing.coord.reload()
    drive(landing)
    assert not queue(landing.coord) and "Coord-Gate: ungated" in git(repo, "log", "-1", "--format=%B", "main")


def test_a_request_made_before_there_was_a_test_does_not_go_on_saying_that_there_is_none(
    repo: Path, coord_for: As
) -> None:
    (made,) = ask(coord_for("backend"), branch(repo, "good", {"good": "x\n"}))
    merges.cancel(coord_for("backend"), made.id)
    again = merges.retry(coord_for("backend"), made.id)
    assert (made.gate, again.gate) == ("", "")
    assert status.status(coord_for()).merges[0].gate == "ungated"
    configure(repo, f"test: {GATE}")
    assert status.status(coord_for()).merges[0].gate == "not tested yet"


def test_a_branch_that_the_checkout_cannot_follow_holds_up_nobody_else(repo: Path, coord_for: As) -> None:
    configure(repo, f"test: {GATE}")
    (repo / "good1").write_text("the owner's own, untracked\n")
    ask(coord_for("backend"), *several(repo, 3, {}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    (held,) = queue(landing.coord)
    assert held.branch == "work/1" and "good1" in held.result and (repo / "good2").exists()
    (repo / "good1").unlink()
    drive(landing)
    assert not queue(landing.coord)


def test_side_by_side_the_search_takes_fewer_rounds(repo: Path, coord_for: As) -> None:
    configure(repo, "test: 'sleep 0.2; ! ls bad* 2>/dev/null', parallel: 4")
    ask(coord_for("backend"), *several(repo, 8, {5: "bad"}))
    landing, most = Landing(coord_for("owner")), 0

    def watched() -> bool:
        nonlocal most
        most = max(most, len(landing.gates.at_work("main")))
        return not queue(landing.coord)

    drive_until(landing, watched)
    assert most == 4 and not (repo / "bad").exists() and (repo / "good7").exists()
    drive_until(landing, lambda: not landing.running)


def test_a_base_that_was_red_for_a_reason_that_is_over_is_tested_again(repo: Path, coord_for: As) -> None:
    configure(repo, "test: 'echo run >> ../../../runs; ! test -e ../../../down'")
    (repo / ".git/coord/down").touch()
    ask(coord_for("backend"), *several(repo, 3, {}))
    landing = Landing(coord_for("owner"))
    drive(landing)
    assert all("`coord merge retest`" in one.result for one in queue(landing.coord))
    before = runs(repo)
    (repo / ".git/coord/down").unlink()
    drive(landing)
    assert len(queue(landing.coord)) == 3 and runs(repo) == before
    with pytest.raises(Refused, match="backend cannot"):
        testruns.retest(coord_for("backend"))
    again = testruns.retest(coord_for("owner"))
    assert (again.branch, again.forgotten) == ("main", 2) and "merge.retest" in last(landing.coord)
    drive(landing)
    assert not queue(landing.coord) and (repo / "good2").exists()
    assert len(testruns.log(coord_for("owner")).runs) == runs(repo)
    assert not [one for one in mail.list_(coord_for("backend")).items if "not merged" in one.message.subject]


def test_what_is_forgotten_stays_so_for_whoever_reads_it_anew(tmp_path: Path) -> None:
    here, there = Kept(tmp_path / "verdicts"), Kept(tmp_path / "verdicts")
    for passed in (False, False, True):
        here.add(Run(tree="a", gate="g", passed=passed))
        here.add(Run(tree="b", gate="g", passed=passed))
    assert there.forget("a") == 3 and there.forget("a") == 0
    here.add(Run(tree="a", gate="g", passed=False))
    for one in (here, there, Kept(tmp_path / "verdicts")):
        assert (one.read().of("a", "g").outcome, one.read().of("b", "g").outcome) == ("suspect", "passed")
        assert len(one.read().runs) == 7


def test_a_test_that_does_not_exist_is_named_as_what_to_mend(repo: Path, coord_for: As) -> None:
    configure(repo, "test: no-such-tool-here")
    ask(coord_for("backend"), branch(repo, "work", {"a.txt": "a"}))
    drive(Landing(coord_for("owner")))
    (waits,) = queue(coord_for("owner"))
    assert "could not be run: no such command" in waits.result and "merge.test" in waits.result


def test_what_is_noted_while_a_large_file_begins_anew_stays(tmp_path: Path) -> None:
    def note(who: int) -> None:
        kept = Kept(tmp_path / "verdicts", most=2000)
        for number in range(150):
            kept.add(Run(tree=str(number), gate=str(who), passed=True))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(note, range(4)))
    left: dict[str, list[int]] = {}
    for run in Kept(tmp_path / "verdicts").read().runs:
        left.setdefault(run.gate, []).append(int(run.tree))
    # Each one's are the last that it noted, without a gap.
    assert left and all(numbers == list(range(150))[-len(numbers) :] for numbers in left.values()), left
