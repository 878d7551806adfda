"""What loads at its first use loads once, also where several threads come to it at once."""

import subprocess
import sys
from pathlib import Path

CROWD = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from coord import deferral
names = [f"late{number}" for number in range(200)]
for name in names:
    Path(sys.argv[1], f"{name}.py").write_text("import builtins; builtins.loads.append(__name__); class_ = type('C', (), {})")
import builtins
builtins.loads = []
deferral.defer(names)
sys.setswitchinterval(1e-6)
stand_ins = [sys.modules[name] for name in names]
seen = [set() for _ in names]
gates = [threading.Barrier(4) for _ in names]
def use():
    for gate, module, found in zip(gates, stand_ins, seen):
        gate.wait(20)
        try:
            found.add(module.class_)
        except Exception as fault:
            found |= {repr(fault), None}
threads = [threading.Thread(target=use) for _ in range(4)]
for one in threads: one.start()
for one in threads: one.join()
twice = sorted({name for name in builtins.loads if builtins.loads.count(name) > 1})
print(len(builtins.loads), twice, [found for found in seen if len(found) != 1])
"""


def test_several_threads_load_a_deferred_module_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", CROWD, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "200 [] []", done.stderr
