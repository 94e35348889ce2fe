"""Kill what writes, at random moments, and look at what is left.

    python -m faults [RUNS] [KIND …]        # make faults RUNS=200

Each run starts a process, sends it SIGKILL somewhere between its beginning and its end, has `doctor` look through what it wrote, and lets
the next one go on with that. A line per kind says how many runs there were, in how many something had to be mended, and how often the
work was completed and compared with what an undisturbed process does. What was lost, or is there twice, ends it with an error.
"""

import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from .kinds import KINDS, Fault, Kind

START_SECONDS = 120
"""Longest that a process may take to begin."""


def started(kind: Kind) -> subprocess.Popen[str]:
    """Start the work in a process of its own; return when it begins. Raises Fault where it does not."""
    command = [sys.executable, "-m", "faults.child", kind.name, str(kind.folder)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kind.environment)
    assert running.stdout and running.stderr
    limit = threading.Timer(START_SECONDS, running.kill)
    limit.start()
    first = running.stdout.readline().strip()
    limit.cancel()
    if first != "ready":
        running.kill()
        raise Fault(f"it does not begin: {running.stderr.read()[-500:]}")
    return running


def undisturbed(kind: Kind) -> float:
    """Let the work end by itself; return how many seconds it took. Raises Fault where it fails."""
    running, begun = started(kind), time.monotonic()
    _, errors = running.communicate(timeout=600)
    if running.returncode:
        raise Fault(f"it ends with {running.returncode}: {errors[-500:]}")
    return time.monotonic() - begun


def run(kind: Kind, runs: int, rng: random.Random) -> None:
    """Kill the work so many times. Raises Fault where something is lost, double, or cannot be gone on with."""
    kind.prepare()
    span = kind.span
    if not span:
        span = undisturbed(kind)
        kind.compare()
        kind.begin_anew()
    for _ in range(runs):
        running = started(kind)
        end = time.monotonic() + rng.uniform(0, span)
        while time.monotonic() < end and running.poll() is None:
            kind.meanwhile(rng)
            time.sleep(min(0.02, max(0.0, end - time.monotonic())))
        running.kill()
        _, errors = running.communicate()
        if running.returncode > 0:
            raise Fault(f"it ends with {running.returncode}: {errors[-500:]}")
        kind.killed += running.returncode < 0
        kind.check()
        if kind.is_complete():
            kind.compare()
            kind.completed += 1
            kind.begin_anew()
    if not kind.completed:
        undisturbed(kind)
        kind.check()
        kind.compare()


def main(runs: int, names: list[str]) -> int:
    """Run kinds that are named, or all; return how many failed."""
    failed = 0
    for name in names or KINDS:
        begun, seed = time.monotonic(), random.randrange(2**32)
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            kind = KINDS[name](Path(folder))
            try:
                run(kind, runs, random.Random(seed))
                result = "nothing lost, nothing double"
            except Fault as fault:
                failed += 1
                result = f"FAULT: {fault}"
        figures = f"{runs} runs, {kind.killed} killed, {kind.mended} mended, {kind.completed} completed, seed {seed}"
        print(f"{name:6} {figures}, {result}  {time.monotonic() - begun:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["200"]
    sys.exit(bool(main(int(arguments[0]), arguments[1:])))
