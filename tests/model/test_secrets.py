"""Credentials by their shape: what is one, what stands in for one, and where it is."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import credentials
import mutants_secrets
import pytest
import tiers
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model import secrets

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
BENIGN = (Path(__file__).parents[1] / "fixtures" / "benign.txt").read_text(encoding="utf-8").splitlines()
ALARMS_ALLOWED = 10
FRAMES = (
    "{}",
    "see {} there",
    "token: {}\n",
    '{{"key": "{}"}}',
    "'{}'",
    "a\\n{}\\n",
    "({}).",
    "first\nsecond {}",
    "a%3D{}",
)
# Their beginnings are so short or so plain that they count only where a word begins.
AT_AN_EDGE = {
    "aws-access-key",
    "databricks-token",
    "google-api-key",
    "hugging-face-token",
    "jwt",
    "mailgun-key",
    "notion-token",
    "openai-key",
    "sendgrid-key",
    "twilio-key",
}
STAND_INS = (
    "https://user:pass@host.internal/x",
    "https://bob:bob@host.internal",
    "https://u:${PW}@host.internal https://u:$PW@host.internal https://u:%PW%@host.internal",
    "https://u:{password}@host.internal https://u:[secret]@host.internal https://u:<pw>@host.internal",
    "https://u:****@host.internal https://u:xxxxxxxx@host.internal https://u:...@host.internal",
    "https://u:tr0ub4dor@example.com https://u:tr0ub4dor@db.example.org https://u:tr0ub4dor@vault.invalid",
    "http://host:8080/a@b http://host:8080?x=:1@b ssh://git@host.internal:22/x",
    "-----BEGIN PRIVATE KEY----- is how it starts",
    "`-----BEGIN EC PRIVATE KEY-----`, then the key",
)


def check_all_are_found(seed: int) -> None:
    for rule, text in credentials.made(seed):
        glued = () if rule in AT_AN_EDGE else ("word{}",)
        for frame in (*FRAMES, *glued):
            framed = frame.format(text)
            assert secrets.suspicious(framed.encode()), rule
            assert rule in {one.rule for one in secrets.find(framed)}, (rule, frame)


def check_few_false_alarms() -> None:
    alarms = [f"{one.rule}: {line}" for line in BENIGN for one in secrets.find(line)]
    print(f"{len(alarms)} false alarms in {len(BENIGN)} lines", *alarms, sep="\n")
    assert len(BENIGN) == 2000
    assert len(alarms) <= ALARMS_ALLOWED


def check_stand_ins_are_none() -> None:
    for text in STAND_INS:
        assert not list(secrets.find(text)), text
    for rule, start in (("aws", "AKIA"), ("github", "ghp_"), ("google", "AIza"), ("npm", "npm_")):
        assert not list(secrets.find(start + "x" * 40)) and not list(secrets.find(start + "X" * 16)), rule


def check_nothing_is_told() -> None:
    for _, text in credentials.made(1):
        for one in secrets.find(text):
            assert one.shown.startswith(one.text[:4]) and one.text[:8] not in one.shown
            assert one.text not in repr(one) and str(len(one.text)) in one.shown


def check_redaction() -> None:
    for rule, text in credentials.made(2):
        clean = secrets.redacted(f"it said {text} twice: {text}")
        assert f"[{rule}]" in clean
        assert not list(secrets.find(clean)), rule
    key = next(text for rule, text in credentials.made(2) if rule == "private-key")
    for end in ("", "\n-----END PRIVATE KEY-----\nlater"):
        clean = secrets.redacted(f"a\n{key}\n{'Zk' * 32}\nZkZkZk=={end}")
        assert "Zk" not in clean and clean.startswith("a\n[private-key]") and clean.endswith("later" if end else "]")


CHECKS: tuple[Callable[[], None], ...] = (
    lambda: check_all_are_found(1),
    check_few_false_alarms,
    check_stand_ins_are_none,
    check_nothing_is_told,
    check_redaction,
)


def test_every_shape_is_found_in_every_frame() -> None:
    check_all_are_found(tiers.seed())


def test_there_are_many_and_some_for_each_rule() -> None:
    made = credentials.made(1)
    assert len(made) >= 60
    assert {rule for rule, _ in made} == set(secrets.NAMES)


def test_the_document_names_every_rule() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(rows) == secrets.NAMES


def test_few_false_alarms() -> None:
    check_few_false_alarms()


def test_what_stands_in_for_a_credential_is_none() -> None:
    check_stand_ins_are_none()


def test_what_is_told_of_it_is_no_more_than_four_characters() -> None:
    check_nothing_is_told()


def test_redaction_leaves_none() -> None:
    check_redaction()


def test_its_place_is_its_line_and_column() -> None:
    rule, token = credentials.made(3)[2]
    text = f"one\ntwo ü {token} and again\n\n{token}"
    assert [(one.rule, one.line, one.column) for one in secrets.find(text)] == [(rule, 2, 7), (rule, 4, 1)]
    (one,) = secrets.find("at\nhttps://deploy:tr0ub4dor@host.internal/x")
    assert (one.line, one.column, one.text) == (2, 16, "tr0ub4dor")


_pieces = st.sampled_from(
    [hint for rule in secrets.RULES for hint in rule.hints]
    + [text for _, text in credentials.made(4)]
    + list(" \n@/.-_:aZ0")
)


@settings(deadline=None, max_examples=300)
@given(st.lists(_pieces | st.text(max_size=5), max_size=6).map("".join))
def test_the_quick_look_misses_nothing(text: str) -> None:
    if list(secrets.find(text)):
        assert secrets.suspicious(text.encode(errors="surrogatepass"))


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "a:" * 60_000 + "@",
        "://@" * 40_000,
        "a." * 100_000 + "://@",
        "://" + "a" * 200_000 + "@",
        "sk-" * 60_000 + "T3Blbk" + "FJ",
        "eyJ" + "a." * 80_000,
        "eyJaaaaaaaaaaa-" * 15_000,
        "-----BEGIN PRIVATE KEY-----" + "\\n" * 80_000,
        "-----BEGIN PRIVATE KEY-----\n" * 8_000,
        "xapp-1-" + "A1-" * 60_000,
    ],
    ids=["url", "urls", "scheme", "user", "openai", "jwt", "jwts", "key", "keys", "slack"],
)
def test_hostile_text_is_looked_at_in_good_time(text: str) -> None:
    begun = time.thread_time()
    list(secrets.find(text))
    assert time.thread_time() - begun < 10


@pytest.mark.parametrize("name", mutants_secrets.MODEL)
def test_every_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutants_secrets.MODEL[name](monkeypatch)
    caught = []
    for check in CHECKS:
        try:
            check()
        except AssertionError:
            caught.append(check)
    assert caught
