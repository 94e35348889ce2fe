"""The process that is killed: `python -m faults.child KIND FOLDER`. It says "ready" when its work begins."""

import sys
from pathlib import Path

from .kinds import KINDS

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2])).work(lambda: print("ready", flush=True))
