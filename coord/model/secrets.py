"""Credentials by their shape: known prefixes, private keys, passwords in URLs. No guessing by entropy.

The shapes are those that scanners of public code agree on: gitleaks' `config/gitleaks.toml`
(most token lengths), detect-secrets' plugins (Azure, Telegram, basic authentication),
trufflehog's detectors (Discord, Supabase, Google OAuth) and the providers' own pages.
Where these allow a token to grow, so do the rules here.

A rule is looked at only where one of its hints occurs. Whether any does is asked first, with
one pattern of all hints, each found by its rarest letter: about 8 µs for 600 bytes, after 1 ms
of compiling at the first call.
"""

import re
from collections.abc import Iterator
from dataclasses import field
from functools import cache

from coord.model.regex import regex
from coord.model.values import frozen

# What is followed by more is bounded, so that hostile text costs no more than its length.
# Where a token begins that other text could hold by chance: at a word's edge, behind `\n` in JSON or `%3D` in a URL.
_EDGE = r"(?:(?<![0-9A-Za-z])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
_END = r"(?![0-9A-Za-z])"


@frozen
class Rule:
    """One kind of credential: HINTS are texts of which each match holds at least one."""

    name: str
    hints: tuple[str, ...]
    pattern: str


@frozen
class Found:
    """A credential and its place, both counted from 1; `text` is the secret itself and is for no message."""

    rule: str
    line: int
    column: int
    text: str = field(repr=False)

    @property
    def shown(self) -> str:
        """What may be said of it: its first four characters and its length."""
        return f"{self.text[:4]}… ({len(self.text)} characters)"


URL = "password-in-url"
KEY = "private-key"
_TOKENS = (
    ("aws-access-key", "AKIA ASIA", _EDGE + r"(?:AKIA|ASIA)[0-9A-Z]{16}" + _END),
    ("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[0-9A-Za-z]{36,}"),
    ("github-fine-grained-token", "github_pat_", r"github_pat_[0-9A-Za-z_]{36,}"),
    ("gitlab-token", "glpat- gldt- glrt- glptt- glcbt-", r"gl(?:pat|dt|rt|ptt|cbt)-[0-9A-Za-z_.-]{20,}"),
    ("slack-token", "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-", r"xox[abeoprs]-[0-9][0-9A-Za-z-]{9,}"),
    ("slack-app-token", "xapp-", r"xapp-[0-9]-[0-9A-Za-z]+-[0-9]+-[0-9A-Za-z]{10,}"),
    ("slack-webhook", "hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/[0-9A-Za-z+/]{40,}"),
    ("stripe-live-key", "k_live_", r"[sr]k_live_[0-9A-Za-z]{16,}"),
    ("anthropic-key", "sk-ant-", r"sk-ant-[a-z]+[0-9]+-[0-9A-Za-z_-]{24,}"),
    (
        "openai-key",
        "T3BlbkFJ sk-proj- sk-svcacct- sk-admin-",
        _EDGE + r"sk-(?:(?:proj|svcacct|admin)-[0-9A-Za-z_-]{40,}|[0-9A-Za-z_-]{16,160}T3BlbkFJ[0-9A-Za-z_-]{16,})",
    ),
    ("google-api-key", "AIza", _EDGE + r"AIza[0-9A-Za-z_-]{35}" + _END),
    ("google-oauth-secret", "GOCSPX-", r"GOCSPX-[0-9A-Za-z_-]{28}"),
    ("google-oauth-token", "ya29.", r"ya29\.[0-9A-Za-z_-]{30,}"),
    ("npm-token", "npm_", r"npm_[0-9A-Za-z]{36}" + _END),
    ("pypi-token", "pypi-AgE", r"pypi-AgE[0-9A-Za-z_-]{50,}"),
    ("sendgrid-key", "SG.", _EDGE + r"SG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{32,64}"),
    ("twilio-key", "SK", _EDGE + r"SK[0-9a-f]{32}" + _END),
    ("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    ("vault-token", "hvs. hvb. hvr.", r"hv[sbr]\.(?=[0-9A-Za-z_-]*[0-9])[0-9A-Za-z_-]{24,}"),
    ("databricks-token", "dapi", _EDGE + r"dapi[0-9a-f]{32}" + _END),
    ("hugging-face-token", "hf_", _EDGE + r"hf_[0-9A-Za-z]{34,}"),
    ("telegram-bot-token", ":AA", r"(?<![0-9])[0-9]{8,10}:AA[0-9A-Za-z_-]{33}" + _END),
    (
        "discord-webhook",
        "/webhooks/",
        r"discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{17,20}/[0-9A-Za-z_-]{60,}",
    ),
    ("mailgun-key", "key-", _EDGE + r"key-[0-9a-f]{32}" + _END),
    ("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}"),
    ("linear-key", "lin_api_ lin_oauth_", r"lin_(?:api|oauth)_[0-9A-Za-z]{32,}"),
    ("notion-token", "ntn_ secret_", _EDGE + r"(?:ntn_[0-9]{11}[0-9A-Za-z]{35}|secret_[0-9A-Za-z]{43})" + _END),
    (
        "doppler-token",
        "dp.pt. dp.st. dp.ct. dp.sa.",
        r"dp\.(?:pt|st|ct|sa)\.(?:[0-9A-Za-z_-]{1,40}\.)?[0-9A-Za-z]{40,44}",
    ),
    ("azure-storage-key", "AccountKey=", r"AccountKey=[0-9A-Za-z+/]{86}=="),
    ("azure-client-secret", "Q~", r"[0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}"),
    ("age-secret-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
    # A signed token lets its bearer in. One without a signature proves nothing and is left alone.
    ("jwt", "eyJ", _EDGE + r"eyJ[0-9A-Za-z_-]{10,2000}\.eyJ[0-9A-Za-z_-]{10,8000}\.[0-9A-Za-z_-]{20,}"),
    ("fly-token", "fo1_ fm1a_ fm1r_ fm2_", r"(?:fo1_[0-9A-Za-z_-]{43}|(?:fm1[ar]|fm2)_[0-9A-Za-z+/]{100,}={0,3})"),
    ("supabase-token", "sbp_ sb_secret_", r"(?:sbp_[0-9a-f]{40}|sb_secret_[0-9A-Za-z_-]{20,})" + _END),
    ("grafana-token", "glc_ glsa_", r"(?:glc_[0-9A-Za-z+/]{32,}={0,3}|glsa_[0-9A-Za-z]{32}_[0-9A-Fa-f]{8})"),
    ("atlassian-token", "ATATT3", r"ATATT3[0-9A-Za-z_=-]{60,}"),
)
# A header alone is how people speak of keys; what makes it one is what follows.
_KEY_PATTERN = (
    r"-----BEGIN (?:[0-9A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:\s|\\[nrt]|[\"'`+>|#*,;])*(?:(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):|[0-9A-Za-z+/]{16,})"
)
_BLOCK = regex(r"-----BEGIN [0-9A-Z ]*PRIVATE KEY.*?(?:-----END[0-9A-Z ]*-----|\Z)", re.DOTALL)
_URL_PATTERN = (
    r"[A-Za-z][0-9A-Za-z+.-]{0,30}://([^\s/?#:@\"'`<>]*):([^\s/?#@\"'`<>]+)@([0-9A-Za-z.\[-][^\s/?#:@\"'`<>\\,;)]*)"
)
RULES = (
    *(Rule(name, tuple(hints.split()), pattern) for name, hints, pattern in _TOKENS),
    Rule(KEY, ("PRIVATE KEY",), _KEY_PATTERN),
    Rule(URL, ("://",), _URL_PATTERN),
)
NAMES = tuple(rule.name for rule in RULES)
# From rare to frequent in prose, code and front matter; what is not here is rarer still.
_FREQUENT = b"~=_JQKX:-./AIGTSEPxdkyzghbcvpowmfulnrasite0123456789 "
_TAIL = 16
_FEWEST = 5  # different characters in a token's tail; `xxxx…` and `0000…` stand for one
# Storage emulators have one key for everybody: Azurite's documentation prints it.
_PUBLIC = ("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",)
_STAND_INS = frozenset(
    re.findall(
        r"\S+",
        "password passwd pass passphrase pwd pw secret token key apikey api_key api-key changeme change-me change_me "
        "example test testing dummy fake foo bar baz root admin user username guest postgres mysql redis rabbitmq "
        "mypassword my-password yourpassword your-password your_password hunter2 redacted masked hidden xxx "
        "x-oauth-basic x-access-token oauth2",
    )
)
_STANDS_IN = regex(r"\$\{.*|\$[A-Z_][0-9A-Z_]*|\$\(.*|%[A-Za-z_]+%|%[sd]|\{.*|\[.*|\(.*|[*.…•_-]+|(.)\1+", re.DOTALL)
# RFC 2606 keeps these names for documentation: nothing there could be opened.
_NOWHERE = regex(r"(?:.+\.)?(?:example(?:\.(?:com|net|org|edu))?|invalid|test)\.?|host(?:name)?|(?:my|your)-?host")


def suspicious(data: bytes) -> bool:
    """Tell quickly whether any rule is worth looking at; False means that `find` finds nothing."""
    return _trigger().search(data) is not None or (b"://" in data and b"@" in data)


def find(text: str) -> Iterator[Found]:
    """Yield every credential in TEXT, rule by rule; what plainly stands in for one is none."""
    for rule in RULES:
        if any(hint in text for hint in rule.hints):
            for match in _compiled(rule.pattern).finditer(text):
                if not _stands_in(rule, match):
                    start = match.start(2) if rule.name == URL else match.start()
                    line = text.count("\n", 0, start) + 1
                    yield Found(rule.name, line, start - text.rfind("\n", 0, start), _secret(rule, match))


def redacted(text: str) -> str:
    """Return TEXT with every credential replaced by its rule's name, for coord's own words about others' text."""
    for found in find(text):
        text = _BLOCK.sub(f"[{KEY}]", text) if found.rule == KEY else text.replace(found.text, f"[{found.rule}]")
    return text


@cache
def _trigger() -> re.Pattern[bytes]:
    """Compile one pattern of all hints but that of URLs: at the rarest letter of each, what stands around it."""
    at: dict[bytes, list[bytes]] = {}
    for hint in (hint.encode() for rule in RULES if rule.name != URL for hint in rule.hints):
        place = min(range(len(hint)), key=lambda place: _FREQUENT.find(hint[place]))
        before, letter, after = (re.escape(part) for part in (hint[:place], hint[place : place + 1], hint[place + 1 :]))
        at.setdefault(letter, []).append((b"(?<=" + before + letter + b")" if before else b"") + after)
    return re.compile(b"|".join(letter + b"(?:" + b"|".join(ways) + b")" for letter, ways in at.items()))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _secret(rule: Rule, match: re.Match[str]) -> str:
    return match[2] if rule.name == URL else match[0]


def _stands_in(rule: Rule, match: re.Match[str]) -> bool:
    if rule.name == URL:
        user, password, host = match[1].lower(), match[2], match[3].lower()
        known = password.lower() in _STAND_INS or password.lower() == user or len(password) < 3
        return known or _STANDS_IN.fullmatch(password) is not None or _NOWHERE.fullmatch(host) is not None
    token = match[0]
    return len(set(token[-_TAIL:])) < _FEWEST or "EXAMPLE" in token.upper() or token.endswith(_PUBLIC)
