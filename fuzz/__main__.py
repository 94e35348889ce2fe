"""Give every parser mutated inputs, and the indexer mutated files, for some minutes; print how many, and keep what fell.

    python -m fuzz [MINUTES] [TARGET …]        # make fuzz MINUTES=60

Half of the time goes to parsers, coverage-guided by Atheris where it is installed and by plain mutation else, half to media. An input that
crashed, hung for 60 s, or took more memory than it may is kept in fuzz/found/TARGET; put it into tests/fuzz_cases/TARGET when it is mended, and
`pytest tests/test_fuzz_cases.py` gives it to the target ever after.
"""

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from .targets import TARGETS

HERE = Path(__file__).parent
FOUND = HERE / "found"
MEDIA = "media"


def main(minutes: float, names: list[str]) -> int:
    """Run the targets that are named, or all; return the number of those in which something fell."""
    chosen = names or [*TARGETS, MEDIA]
    share = 60 * minutes / (len(chosen) + (len(chosen) - 1 if MEDIA in chosen else 0))
    fallen = 0
    for name in chosen:
        seconds = share * (len(chosen) if name == MEDIA and len(chosen) > 1 else 1)
        module = MEDIA if name == MEDIA else "guided" if find_spec("atheris") else "blind"
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", f"fuzz.{module}", name, str(seconds)], capture_output=True, text=True, cwd=HERE.parent
        )
        said = (done.stdout.strip().splitlines() or ["nothing"])[-1]
        fallen += done.returncode != 0
        print(
            f"{name:20} {said}{'' if done.returncode == 0 else f'  FELL ({done.returncode}), kept in {FOUND / name}'}  {time.monotonic() - started:.0f} s",
            flush=True,
        )
        if done.returncode:
            print("\n".join(done.stderr.strip().splitlines()[-12:]), flush=True)
    return fallen


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["10"]
    sys.exit(bool(main(float(arguments[0]), arguments[1:])))
