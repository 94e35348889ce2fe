"""Plain mutation of one target's inputs."""

import faulthandler
import random
import resource
import sys
import time
from pathlib import Path

from .mutate import mutated
from .seeds import seeds
from .targets import TARGETS, run

MEMORY, SECONDS = 8 << 30, 60
"""Bytes of addresses, of which libraries take some without using them; seconds for one input."""


def main(name: str, seconds: float) -> int:
    """Give a target inputs for some seconds; print how many. What fell is kept."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    target, known, rng = TARGETS[name], seeds()[name], random.Random()
    count, end = 0, time.monotonic() + seconds
    kept = Path(__file__).parent / "found" / name
    kept.mkdir(parents=True, exist_ok=True)
    last = kept / f"last-{rng.getrandbits(32):08x}"
    while time.monotonic() < end:
        data = mutated(rng.choice(known), known, rng)
        last.write_bytes(data)  # there if the process dies
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            run(target, data)
        except BaseException:
            (kept / f"{rng.getrandbits(64):016x}").write_bytes(data)
            raise
        faulthandler.cancel_dump_traceback_later()
        count += 1
    last.unlink()
    print(f"{count:,} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
