"""What writes is killed at a random moment, once each: `make faults` does it two hundred times."""

import random

import pytest

from faults.__main__ import run
from faults.kinds import KINDS

RUNS, SPAN = 1, 3.0
"""How often it is killed, and within how many seconds: what takes longer need not be measured first."""
ELSEWHERE = {"train", "pull"}
"""What tests of its own kill: train/test_loop.py, spaces/test_bad_checkpoints.py."""


@pytest.mark.parametrize("name", sorted(KINDS.keys() - ELSEWHERE))
def test_what_is_killed_loses_nothing_and_writes_nothing_twice(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    kind, seed = KINDS[name](tmp_path), random.randrange(2**32)
    kind.span = kind.span or SPAN
    print("seed", seed)
    run(kind, RUNS, random.Random(seed))
    assert kind.killed or kind.completed
