"""What the documents say is so: links lead somewhere, commands exist, formats are read, generated pages are fresh."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from coord.config import reading, writing
from coord.config.schema import Agent, Config
from coord.faces import cli, options
from coord.main import tree
from coord.model import codec, keys
from coord.model.errors import CoordError
from coord.service.commands import every

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (".", "docs", "inbox", "locks", "checkpoints")
    for path in (ROOT / folder).glob("*.md")
    if keys.id_in(path.name) is None
)
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(coord [^`]+)`", re.DOTALL)
# Usage lines and sentences about a family of commands are no command lines: `coord mail --help` is, COMMAND is not.
_PATTERN = re.compile(r"\[|\.\.\.|\bCOMMAND\b|\|")


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {slug(found) for found in re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)}


def command_lines(text: str) -> Iterator[str]:
    for found in _INLINE.findall(_FENCE.sub("", text)):
        yield " ".join(found.split())
    for language, body in _FENCE.findall(text):
        if language in ("sh", "bash"):
            for line in body.replace("\\\n", " ").splitlines():
                yield from (part.strip() for part in line.split("&&") if part.strip().startswith("coord "))
        if language == "markdown":
            yield from (" ".join(found.split()) for found in _INLINE.findall(body))


QUOTED = sorted(
    {(page, line) for page, text in TEXTS.items() for line in command_lines(text) if not _PATTERN.search(line)}
)


def parse(line: str) -> None:
    """Parse a command line as coord would, and run nothing."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = tree()
    context = click.Context(command, info_name="coord", obj=options.Given())
    while isinstance(command, click.Group):
        if words and words[0] in ("--help", "-h", "--version"):
            return
        if not words or words[0].startswith("-"):
            break
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"no command {words[0]}")
        command, words = found, words[1:]
        context = click.Context(command, parent=context, info_name=command.name, obj=options.Given())
    if words in (["--help"], ["-h"]) or not words:
        return
    command.parse_args(context, words)
    derived = next((one for one in every() if f"coord {one.name}" == context.command_path), None)
    if derived is not None and "-" not in words:
        cli.arguments(derived.params, context.params)


def test_there_are_pages_and_command_lines() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/concepts.md", "docs/formats.md"} <= TEXTS.keys()
    assert len(QUOTED) > 30


def test_commands_page_is_what_the_generator_makes_now() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "docs/make_commands.py"), "-"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert made == TEXTS["docs/commands.md"], "run `make docs`"


@pytest.mark.parametrize("page", TEXTS)
def test_relative_links_lead_somewhere(page: str) -> None:
    for target in _LINK.findall(_FENCE.sub("", TEXTS[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        where = (ROOT / page).parent / path if path else ROOT / page
        assert where.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(where.read_text(encoding="utf-8")), f"{page}: {target}"


@pytest.mark.parametrize(("page", "line"), QUOTED)
def test_quoted_command_lines_exist(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    "line",
    ["coord mial list", "coord mail send backend hello --loud", "coord lock break src", "coord lock renew --ttl soon"],
)
def test_a_wrong_command_line_would_be_seen(line: str) -> None:
    with pytest.raises((click.UsageError, CoordError)):
        parse(line)


def test_quoted_records_are_read_from_where_they_live_and_lose_nothing() -> None:
    found = re.findall(r"<!-- record: (\S+) -->\n```\n(.*?)^```", TEXTS["docs/formats.md"], re.MULTILINE | re.DOTALL)
    assert len(found) == 5
    for key, text in found:
        record = codec.decode(key, text.encode())
        assert keys.is_record(key)
        assert not record.extra
        assert codec.encode(record).decode() == text


def test_the_quoted_message_by_hand_is_understood() -> None:
    found = re.search(r"<!-- draft -->\n```\n(.*?)^```", TEXTS["docs/formats.md"], re.MULTILINE | re.DOTALL)
    assert found is not None
    draft = codec.draft_message(found[1].encode(), "inbox/frontend/note.md")
    assert (draft.sender, draft.to, draft.subject) == ("Backend", ("@reviewers", "frontend"), 'Re: [urgent] the "API"')
    assert (draft.priority, draft.extra) == ("high", {"Mood": "hopeful"})


def test_the_configuration_page_shows_every_key_as_it_would_be_written() -> None:
    found = re.search(r"```yaml\n(.*?)^```", TEXTS["docs/configuration.md"], re.MULTILINE | re.DOTALL)
    assert found is not None
    shown = reading.parse(found[1], ".coord.yaml")
    assert shown == Config(agents=(Agent(name="backend", role="Backend Developer", domain=("src/**", "billing")),))
    assert writing.render(shown, every=True) == found[1]


def test_pages_and_pictures_name_no_place_of_the_machine_they_were_made_on() -> None:
    pictures = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/pictures").glob("*.svg")}
    assert {"status.svg", "log.svg"} <= pictures.keys()
    for name, text in {**TEXTS, **pictures}.items():
        assert not re.search(r"/(?:tmp|home|Users|root|work)/", text), name


def test_pictures_ask_nothing_of_the_network() -> None:
    for path in (ROOT / "docs/pictures").glob("*.svg"):
        assert not re.search(r"url\((?!#)|<image|<script", path.read_text(encoding="utf-8")), path.name
