"""What others made to judge servers of the protocol: its official suite, and its Inspector, in every era."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hooking import daemon

HERE = Path(__file__).parent
NODE = Path(sys.executable).with_name("node")
SUITE = HERE / "node_modules/@modelcontextprotocol/conformance"
INSPECTOR = HERE / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"

# Every scored scenario passes. What the suite only warns of, and why:
WARNED = {
    "sep-2575-server-sends-tools-list-changed-on-subscription": "coord's tools never change while it runs",
    "sep-2575-server-sends-prompts-list-changed-on-subscription": "nor do its prompts",
}

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (INSPECTOR.exists() and NODE.exists()) and not os.environ.get("CI"),
        reason="`make test` installs the suites with npm, which found no registry",
    ),
]


@contextmanager
def served(repo: Path, fault: str = "") -> Iterator[str]:
    words = [sys.executable, "-m", "conformance.serve", str(repo), "backend", fault]
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen(words, cwd=HERE.parents[1], env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def node(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COORD_AGENT": "backend", "NO_COLOR": "1"}
    return subprocess.run([str(NODE), *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def judged(url: str, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return node(str(SUITE / "dist/index.js"), "server", "--url", url, *words, "-o", str(out), cwd=out.parent)


def warnings(out: Path, scored: Sequence[str]) -> set[str]:
    return {
        check["id"]
        for path in out.glob("*/checks.json")
        if any(path.parent.name.startswith(f"server-{name}-20") for name in scored)
        for check in json.loads(path.read_text())
        if check["status"] == "WARNING"
    }


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_the_official_suite(repo: Path, tmp_path: Path, revision: str) -> None:
    scored = yaml.safe_load((SUITE / f"requirements/{revision}.yaml").read_text())["server"]
    out = tmp_path / "results"
    with served(repo) as url:
        done = judged(url, out, "--requirements", revision)
    passed = {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("\u2713 ")}
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(scored) - passed == set()
    assert len(scored) >= 30
    assert warnings(out, scored) <= set(WARNED)


@pytest.mark.parametrize(
    ("fault", "scenario"),
    [("any host", "dns-rebinding-protection"), ("nothing found", "sep-2164-resource-not-found")],
)
def test_the_official_suite_finds_a_planted_fault(repo: Path, tmp_path: Path, fault: str, scenario: str) -> None:
    with served(repo, fault) as url:
        done = judged(url, tmp_path / "results", "--scenario", scenario)
    assert done.returncode == 1, done.stdout
    assert "FAILURE" in done.stdout


def inspected(repo: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return node(str(INSPECTOR), "--cli", "--connect-timeout", "120000", *words, cwd=repo)


@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
def test_the_inspector_over_the_relay(repo: Path, era: str) -> None:
    program = str(NODE.with_name("coord"))
    with daemon(repo):
        done = inspected(repo, "--protocol-era", era, program, "mcp", "--method", "tools/list", "--strict")
    assert done.returncode == 0, done.stderr
    assert "send_message" in {tool["name"] for tool in json.loads(done.stdout)["tools"]}
    assert done.stderr == ""


def test_the_inspector_finds_a_planted_fault(repo: Path) -> None:
    with served(repo, "a loose schema") as url:
        done = inspected(repo, url, "--transport", "http", "--method", "tools/list", "--strict")
    assert 'tool "send_message"' in done.stderr
