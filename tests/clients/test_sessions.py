"""Sessions of the programs: known while they live, ended when they are over, and restored by the next one."""

from clients.conftest import Ground
from clients.programs import Program
from clients.standin import Asked, Blocks, Call, Plain, Say


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
