"""Sessions of the programs: known while they live, ended when they are over, and restored by the next one."""

import sys

import pytest
from clients.conftest import Ground
from clients.programs import PROGRAMS, Program
from clients.standin import Asked, Blocks, Call, Plain, Refuse, Say
from clients.terminal import Terminal
from support import eventually

CLAUDE, CODEX, GEMINI = PROGRAMS


def test_a_new_session_is_restored(ground: Ground, program: Program) -> None:
    save = Call("save_checkpoint", {"state": "The cache is half done; its keys are wrong."}, server="coord")
    ground.run(program, "backend", [save], [Say("Until tomorrow.")])
    first = ground.run(program, "backend", [Say("Good morning.")]).asked[0].heard
    assert "you are backend" in first
    assert "> The cache is half done; its keys are wrong." in first
    assert "> Until tomorrow." in first


def test_it_is_known_while_it_lives(ground: Ground, program: Program) -> None:
    seen: list[Plain] = []

    def look(_: Asked) -> Blocks:
        seen.extend(ground.coord("owner", "session", "list")["items"])
        return [Say("done")]

    ground.run(program, "backend", program.shell("echo hello"), look)
    (during,) = seen
    assert (during["client"], during["agent"], during["state"]) == (program.name, "backend", "active")
    assert during["worktree"] == str(ground.tree("backend"))
    assert during["process"]
    (after,) = ground.coord("owner", "session", "list", "--all")["items"]
    assert (after["id"], after["state"]) == (during["id"], "ended")
    assert ground.coord("owner", "session", "list")["items"] == []


@pytest.mark.parametrize(
    ("refusal", "why"),
    [(Refuse(429, "rate_limit_error"), "rate_limit"), (Refuse(529, "overloaded_error"), "overloaded")],
    ids=["claude-rate_limit", "claude-overloaded"],
)
def test_it_is_known_to_be_limited(ground: Ground, refusal: Refuse, why: str) -> None:
    model = ground.model(CLAUDE, *[refusal] * 20)
    words, env = CLAUDE.words_at_terminal(model.url, "Begin."), CLAUDE.env(model.url, ground.home)
    with Terminal(ground.repo.parent / "tmux", words, ground.tree("backend"), env):

        def limited() -> bool:
            found = [(one["state"], one["why"]) for one in ground.coord("owner", "session", "list")["items"]]
            return found == [("limited", why)]

        eventually(limited, within=120, what=why)


def test_codex_tells_of_no_limit(ground: Ground) -> None:
    """Its person is told, and no hook: should one be some day, it is to be answered."""
    model = ground.model(CODEX, *[Refuse(429, "rate_limit_exceeded")] * 20)
    words, env = CODEX.words_at_terminal(model.url, "Begin."), CODEX.env(model.url, ground.home)
    with Terminal(ground.repo.parent / "tmux", words, ground.tree("backend"), env) as terminal:
        eventually(lambda: "429 Too Many Requests" in terminal.screen(), within=120, what="the refusal")
        (found,) = ground.coord("owner", "session", "list")["items"]
        assert (found["state"], found["doing"]) == ("active", "thinking")


def test_a_compacted_session_is_restored(ground: Ground) -> None:
    ground.mail("backend", "The button is blue.")
    model = ground.model(CLAUDE, [Say("The parser is half done.")])
    words, env = CLAUDE.words_at_terminal(model.url, "Begin."), CLAUDE.env(model.url, ground.home)
    with Terminal(ground.repo.parent / "tmux", words, ground.tree("backend"), env) as terminal:
        eventually(lambda: "half done" in terminal.screen(), within=120, what="its first answer")
        terminal.type("/compact")
        eventually(lambda: "Compacted" in terminal.screen(), within=60, what="the compaction")
        (now,) = ground.coord("owner", "session", "list")["items"]
        assert now["state"] == "idle"  # else mail would not wake it
        before = len(model.asked)
        terminal.type("Go on.")
        model.eventually(before + 1)
    after = model.asked[before]
    assert "you are backend" in after.shown
    assert "> The parser is half done." in after.shown
    assert after.shown.count("> The button is blue.") == 1
    (saved,) = ground.coord("backend", "checkpoint", "list")["items"]
    assert saved["title"] == "by itself, at a compaction of its memory"


def test_a_session_that_compacts_by_itself_is_restored(ground: Ground) -> None:
    ground.mail("backend", "The button is blue.")
    saves = CODEX.shell(f"{sys.executable} -m coord checkpoint save 'The parser is half done.'")
    model = ground.model(CODEX, saves, [Say("A summary.")], [Say("done")])
    ran = CODEX.run(model, ground.tree("backend"), ground.home, "Begin.", "-c", "model_auto_compact_token_limit=5")
    assert ran.status == 0, ran
    model.played()
    assert "CONTEXT CHECKPOINT COMPACTION" in model.asked[1].heard
    after = model.asked[2]
    assert "you are backend" in after.shown
    assert "> The parser is half done." in after.shown
    assert after.shown.count("> The button is blue.") == 1
    titles = [one["title"] for one in ground.coord("backend", "checkpoint", "list")["items"]]
    assert "by itself, at a compaction of its memory" in titles


def test_where_every_request_may_compact_a_short_session_leaves_one_checkpoint(ground: Ground) -> None:
    ground.run(GEMINI, "backend", GEMINI.shell("echo hello"), [Say("The parser is half done.")])
    titles = [one["title"] for one in ground.coord("backend", "checkpoint", "list")["items"]]
    assert titles == ["by itself, at the end of a session"]
