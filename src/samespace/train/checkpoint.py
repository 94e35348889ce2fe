"""Checkpoints that a killed run goes on from: the old one or the new one is there, never half of either."""

import errno
import os
from pathlib import Path
from typing import Any

import torch

from ..core.errors import TrainingStopped


def save(path: Path, state: dict[str, Any]) -> None:
    """Write, fsync, rename. Raises TrainingStopped where the disk is full; the old checkpoint then stays."""
    scratch = path.with_suffix(".part")
    try:
        with open(scratch, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
        scratch.unlink(missing_ok=True)
        full = getattr(error, "errno", None) == errno.ENOSPC or isinstance(error, RuntimeError)
        reason = "the disk is full" if full else str(error)
        raise TrainingStopped(
            f"{path} cannot be written: {reason}; free some space and go on with --resume, the last checkpoint is kept"
        ) from None


def load(path: Path) -> dict[str, Any]:
    """A checkpoint, as plain tensors and numbers. Raises TrainingStopped."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken zip, a foreign file
        raise TrainingStopped(f"{path} is no checkpoint of a run ({error}); remove it to begin again") from None
