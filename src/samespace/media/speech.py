"""Speech → words with their times, where faster-whisper and its weights are installed; nothing otherwise.

$SAMESPACE_WHISPER names a model (tiny, base, small, …, taken from the Hugging Face cache and never downloaded here) or its
folder; base by default.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UnreadableMedia, error_summary
from . import audio

MODEL = "SAMESPACE_WHISPER"
OPENING = threading.Lock()
"""Files are read in several threads, and one model serves them all."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of speech."""

    start: float
    """Seconds."""
    end: float
    text: str


def transcript(path: Path) -> Iterator[Stretch]:
    """What is said in a sound file or film; nothing where there is no model. Raises UnreadableMedia."""
    model = whisper()
    if model is None:
        return
    try:
        samples = np.concatenate([np.empty(0, np.float32), *audio.blocks(path)])  # placed where a player has them
        segments, _ = model.transcribe(samples, vad_filter=True)
        for segment in segments:
            if segment.text.strip():
                yield Stretch(float(segment.start), float(segment.end), segment.text.strip())
    except (RuntimeError, ValueError, OSError, IndexError) as error:
        raise UnreadableMedia(f"its speech cannot be written down ({error_summary(error)}); play it to check") from None


def whisper() -> Any:
    """The model, opened once; None where the package or its weights are not here."""
    with OPENING:
        return opened()


@cache
def opened() -> Any:
    """The same, by the first who comes (`cache` alone lets others come before it is done)."""
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        return None
    try:
        return WhisperModel(os.environ.get(MODEL, "base"), device="auto", compute_type="int8", local_files_only=True)
    except (OSError, ValueError, RuntimeError):
        return None
