"""A run config that trains in seconds, and its data: coloured squares with the names of their colours."""

from pathlib import Path

import pytest
from coloured_pairs import tiny_run, write_table

from samespace.train.config import RunConfig


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A TSV of 40 pictures."""
    return write_table(tmp_path)


@pytest.fixture
def config(table: Path, tmp_path: Path) -> RunConfig:
    """Return a run config for a tiny space on the CPU."""
    return tiny_run(table, tmp_path / "run")
