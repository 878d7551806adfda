"""A session begins where the last one stopped, leaves a checkpoint, and is known while it lives."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from hooking import daemon, hook, recorded
from support import eventually, git

from coord.service import checkpoints, locks, mail, status
from coord.service.command import Prose
from coord.service.coord import Coord
from coord.service.session import sessions
from coord.thin import reach

As = Callable[..., Coord]
STARTS = {
    "claude": "claude-2.1.330.SessionStart",
    "codex": "codex-0.169.0.SessionStart",
    "gemini": "gemini-0.61.0.SessionStart",
}
ENDS = {
    "claude": "claude-2.1.330.SessionEnd",
    "codex": "codex-0.169.0.SessionEnd",
    "gemini": "gemini-0.61.0.SessionEnd",
}
SHELLS = {
    "claude": ("claude-2.1.330.PreToolUse.Bash", "claude-2.1.330.PostToolUse.Bash"),
    "codex": ("codex-0.169.0.PreToolUse.Bash", "codex-0.169.0.PostToolUse.Bash"),
    "gemini": ("gemini-0.61.0.BeforeTool.run_shell_command", "gemini-0.61.0.AfterTool.run_shell_command"),
}


@pytest.fixture(params=["with a daemon", "without"])
def served(request: pytest.FixtureRequest, repo: Path) -> Iterator[None]:
    with daemon(repo) if request.param == "with a daemon" else nullcontext():
        yield


def saved(coord: Coord) -> list[str]:
    return [one.body for one in checkpoints.list_(coord).items]


@pytest.mark.parametrize("client", STARTS)
def test_a_session_is_restored_from_the_last_one(repo: Path, coord_for: As, served: None, client: str) -> None:
    own = coord_for("frontend")
    checkpoints.save(own, Prose("The parser is half done."), next=("finish it",))
    sent = mail.send(coord_for("backend"), ("frontend",), Prose("the API moved")).message.id
    for source in ("startup", "resume", "compact", "clear"):
        heard = hook(client, recorded(STARTS[client], repo, source=source, session_id=source), repo, "frontend")
        for words in ("you are frontend", "The parser is half done.", "finish it", sent[-8:], "> the API moved"):
            assert words in heard.context, (source, words)
    prompt = {"session_id": "startup", "cwd": str(repo), "hook_event_name": "UserPromptSubmit"}
    if client != "gemini":
        assert hook(client, prompt, repo, "frontend").out == ""


def test_a_session_is_restored_while_others_stand_at_the_door(repo: Path) -> None:
    start = recorded(STARTS["claude"], repo)
    with daemon(repo), ExitStack() as standing:
        for _ in range(3):
            heard = hook("claude", start, repo, "frontend")
            assert (heard.err, "you are frontend" in heard.context) == ("", True)
            door = reach.connect(str(repo / ".git"))
            assert door is not None
            standing.callback(door.close)
            door.sendall(b"4")  # and says no more: its thread lives on


@pytest.mark.parametrize("client", ENDS)
def test_a_session_leaves_a_checkpoint_if_it_did_anything(repo: Path, coord_for: As, served: None, client: str) -> None:
    own = coord_for("frontend")
    mine = checkpoints.save(own, Prose("In my own words."), next=("finish it",)).checkpoint
    end = recorded(ENDS[client], repo, session_id="one")
    hook(client, end, repo, "frontend")
    assert len(saved(own)) == 1
    name = "AfterAgent" if client == "gemini" else "Stop"
    said = {"prompt_response" if client == "gemini" else "last_assistant_message": "All tests pass now."}
    hook(client, {"session_id": "one", "cwd": str(repo), "hook_event_name": name, **said}, repo, "frontend")
    for _ in range(2):
        heard = hook(client, end, repo, "frontend")
        assert (heard.status, heard.out, heard.err) == (0, "", "")
    newest, *older = checkpoints.list_(own).items
    assert len(older) == 1
    assert "All tests pass now." in newest.body
    assert mine.id[-8:] in newest.body
    assert (newest.next, newest.session) == (("finish it",), "one")
    later = hook(client, recorded(STARTS[client], repo, session_id="two"), repo, "frontend").context
    for words in ("> In my own words.", "> All tests pass now.", "> - finish it"):
        assert later.count(words) == 1, words


def test_a_compaction_leaves_a_checkpoint_but_not_before_every_request(repo: Path, coord_for: As) -> None:
    own = coord_for("frontend")
    ask, compresses = recorded("gemini-0.61.0.BeforeAgent", repo), recorded("gemini-0.61.0.PreCompress", repo)

    def requests() -> None:
        for _ in range(4):
            hook("gemini", ask, repo, "frontend")
            hook("gemini", compresses, repo, "frontend")

    requests()
    assert saved(own) == []  # a short session leaves one when it ends
    (file,) = (repo / ".git/coord/sessions").glob("gemini-*.json")
    told = json.loads(file.read_text())
    told["session"]["since"] = (own.now() - timedelta(minutes=31)).isoformat()
    file.write_text(json.dumps(told))
    requests()
    assert len(saved(own)) == 1
    hook("gemini", {**compresses, "trigger": "manual"}, repo, "frontend")
    assert len(saved(own)) == 2
    compact = {"session_id": "c", "cwd": str(repo), "hook_event_name": "PreCompact", "trigger": "auto"}
    for number in (3, 4):
        hook("claude", recorded("claude-2.1.330.UserPromptSubmit", repo, session_id="c"), repo, "frontend")
        hook("claude", compact, repo, "frontend")
        assert len(saved(own)) == number


@pytest.mark.parametrize("cut", ["\ud83d", "\0", "\x1b[31m"], ids=["half a character", "a null byte", "an escape"])
def test_what_was_said_is_kept_whatever_it_holds(repo: Path, coord_for: As, cut: str) -> None:
    hook("claude", recorded("claude-2.1.330.Stop", repo, last_assistant_message=f"It works {cut}"), repo, "frontend")
    heard = hook("claude", recorded(ENDS["claude"], repo), repo, "frontend")
    assert (heard.out, heard.err) == ("", "")
    (body,) = saved(coord_for("frontend"))
    assert "It works" in body
    assert cut not in body


def test_a_secret_that_was_said_is_left_out_of_the_checkpoint(repo: Path, coord_for: As) -> None:
    stop = recorded("claude-2.1.330.Stop", repo, last_assistant_message="the key is AKIA" + "Z7QX2M4N6P8R1T3V")
    hook("claude", stop, repo, "frontend")
    heard = hook("claude", recorded(ENDS["claude"], repo), repo, "frontend")
    assert heard.err == ""
    assert len(saved(coord_for("frontend"))) == 1
    assert "AKIA" not in saved(coord_for("frontend"))[0]


@pytest.mark.parametrize("client", SHELLS)
def test_what_a_shell_changes_under_another_s_lease_is_told_to_both(
    repo: Path, coord_for: As, served: None, client: str
) -> None:
    locks.acquire(coord_for("backend"), ("web_app", "src/*.py"))
    (repo / "web_app/before.html").write_text("was there")
    before, after = (recorded(name, repo, session_id="one") for name in SHELLS[client])
    hook(client, before, repo, "frontend")
    (repo / "src").mkdir()
    (repo / "src/a.py").write_text("mine now")
    (repo / "apps_script/chefs.js").write_text("nobody's")
    heard = hook(client, after, repo, "frontend")
    assert "- src/a.py, leased to backend" in heard.context
    assert "before.html" not in heard.context
    assert "chefs.js" not in heard.context
    assert hook(client, after, repo, "frontend").context == ""
    (repo / "web_app/index.html").write_text("again")
    assert "- web_app/index.html" in hook(client, after, repo, "frontend").context
    words = [item.message.body for item in mail.list_(coord_for("backend")).items]
    assert [("src/a.py" in text, "index.html" in text, "frontend" in text) for text in words] == [
        (True, False, True),
        (False, True, True),
    ]


def test_sessions_are_known_with_their_state(repo: Path, coord_for: As, served: None) -> None:
    def known() -> sessions.Session:
        (found,) = sessions.list_(coord_for("owner"), all=True).items
        return found

    hook("claude", recorded(STARTS["claude"], repo, session_id="../../x y", version="2.1.330"), repo, "frontend")
    first = known()
    assert (first.client, first.version, first.agent, first.state) == ("claude", "2.1.330", "frontend", "idle")
    assert (first.worktree, first.id) == (str(repo), "../../x y")
    assert first.process is not None
    assert first.process.pid == os.getpid()
    (file,) = (repo / ".git/coord/sessions").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "~" in file.name

    def happens(name: str, **rest: object) -> sessions.Session:
        payload = {"session_id": "../../x y", "cwd": str(repo), "hook_event_name": name, **rest}
        hook("claude", payload, repo, "frontend")
        return known()

    edit = happens("PreToolUse", tool_name="Read", tool_input={"file_path": "a"})
    assert (edit.doing, edit.state) == ("Read", "active")
    assert happens("Stop").state == "idle"
    limited = happens("StopFailure", error="rate_limit")
    assert (limited.state, limited.why) == ("limited", "rate_limit")
    shown = status.status(coord_for("owner")).sessions
    assert [(one.agent, one.state) for one in shown] == [("frontend", "limited")]
    assert happens("StopFailure", error="overloaded").state == "limited"
    failed = {"error": "server_error", "last_assistant_message": "API Error: 500 not now."}
    assert happens("StopFailure", **failed).state == "idle"
    failed["last_assistant_message"] = "API Error: 529 not now. This is a server-side issue, usually temporary"
    assert (happens("StopFailure", **failed).state, happens("StopFailure", **failed).why) == ("limited", "overloaded")
    for compacts in ("PreCompact", "SessionStart"):  # by its person's word, between two prompts
        now = happens(compacts, trigger="manual", source="compact" if compacts == "SessionStart" else "")
        assert (now.state, now.why) == ("idle", "")
    assert happens("UserPromptSubmit", prompt="x").state == "active"
    for compacts in ("PreCompact", "SessionStart"):  # by itself, in the middle of a turn
        now = happens(compacts, trigger="auto", source="compact" if compacts == "SessionStart" else "")
        assert now.state == "active"
    assert happens("SessionEnd").state == "ended"
    assert sessions.list_(coord_for("owner")).items == ()


def test_a_damaged_session_is_begun_anew(repo: Path, coord_for: As) -> None:
    start = recorded(STARTS["claude"], repo)
    hook("claude", start, repo, "frontend")
    (file,) = (repo / ".git/coord/sessions").glob("*.json")
    sound = json.loads(file.read_text())
    spoiled = [
        b"",
        b"{}",
        b"[" * 100_000,
        json.dumps({**sound, "session": {**sound["session"], "state": "odd"}}).encode(),
        json.dumps({**sound, "session": {**sound["session"], "since": "2026-01-01T00:00:00"}}).encode(),
        json.dumps({**sound, "session": {**sound["session"], "client": ["x"]}}).encode(),
        json.dumps({**sound, "memory": {**sound["memory"], "handed": 3}}).encode(),
        json.dumps({**sound, "memory": {**sound["memory"], "handed": [3]}}).encode(),
        json.dumps({**sound, "memory": {**sound["memory"], "other": 3}}).encode(),
    ]
    for data in spoiled:
        file.write_bytes(data)
        heard = hook("claude", start, repo, "frontend")
        assert "you are frontend" in heard.context, data[:80]
        assert heard.err == ""
        assert sessions.list_(coord_for("owner")).items[0].agent == "frontend"


@pytest.mark.parametrize("suffix", [".json", ".waiter"])
@pytest.mark.parametrize("other", ["fifo", "link", "folder"])
def test_what_is_no_file_in_the_place_of_a_session_lets_no_edit_through(
    repo: Path, coord_for: As, served: None, suffix: str, other: str
) -> None:
    locks.acquire(coord_for("backend"), ("src",))
    edit = recorded("claude-2.1.330.PreToolUse.Edit", repo, session_id="one")
    hook("claude", edit, repo, "frontend")
    file = repo / f".git/coord/sessions/claude-one{suffix}"
    file.unlink(missing_ok=True)
    if other == "fifo":
        os.mkfifo(file)
    elif other == "link":
        file.symlink_to("/dev/tty")
    else:
        file.mkdir()
    assert "backend holds" in hook("claude", edit, repo, "frontend").refusal
    assert len(sessions.list_(coord_for("owner"), all=True).items) == (
        0 if other == "folder" and suffix == ".json" else 1
    )


def test_an_agent_is_known_by_its_worktree_and_stays_itself_elsewhere(repo: Path, coord_for: As) -> None:
    git(repo, "worktree", "add", "-q", "../agent-frontend", "-b", "agent/frontend")
    own = repo.parent / "agent-frontend"
    assert "you are frontend" in hook("claude", recorded(STARTS["claude"], own), own).context
    moved = recorded("claude-2.1.330.PreToolUse.Write", repo)
    hook("claude", moved, repo)
    assert {lock.holder for lock in locks.list_(coord_for("owner")).locks} == {"frontend"}


def test_old_sessions_are_forgotten(repo: Path, coord_for: As) -> None:
    start = recorded(STARTS["claude"], repo)
    hook("claude", start, repo, "frontend")
    folder = repo / ".git/coord/sessions"
    then = coord_for().now().timestamp() - timedelta(days=8).total_seconds()
    for path in folder.iterdir():
        os.utime(path, (then, then))
    hook("claude", {**start, "session_id": "another"}, repo, "frontend")
    eventually(lambda: {path.stem for path in folder.iterdir()} == {"claude-another"})
