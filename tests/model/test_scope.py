"""Scopes against an independent matcher: every short path, translated to `re`."""

import itertools
import re
import time
import unicodedata
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.errors import Usage
from coord.model.scope import Form, contains, covers, normalise, overlap, quote, same

PLAIN = Form()
MAC = Form(fold_case=True, compose=True)
thorough = settings(deadline=None, print_blob=True, derandomize=False, max_examples=300)

PATHS = [
    path
    for length in range(1, 8)
    for path in map("".join, itertools.product("abc/", repeat=length))
    if all(path.split("/"))
]


@cache
def brute(scope: str) -> int:
    """Return the covered ones of PATHS as bits, by `re`."""
    parts = [part for part in scope.split("/") if part]
    pattern = re.compile("".join("(?:[^/]+/)*" if part == "**" else segment(part) + "/" for part in parts) + ".*")
    return sum(1 << i for i, path in enumerate(PATHS) if pattern.fullmatch(path + "/"))


def segment(part: str) -> str:
    part = re.sub(r"\*+", "*", part)
    return re.sub(r"\[!?\w+(?:-\w)?\]|.", lambda found: word(found[0]), part)


def word(text: str) -> str:
    if text.startswith("["):
        return text.replace("[!", "[^/")
    return {"*": "[^/]*", "?": "[^/]"}.get(text, re.escape(text))


# ---- the decision, exactly ----


def test_every_pair_of_short_globs_agrees_with_every_short_path() -> None:
    # Seven characters are room enough for a common path of any two of these.
    texts = ["".join(word) for n in range(1, 5) for word in itertools.product("ab*?/", repeat=n)]
    texts += ["**/a", "a/**", "**/*", "*/**", "**/?a", "a/**/b", "**/a/**", "[ab]", "[!a]", "a[!b]", "[b-c]*", "**"]
    scopes = sorted({normalise(text, PLAIN) for text in texts if all(text.strip("/").split("/")) and text[0] != "/"})
    for a, b in itertools.combinations_with_replacement(scopes, 2):
        assert overlap(a, b, PLAIN) == bool(brute(a) & brute(b)), (a, b)


# No classes that exclude a, b and c together: the short paths have no other letter.
pieces = st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "[b-c]", "[!b]"])
globs = st.lists(
    st.one_of(st.just("**"), st.lists(pieces, min_size=1, max_size=3).map("".join)), min_size=1, max_size=4
)
scopes = globs.map("/".join).map(lambda text: normalise(text, PLAIN))


@thorough
@given(scopes, scopes)
def test_overlap_is_symmetric_reflexive_and_never_misses_a_common_path(a: str, b: str) -> None:
    assert overlap(a, a, PLAIN)
    assert overlap(a, b, PLAIN) == overlap(b, a, PLAIN)
    if brute(a) & brute(b):
        assert overlap(a, b, PLAIN)


@thorough
@given(scopes, scopes)
def test_a_common_path_that_overlap_claims_exists(a: str, b: str) -> None:
    found = overlap(a, b, PLAIN)
    if found and not brute(a) & brute(b):
        # Only patterns too long for the short paths may disagree.
        assert sum(len(re.sub(r"\[.*?\]", "c", scope)) + 1 for scope in (a, b)) > max(map(len, PATHS))


@thorough
@given(scopes)
def test_covers_agrees_with_the_independent_matcher(scope: str) -> None:
    for i, path in enumerate(PATHS[:1500]):
        assert covers(scope, path, PLAIN) == bool(brute(scope) >> i & 1), path


@thorough
@given(scopes, scopes)
def test_contains_claims_only_what_every_path_confirms(a: str, b: str) -> None:
    if contains(a, b, PLAIN):
        assert not brute(b) & ~brute(a)
    elif brute(b) and not set("*?[") & set(a + b):
        assert brute(b) & ~brute(a)


@st.composite
def loosened(draw: st.DrawFn, path: str) -> str:
    """Return a glob that covers PATH: letters, segments and folders of it given up at random."""
    parts: list[str] = []
    for part in path.split("/"):
        choice = draw(st.integers(0, 4))
        if choice == 0 and parts[-1:] != ["**"]:
            parts.append("**")
        elif choice == 1:
            parts.append("*")
        elif choice < 4:
            parts.append("".join(draw(st.sampled_from([c, c, "?", "*", f"[{c}x]", "[!z]", f"*{c}"])) for c in part))
        else:
            parts.append(part)
    return normalise("/".join(parts[: draw(st.integers(1, len(parts)))]), PLAIN)


@thorough
@given(st.data(), st.lists(st.text("abcd.", min_size=1, max_size=6).map("x".__add__), min_size=1, max_size=7))
def test_two_globs_made_from_one_path_meet_and_cover_it(data: st.DataObject, parts: list[str]) -> None:
    path = "/".join(parts)
    a, b = data.draw(loosened(path)), data.draw(loosened(path))
    assert covers(a, path, PLAIN)
    assert covers(b, path, PLAIN)
    assert overlap(a, b, PLAIN), (a, b)


@pytest.mark.parametrize(
    ("a", "b", "meets"),
    [
        ("apps_script/**", "apps_script/MERGED TOTAL.js", True),
        ("apps", "apps/x.js", True),
        ("apps", "apps2/x.js", False),
        ("a/*", "a/b/c", True),
        ("a/*.js", "a/*.py", False),
        ("**/*.js", "**/*.py", True),
        ("a/[a-m]*", "a/[n-z]*", False),
        ("a/[a-n]*", "a/[n-z]*", True),
        ("a/[!a]", "a/a", False),
        ("a/[]-]", "a/]", True),
        ("[+-9]", "a", False),
        ("**/test/**", "src/test", True),
        ("*/b", "a/c", False),
        ("**", "a", True),
        ("**", "task:1", False),
        ("task:1", "task:1", True),
        ("task:1", "task:12", False),
        ("merge:a", "merge:a/b", False),
        ("merge:*", "merge:a", False),
        (r"\task:1", "task:1", False),
        (r"a\*", "ab", False),
        ("a[", "a[", True),
        ("A", "a", False),
        ("caf\u00e9", "cafe\u0301", False),
    ],
)
def test_examples_on_a_file_system_that_tells_letters_apart(a: str, b: str, meets: bool) -> None:
    assert overlap(a, b, PLAIN) is overlap(b, a, PLAIN) is meets


@pytest.mark.parametrize(
    ("a", "b", "meets"),
    [
        ("Apps/X.js", "apps/x.JS", True),
        ("APPS/*.js", "apps/x.JS", True),
        ("[A-C]x", "bX", True),
        ("[!a]", "A", False),
        ("[!a]", "[A]", False),
        ("[\u0410-\u042f]", "\u044f", True),
        ("\u212a", "k", True),
        ("stra\u00dfe", "STRA\u1e9eE", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("caf?", "cafe\u0301", True),
        ("CAF\u00c9/*", "cafe\u0301/menu", True),
        ("merge:Fix", "merge:fix", True),
    ],
)
def test_examples_on_a_file_system_that_folds_and_composes(a: str, b: str, meets: bool) -> None:
    assert overlap(a, b, MAC) is overlap(b, a, MAC) is meets


@thorough
@given(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), st.booleans())
def test_a_class_and_its_opposite_share_no_letter_in_either_case(c: str, negated: bool) -> None:
    form = Form(fold_case=True)
    inside, outside = f"[\\{c}\\{c}]", f"[!\\{c}]"
    for letter in {c, c.upper(), c.lower(), c.casefold()}:
        if len(letter) == 1:
            assert covers(inside, letter, form) != covers(outside, letter, form)
    assert not overlap(inside, outside, form)


def test_same_is_about_one_lock_file() -> None:
    assert same("Apps", "apps", MAC)
    assert not same("Apps", "apps", PLAIN)
    assert not same("a", "a/**", PLAIN)


def test_contains_examples() -> None:
    assert contains("apps/**", "apps/*/x", PLAIN)
    assert contains("apps/*", "apps/a/b", PLAIN)
    assert contains("a/*.js", "a/*.js", PLAIN)
    assert not contains("apps/*", "apps", PLAIN)
    assert not contains("apps/x", "apps", PLAIN)


# ---- normalising ----


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


# ---- time ----


@pytest.mark.parametrize(
    ("a", "b", "meets"),
    [
        ("*a" * 2040 + "b", "*a" * 2040 + "c", False),
        ("*a" * 2040 + "*b", "*b" * 2040 + "*a", False),
        ("**/*a/" * 680 + "x", "**/*b/" * 680 + "y", True),
        ("**/*a/" * 600 + "x", "*/a/" * 1000 + "y", True),
        ("?*" * 2000, "*?" * 2000, True),
        ("*[ab]" * 60 + "c" * 3000, "*[!ab]" * 60 + "d" * 3000, False),
        ("[" * 4000, "*" + "]" * 4000, False),
    ],
)
def test_hostile_patterns_are_decided_in_time(a: str, b: str, meets: bool) -> None:
    begin = time.process_time()
    assert overlap(a, b, PLAIN) is meets
    assert overlap(a, b, MAC) is meets
    assert time.process_time() - begin < 2.0


def test_a_long_path_against_a_hostile_pattern_is_decided_in_time() -> None:
    begin = time.process_time()
    assert not covers("*a" * 2000 + "b", "a" * 4000, PLAIN)
    assert time.process_time() - begin < 1.0
