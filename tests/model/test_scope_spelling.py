"""What somebody writes becomes one canonical scope, inside the repository, or is refused."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.errors import Usage
from coord.model.scope import Form, covers, normalise, overlap, quote

PLAIN = Form()
MAC = Form(fold_case=True, compose=True)
thorough = settings(deadline=None, print_blob=True, derandomize=False, max_examples=300)


@pytest.mark.parametrize(
    ("text", "within", "scope"),
    [
        ("./a//b/", "", "a/b"),
        ("a/../x", "", "x"),
        (".", "", "**"),
        ("a/..", "", "**"),
        (".", "sub", "sub"),
        ("../x", "sub", "x"),
        ("*.js", "app/[id]", r"app/\[id]/*.js"),
        ("a/**/**/b", "", "a/**/b"),
        ("a/b***c", "", "a/b*c"),
        ("a/**/..", "", None),
        (r"\a\*\[", "", r"a\*\["),
        ("x/task:1", "", "x/task:1"),
        ("./task:1", "", r"\task:1"),
        ("task:01K", "sub", "task:01K"),
        ("merge:agent/x", "", "merge:agent/x"),
        ("apps_script/MERGED TOTAL.js", "", "apps_script/MERGED TOTAL.js"),
        ("Apps", "", "Apps"),
        ("src/inbox", "", "src/inbox"),
        ("inboxes", "", "inboxes"),
        ("INBOX", "", "INBOX"),
        (".gitignore", "", ".gitignore"),
        ("[]a]", "", "[]a]"),
    ],
)
def test_normalise(text: str, within: str, scope: str | None) -> None:
    if scope is None:
        with pytest.raises(Usage, match="climbs out of a glob"):
            normalise(text, PLAIN, within=within)
    else:
        assert normalise(text, PLAIN, within=within) == scope


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (" /", "empty"),
        ("../x", "outside"),
        ("a/../../x", "outside"),
        (r"\.\./x", "outside"),
        ("/etc/passwd", "outside"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x1b[2Jb", "control"),
        ("a\udc80", "control"),
        ("task:1\n", "control"),
        ("*/../x", "climbs"),
        (".git", r"\.git"),
        ("sub/.GIT/config", r"\.git"),
        ("a/../.git/hooks", r"\.git"),
        (r"\.gi\t", r"\.git"),
        (".git ", r"\.git"),
        (".git.", r"\.git"),
        (".git::$INDEX_ALLOCATION/config", r"\.git"),
        ("git~1", r"\.git"),
        ("GIT~1/config", r"\.git"),
        (".g\u200cit/config", r"\.git"),
        ("inbox", "coord's own"),
        ("./locks/x.yaml", "coord's own"),
        ("checkpoints/**", "coord's own"),
        ("a[b", "no end"),
        ("[a/b]", "no end"),
        ("[!]", "no end"),
        ("a\\", "no end"),
        ("[z-a]", "backwards"),
        ("task:", "names nothing"),
        ("merge: x", "names nothing"),
        ("task:x ", "names nothing"),
        ("x" * 4097, "too long"),
        ("[ab]" * 65, "too long"),
    ],
)
def test_normalise_refuses(text: str, said: str) -> None:
    with pytest.raises(Usage, match=said) as caught:
        normalise(text, PLAIN)
    assert caught.value.hint


def test_the_three_folders_are_refused_in_any_case_where_case_is_folded() -> None:
    with pytest.raises(Usage):
        normalise("Inbox/x", MAC)


def test_normalise_composes_only_where_the_file_system_does() -> None:
    assert normalise("cafe\u0301", MAC) == "caf\u00e9"
    assert normalise("e\\\u0301", MAC) == "\u00e9"
    assert normalise("cafe\u0301", PLAIN) == "cafe\u0301"


words = st.text(st.one_of(st.sampled_from("/.*?[]!-\\:ab~ \u0301\u00e9"), st.characters()), max_size=24)
hostile = st.one_of(
    words,
    st.lists(st.sampled_from([".git", "..", ".", "**", "*", "git~1", "task:", "inbox", "\\", "a", "[a-b]", "/"])).map(
        "/".join
    ),
    st.lists(st.sampled_from([".", "g", "i", "t", "\\", "/", "~1", " ", "\u200c", "*"])).map("".join),
)


@thorough
@given(hostile, st.sampled_from(["", "sub", "[x]/y", "task:q", "a*"]), st.sampled_from([PLAIN, MAC]))
def test_a_normal_scope_stays_and_never_leaves_the_repository(text: str, within: str, form: Form) -> None:
    try:
        scope = normalise(text, form, within=within)
    except Usage:
        return
    assert normalise(scope, form) == scope
    assert overlap(scope, scope, form)
    if scope.startswith(("task:", "merge:")):
        return
    parts = re.sub(r"\\(.)", r"\1", scope).split("/")
    assert all(parts)
    assert not {"..", "."} & set(parts)
    assert not {".git", "git~1"} & {part.lower().strip(" ") for part in parts}
    assert parts[0] not in ("inbox", "locks", "checkpoints")


@thorough
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=3).map("/".join), st.sampled_from([PLAIN, MAC]))
def test_a_quoted_path_covers_exactly_that_path(path: str, form: Form) -> None:
    try:
        scope = normalise(f"./{quote(path)}", form)
    except Usage:
        return
    if scope == "**" or any(part in ("", ".", "..") for part in path.split("/")):
        return
    assert covers(scope, path, form)
    assert covers(scope, f"{path}/below", form)
    assert not covers(scope, f"{path}x", form) or unicodedata.normalize("NFC", f"{path}x") == path
    assert overlap(scope, normalise(f"./{quote(path)}", form), form)
