"""What a coding assistant waits for its hook, against the bare interpreter that it must be anyway."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import coord
from bench import ground
from bench.ground import Scale
from coord.service.measuring import benchground
from coord.service.measuring.benchground import AGENTS
from coord.service.measuring.benchrows import Row, p, p50

_THIN = Path(coord.__file__).parent / "thin" / "hook.py"


def hook(scale: Scale) -> Iterator[Row]:
    """Time a hook before an edit, with the daemon and without, each beside the bare interpreter."""
    with ground.repository() as home:
        payload = json.dumps(
            {
                "session_id": "bench",
                "cwd": str(home),
                "hook_event_name": "PreToolUse",
                "tool_name": "Edit",
                "tool_input": {"file_path": f"{home}/a.py"},
            }
        ).encode()
        for served in (True, False):
            least = ["-I", "-S"] if served else []
            took, bare = [], []
            with benchground.daemon(home) if served else nullcontext():
                for _ in range(scale.count(60)):
                    bare.append(_run([sys.executable, *least, "-c", "pass"], b"", home))
                    took.append(_run([sys.executable, "-I", "-S", str(_THIN), "claude"], payload, home))
            met = p50(took) <= 2.5 * p50(bare) if served else p50(took) <= p50(bare) + 150
            yield Row(
                f"a hook before an edit, {'with' if served else 'without'} the daemon",
                "ms",
                p50(took),
                p(99, took),
                p50(bare),
                p(99, bare),
                mark="p50 ≤ 2.5 x bare Python" if served else "p50 ≤ bare Python + 150",
                met=met,
            )


def _run(words: list[str], data: bytes, home: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        words, input=data, cwd=home, env={**os.environ, "COORD_AGENT": AGENTS[0]}, capture_output=True, check=True
    )
    return (time.perf_counter() - began) * 1000
