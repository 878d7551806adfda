"""Edits inside the programs: refused under another's lease and shown why, and leased where they are free."""

import re
from pathlib import Path
from threading import Barrier

import pytest
from clients.conftest import AGENTS, Ground
from clients.programs import PROGRAMS, Program
from clients.standin import Asked, Blocks, Say, Turn

# Claude also looks by itself whether a file is as it read it, before it asks anybody.
REFUSED = re.compile("leased to|frontend holds|backend holds|File content has changed since it was last read")
NAMED = {program.name: program for program in PROGRAMS}
PAGE, CODE = "web_app/index.html", "apps_script/chefs.js"


def test_an_edit_under_anothers_lease_is_refused_and_shown_why(ground: Ground, program: Program) -> None:
    ground.coord("frontend", "lock", "acquire", PAGE, "--note", "a new layout")
    page = ground.tree("backend") / PAGE
    model = ground.run(program, "backend", *program.edit(page, "<p>", "<h1>"), [Say("done")])
    assert page.read_text() == "<p>\n"
    for word in ("refused, leased to frontend", "a new layout", "coord mail send frontend", f"acquire {PAGE} --wait"):
        assert word in model.asked[-1].heard
    assert ground.held() == {PAGE: "frontend"}


def test_an_edit_of_what_is_free_takes_a_lease(ground: Ground, program: Program) -> None:
    code = ground.tree("backend") / CODE
    ground.run(program, "backend", *program.edit(code, "var a = 1;", "var a = 2;"), [Say("done")])
    assert code.read_text() == "var a = 2;\n"
    assert ground.held() == {CODE: "backend"}


def test_a_shell_that_writes_under_anothers_lease_is_told_to_both(ground: Ground, program: Program) -> None:
    ground.coord("frontend", "lock", "acquire", PAGE)
    model = ground.run(program, "backend", program.shell(f"echo '<h1>' > {PAGE}"), [Say("done")])
    assert f"- {PAGE}, leased to frontend" in model.asked[1].heard
    (item,) = ground.coord("frontend", "mail", "list")["items"]
    assert f"changed under your lease: {PAGE}" in item["message"]["subject"]


@pytest.mark.parametrize(("one", "other"), [("claude", "claude"), ("claude", "codex"), ("codex", "gemini")])
def test_two_that_edit_one_file_at_once(ground: Ground, one: str, other: str) -> None:
    page = ground.repo / PAGE
    together = Barrier(2, timeout=120)

    def meeting(blocks: Blocks) -> Turn:
        def turn(_: Asked) -> Blocks:
            together.wait()
            return blocks

        return turn

    def script(program: Program, new: str, path: Path) -> list[Turn]:
        *first, last = program.edit(path, "<p>", new)
        return [*first, meeting(last), [Say("done")]]

    pairs = list(zip(AGENTS, (NAMED[one], NAMED[other]), strict=True))
    sessions = [
        ground.start(program, ground.repo, *script(program, f"<{agent}>", page), COORD_AGENT=agent)
        for agent, program in pairs
    ]
    models = [session.result() for session in sessions]
    winner = ground.held()[PAGE]
    assert page.read_text() == f"<{winner}>\n"
    for (agent, _), model in zip(pairs, models, strict=True):
        assert (REFUSED.search(model.asked[-1].heard) is not None) == (agent != winner), agent
