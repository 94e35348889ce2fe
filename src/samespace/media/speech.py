"""Speech → text with times, where faster-whisper and its weights are installed.

The environment variable SAMESPACE_WHISPER names a model (tiny, base, small, …) in the Hugging Face cache, or its folder;
base by default. Nothing is downloaded here.
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
"""Environment variable that names the model."""
_LOADING = threading.Lock()
"""Files are read in several threads, which share one model."""


@dataclass(frozen=True)
class Utterance:
    """A piece of a transcript, about a sentence."""

    start: float
    """Seconds from the beginning of the file."""
    end: float
    """Seconds from the beginning of the file."""
    text: str
    """What is spoken, without white space around it; not empty."""


def transcript(path: Path) -> Iterator[Utterance]:
    """Yield what is spoken in an audio or video file; nothing where no model is installed. Raises UnreadableMedia."""
    model = whisper()
    if model is None:
        return
    try:
        samples = np.concatenate([np.empty(0, np.float32), *audio.blocks(path)])  # with gaps, so that times are a player's
        segments, _ = model.transcribe(samples, vad_filter=True)
        for segment in segments:
            if segment.text.strip():
                yield Utterance(float(segment.start), float(segment.end), segment.text.strip())
    except (RuntimeError, ValueError, OSError, IndexError) as error:
        raise UnreadableMedia(f"its speech cannot be written down ({error_summary(error)}); play it to check") from None


def whisper() -> Any:
    """Return the faster_whisper.WhisperModel, loaded once, or None where the package or its weights are missing."""
    with _LOADING:
        return _load_whisper()


@cache
def _load_whisper() -> Any:
    """Load once; `functools.cache` alone does not lock."""
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        return None
    try:
        return WhisperModel(os.environ.get(MODEL, "base"), device="auto", compute_type="int8", local_files_only=True)
    except (OSError, ValueError, RuntimeError):
        return None
