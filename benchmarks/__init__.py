"""Measured against the peers, side by side in one run: `make bench`."""

from pathlib import Path

WORK = Path(__file__).parents[1] / ".bench"
"""Where generated photographs, weights and tables are kept between runs."""
