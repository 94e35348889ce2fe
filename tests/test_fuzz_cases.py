"""Inputs on which something fell once, and a few that are made on the spot, given to every parser of ours."""

import random
from pathlib import Path

import pytest

from fuzz.mutate import mutated
from fuzz.seeds import seeds
from fuzz.targets import TARGETS, run

CASES = sorted((Path(__file__).parent / "fuzz_cases").glob("*/*"))
MADE = 40


@pytest.mark.parametrize("file", CASES, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_fell_once_does_not_fall_again(file):
    run(TARGETS[file.parent.name], file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_right_and_mutated_inputs_are_read_or_refused(name):
    known, rng = seeds()[name], random.Random(name)
    for data in known:
        run(TARGETS[name], data)
    for _ in range(MADE):
        data = mutated(rng.choice(known), known, rng)
        try:
            run(TARGETS[name], data)
        except BaseException as error:
            pytest.fail(f"{error!r} on {data[:500]!r}")
