"""Checkpoints that a killed run resumes from: after a kill the old one or the new one is there, never half of either."""

import errno
import os
from pathlib import Path
from typing import Any

import torch

from ..core.errors import TrainingStopped
from ..core.files import write_atomically


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all. Raises TrainingStopped where the disk is full; the old one then stays."""
    for leftover in path.parent.glob(f"{path.name}.*.part"):  # of a process that was killed while writing
        leftover.unlink(missing_ok=True)
    try:
        write_atomically(path, lambda file: torch.save(state, file))
        if hasattr(os, "O_DIRECTORY"):  # where a folder can be opened, the renaming is flushed too
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
        full = getattr(error, "errno", None) == errno.ENOSPC or isinstance(error, RuntimeError)
        reason = "the disk is full" if full else str(error)
        raise TrainingStopped(
            f"{path} cannot be written: {reason}; free some space and go on with --resume, the last checkpoint is kept"
        ) from None


def load(path: Path) -> dict[str, Any]:
    """Return a checkpoint's tensors and numbers, on the CPU. Raises TrainingStopped."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken zip, another program's file
        raise TrainingStopped(f"{path} is no checkpoint of a run ({error}); remove it to begin again") from None
    return state
