"""The commit guard for people."""

from functools import singledispatch

from coord.faces.page import Block, Line, Table
from coord.faces.pages.words import unknown
from coord.model import quoting
from coord.service import guarding

blocks = singledispatch(unknown)


@blocks.register
def _guards(result: guarding.Guards) -> list[Block]:
    rows = tuple((hook.name, hook.state, str(hook.path)) for hook in result.hooks)
    lacking = any(hook.state != "installed" for hook in result.hooks)
    hint = [Line("`coord guard install` puts it there", "dim")] if lacking else []
    return [Table(("hook", "guard", "file"), rows), *hint]


@blocks.register
def _checked(result: guarding.Checked) -> list[Block]:
    if result.overridden:
        return [Line(f"overridden, on record: {quoting.within(result.overridden)}", "yellow")]
    return [Line(f"nobody else holds any of {len(result.paths)} paths", "green")]
