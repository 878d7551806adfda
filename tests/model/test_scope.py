"""Scopes against an independent matcher: every short path, translated to `re`."""

import itertools
import re
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.scope import Form, contains, covers, normalise, overlap, same

PLAIN = Form()
MAC = Form(fold_case=True, compose=True)
thorough = settings(deadline=None, print_blob=True, derandomize=False, max_examples=300)

PATHS = [
    path
    for length in range(1, 9)
    for path in map("".join, itertools.product("abc/", repeat=length))
    if all(path.split("/"))
]


@cache
def brute(scope: str, files: frozenset[str] = frozenset()) -> int:
    """Return the covered ones of PATHS as bits, by `re`."""
    *parts, last = [segment(part) for part in scope.split("/")]
    deep = last == "**"
    text = "".join("(?:[^/]+/)*" if part == "**" else part + "/" for part in parts) + (".+" if deep else last)
    if not set("*?[") & set(scope) and scope not in files:
        text += "(?:/.+)?"
    pattern = re.compile(text)
    return sum(1 << i for i, path in enumerate(PATHS) if pattern.fullmatch(path))


def segment(part: str) -> str:
    if part == "**":
        return part
    part = re.sub(r"\*+", "*", part)
    return re.sub(r"\[!?\w+(?:-\w)?\]|.", lambda found: word(found[0]), part)


def word(text: str) -> str:
    if text.startswith("["):
        return text.replace("[!", "[^/")
    return {"*": "[^/]*", "?": "[^/]"}.get(text, re.escape(text))


# ---- the decision, exactly ----


def test_every_pair_of_short_globs_agrees_with_every_short_path() -> None:
    # Eight characters are room enough for a common path of any two of these.
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
plains = st.tuples(st.sampled_from(["a", "b", "a/a", "a/b", "a/b/a"]), st.sampled_from(["", "/**"])).map("".join)


known = st.frozensets(st.sampled_from(["a", "b", "a/a", "a/b", "b/a", "aa", "a/b/a"]))


def told(files: frozenset[str]) -> Form:
    return Form(is_file=files.__contains__)


@thorough
@given(scopes, scopes, known)
def test_overlap_is_symmetric_reflexive_and_never_misses_a_common_path(a: str, b: str, files: frozenset[str]) -> None:
    assert overlap(a, a, told(files))
    assert overlap(a, b, told(files)) == overlap(b, a, told(files))
    if brute(a, files) & brute(b, files):
        assert overlap(a, b, told(files))


@thorough
@given(scopes, scopes, known)
def test_a_common_path_that_overlap_claims_exists(a: str, b: str, files: frozenset[str]) -> None:
    if overlap(a, b, told(files)) and not brute(a, files) & brute(b, files):
        # Only patterns too long for the short paths may disagree.
        assert sum(len(re.sub(r"\[.*?\]", "c", scope)) + 1 for scope in (a, b)) > max(map(len, PATHS))


@thorough
@given(scopes, known)
def test_covers_agrees_with_the_independent_matcher(scope: str, files: frozenset[str]) -> None:
    for i, path in enumerate(PATHS[:1500]):
        assert covers(scope, path, told(files)) == bool(brute(scope, files) >> i & 1), path


@thorough
@given(scopes, scopes, known)
def test_contains_claims_only_what_every_path_confirms(a: str, b: str, files: frozenset[str]) -> None:
    if contains(a, b, told(files)):
        assert not brute(b, files) & ~brute(a, files)
    elif brute(b) and not set("*?[") & set(a + b):
        assert brute(b, files) & ~brute(a, files)


@thorough
@given(plains, plains, known)
def test_plain_paths_and_whole_folders_contain_each_other_exactly(a: str, b: str, files: frozenset[str]) -> None:
    assert contains(a, b, told(files)) == (not brute(b, files) & ~brute(a, files))


@st.composite
def loosened(draw: st.DrawFn, path: str) -> str:
    """Return a scope that covers PATH: letters, segments and folders of it given up at random."""
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
    if draw(st.booleans()):
        parts[draw(st.integers(0, len(parts) - 1)) :] = ["**"]
    return normalise("/".join(parts), PLAIN)


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
        ("apps/**", "apps", True),
        ("apps/*", "apps", True),
        ("apps/*", "apps/**", True),
        ("*", "apps/**", False),
        ("*", "apps", True),
        ("a/*", "a/b/c", False),
        ("a/*/c", "a/b", True),
        ("a/*.js", "a/*.py", False),
        ("**/*.js", "**/*.py", False),
        ("**/*.js", "README.md", True),
        ("*.js", "README.md", False),
        ("**/*.js", "README.md/**", True),
        ("a/[a-m]*", "a/[n-z]*", False),
        ("a/[a-n]*", "a/[n-z]*", True),
        ("a/[!a]", "a/a", False),
        ("a/[]-]", "a/]", True),
        ("[+-9]", "a", False),
        ("**/test/**", "src/test", True),
        ("**/test/**", "src/*", False),
        ("a/**/**/**/b", "a/b", True),
        ("a/**//**/b", "a/b", True),
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


def test_what_is_known_to_be_a_file_has_nothing_below_it() -> None:
    form = told(frozenset(["README.md", "app/[id].js"]))
    assert not overlap("**/*.js", "README.md", form)
    assert not overlap("README.md", "README.md/**", form)
    assert not overlap("README.md", "README.md/x", form)
    assert not overlap("**/x", r"app/\[id].js", form)
    assert overlap("**/*.md", "README.md", form)
    assert overlap("README.md", "README.md", form)
    assert covers("README.md", "README.md", form)
    assert not covers("README.md", "README.md/x", form)
    assert contains("*.md", "README.md", form)
    assert not contains("*.md", "NEWS.md", form)


def test_the_file_system_is_asked_only_where_the_answer_rests_on_what_lies_below() -> None:
    asked: list[str] = []

    def is_file(path: str) -> bool:
        asked.append(path)
        return False

    form = Form(is_file=is_file)
    for a, b in [("a", "a"), ("a", "b"), ("a/b", "a*"), ("*.js", "x.js"), ("a/**", "a/b/c"), ("**", "a")]:
        overlap(a, b, form)
        covers(a, b, form)
    assert asked == []
    assert overlap("a", "a/b", form)
    assert asked == ["a"]


def test_contains_examples() -> None:
    assert contains("apps/**", "apps/*/x", PLAIN)
    assert contains("apps", "apps/**", PLAIN)
    assert contains("*/x/**", "apps/x/y", PLAIN)
    assert not contains("apps/*", "apps/a", PLAIN)
    assert not contains("apps/**", "apps", PLAIN)
    assert contains("**", "apps/*", PLAIN)
    assert not contains("**", "task:1", PLAIN)
    assert contains("task:1", "task:1", PLAIN)
    assert contains("a/*.js", "a/*.js", PLAIN)
    assert not contains("apps/*", "apps", PLAIN)
    assert not contains("apps/x", "apps", PLAIN)


# ---- time ----


@pytest.mark.parametrize(
    ("a", "b", "meets"),
    [
        ("*a" * 2040 + "b", "*a" * 2040 + "c", False),
        ("*a" * 2040 + "*b", "*b" * 2040 + "*a", False),
        ("**/*a/" * 680 + "x", "**/*b/" * 680 + "y", False),
        ("**/*a/" * 600 + "x", "*/a/" * 1000 + "**", True),
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
