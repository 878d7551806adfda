"""The commit guard for people."""

from functools import singledispatch

from coord.faces.page import Block, Line, Table
from coord.faces.pages.words import unknown
from coord.model import quoting
from coord.service.guard import guarding, placing

blocks = singledispatch(unknown)


@blocks.register
def _guards(result: placing.Guards) -> list[Block]:
    rows = tuple((hook.name, hook.state, str(hook.path)) for hook in result.hooks)
    lacking = any(hook.state != "installed" for hook in result.hooks)
    hint = [Line("`coord guard install` puts it there", "dim")] if lacking else []
    return [Table(("hook", "guard", "file"), rows), *hint]


@blocks.register
def _checked(result: guarding.Checked) -> list[Block]:
    if result.overridden:
        return [Line(f"overridden, on record: {quoting.within(result.overridden)}", "yellow")]
    said: list[Block] = [Line(f"nobody else holds, or has had meanwhile, any of {len(result.paths)} paths", "green")]
    if result.unknown:
        said.append(Line("nothing tells under which lease these were changed, and others have had one on them:"))
        said += [Line(f"  {path}") for path in result.unknown]
    return said


@blocks.register
def _signed(result: guarding.Signed) -> list[Block]:
    return [Line(trailer) for trailer in result.trailers] or [Line("nothing was changed under a lease", "dim")]
