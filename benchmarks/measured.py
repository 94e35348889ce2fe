"""Run one side of a comparison in a process of its own, and say how much memory it took.

`ru_maxrss` of a process begins at the size of the one that started it (Linux keeps the larger of both across exec), so a side that
a large benchmark starts would be charged with that. Therefore a small process stands between them: this file, run as a script.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def measure(command: Sequence[object]) -> dict[str, Any]:
    """Run a command whose last line is a JSON object; return that with `peak_mb`, unless it says its own.

    Raises RuntimeError where it fails.
    """
    launcher = [sys.executable, "-I", "-S", __file__]
    done = subprocess.run([*launcher, *map(str, command)], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr[-3000:]}")
    *_, measured, usage = done.stdout.strip().splitlines()
    return dict(json.loads(usage) | json.loads(measured))


def main(command: list[str]) -> int:
    """Run a command, then print its peak memory as JSON; return its exit status."""
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    scale = 1024 * 1024 if sys.platform == "darwin" else 1024
    print(json.dumps({"peak_mb": usage.ru_maxrss / scale}), flush=True)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
