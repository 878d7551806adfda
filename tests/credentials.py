"""True credentials' shapes, made when a test runs: no token-shaped text stands in a file of this repository."""

import base64
import json
import random
import string
from collections.abc import Callable

_HEX = "0123456789abcdef"
_ALNUM = string.ascii_letters + string.digits
_WORD = _ALNUM + "_-"
_BASE64 = _ALNUM + "+/"
_BECH32 = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"


def made(seed: int) -> list[tuple[str, str]]:
    """Return credentials with the name of the rule that must find each; the same for the same SEED."""
    rng = random.Random(seed)

    def some(alphabet: str, count: int) -> str:
        return "".join(rng.choices(alphabet, k=count))

    found: list[tuple[str, str]] = []

    def add(rule: str, *parts: str) -> None:
        found.append((rule, "".join(parts)))

    for start in ("AK", "AS"):
        add("aws-access-key", start, "IA", some(string.ascii_uppercase + "234567", 16))
    for letter in "pousr":
        add("github-token", "gh", letter, "_", some(_ALNUM, 36))
    add("github-fine-grained-token", "github", "_pat_", some(_ALNUM, 22), "_", some(_ALNUM, 59))
    for kind in ("pat", "dt", "rt", "ptt"):
        add("gitlab-token", "gl", kind, "-", some(_ALNUM, 20))
    add("gitlab-token", "gl", "cbt-", some(_ALNUM, 2), "_", some(_ALNUM, 20))
    for letter in "abprs":
        add(
            "slack-token",
            "xo",
            "x",
            letter,
            "-",
            some(string.digits, 12),
            "-",
            some(string.digits, 12),
            "-",
            some(_ALNUM, 24),
        )
    add("slack-app-token", "xa", "pp-1-A", some(string.digits, 10), "-", some(string.digits, 13), "-", some(_HEX, 64))
    add(
        "slack-webhook",
        "https://hooks.",
        "slack.com/services/T",
        some(_ALNUM, 8),
        "/B",
        some(_ALNUM, 8),
        "/",
        some(_ALNUM, 24),
    )
    for letter in "sr":
        add("stripe-live-key", letter, "k_", "live_", some(_ALNUM, 24))
    for kind in ("api03", "admin01", "oat01"):
        add("anthropic-key", "sk-", "ant-", kind, "-", some(_WORD, 92), "xAA")
    for kind in ("proj", "svcacct", "admin"):
        add("openai-key", "sk", f"-{kind}-", some(_WORD, 74), "T3Blbk", "FJ", some(_ALNUM, 74))
    add("openai-key", "sk", "-", some(_ALNUM, 20), "T3Blbk", "FJ", some(_ALNUM, 20))
    add("google-api-key", "AI", "za", "Sy", some(_ALNUM, 33))
    add("google-oauth-secret", "GOC", "SPX-", some(_WORD, 28))
    add("google-oauth-token", "ya", "29.", some(_WORD, 120))
    add("npm-token", "np", "m_", some(_ALNUM, 36))
    add("pypi-token", "py", "pi-AgEIcHlwaS5vcmc", some(_WORD, 120))
    add("sendgrid-key", "S", "G.", some(_ALNUM, 22), ".", some(_ALNUM, 43))
    add("twilio-key", "S", "K", some(_HEX, 32))
    for letter in "por":
        add("digitalocean-token", "do", letter, "_v1_", some(_HEX, 64))
    add("vault-token", "hv", "s.", some(_ALNUM, 20), "7", some(_ALNUM, 74))
    add("vault-token", "hv", "b.", some(_ALNUM, 20), "7", some(_ALNUM, 130))
    add("databricks-token", "da", "pi", some(_HEX, 32))
    add("hugging-face-token", "h", "f_", some(string.ascii_letters, 34))
    add("telegram-bot-token", some("123456789", 10), ":A", "A", some(_ALNUM, 33))
    add("discord-webhook", "https://discord", ".com/api/", "webhooks/", some("123456789", 18), "/", some(_ALNUM, 68))
    add("mailgun-key", "ke", "y-", some(_HEX, 32))
    for kind in ("at", "ca", "pa", "ss"):
        add("shopify-token", "sh", f"p{kind}_", some(_HEX, 32))
    add("linear-key", "lin", "_api_", some(_ALNUM, 40))
    add("notion-token", "nt", "n_", some(string.digits, 11), some(_ALNUM, 35))
    add("notion-token", "sec", "ret_", some(_ALNUM, 43))
    add("doppler-token", "d", "p.pt.", some(_ALNUM, 43))
    add("doppler-token", "d", "p.st.prd.", some(_ALNUM, 43))
    add("azure-storage-key", "Account", "Key=", some(_BASE64, 86), "==")
    add("azure-client-secret", some(_ALNUM, 3), "8Q", "~", some(_ALNUM, 34))
    add("age-secret-key", "AGE-SECRET", "-KEY-1", some(_BECH32, 58))
    add("jwt", *_jwt(rng, some))
    add("fly-token", "fo", "1_", some(_WORD, 43))
    add("fly-token", "fm", "2_", some(_BASE64, 160), "==")
    add("supabase-token", "sb", "p_", some(_HEX, 40))
    add("supabase-token", "sb", "_secret_", some(_ALNUM, 31))
    add("grafana-token", "gl", "c_", some(_ALNUM, 80), "==")
    add("grafana-token", "gl", "sa_", some(_ALNUM, 32), "_", some(_HEX, 8))
    add("atlassian-token", "ATA", "TT3", some(_ALNUM, 186))
    for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "):
        add("private-key", "-----BEGIN ", kind, "PRIVATE", " KEY-----\n", some(_BASE64, 64))
    add("private-key", "-----BEGIN PGP ", "PRIVATE", " KEY BLOCK-----\n\n", some(_BASE64, 64))
    add("private-key", "-----BEGIN RSA ", "PRIVATE", " KEY-----\nProc-Type:")
    add("private-key", "-----BEGIN ", "PRIVATE", " KEY-----\\n", some(_BASE64, 64))
    for start in ("https://deploy", "postgres://app", "redis://", "mongodb+srv://svc", "amqp://worker"):
        add("password-in-url", f"{start}:", some(_ALNUM, 14), "7@", "db.internal:5432/app")
    return found


def _jwt(rng: random.Random, some: Callable[[str, int], str]) -> list[str]:
    def packed(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    payload = {"sub": str(rng.randrange(1 << 40)), "role": "service_role"}
    return [packed({"alg": "HS256", "typ": "JWT"}), ".", packed(payload), ".", some(_WORD, 43)]
