"""A space in memory: its ONNX sessions, its preprocessing, and one call per modality."""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from PIL import Image

from ..core.config import SpaceConfig, read_space_config
from ..core.errors import UnknownSpace, UnreadableMedia
from ..media import image as image_media
from ..preprocess.mel import spectrogram
from ..preprocess.pixels import normalise, square
from .calibration import FILE, Calibration

BATCH = 16
"""Pictures per call of the tower: large enough for the cores, small enough for the caches."""

THREADS = "SAMESPACE_THREADS"
"""Environment variable: processors to use, where a person or a scheduler knows better."""

OPENING = RLock()
"""Held while a part of a space is opened."""

Picture = str | Path | Image.Image | np.ndarray


class once(cached_property):
    """A property that one thread makes for all; from Python 3.12 on cached_property has no lock."""

    def __get__(self, space: "Space", kind: type | None = None) -> Any:
        with OPENING:
            return super().__get__(space, kind)


class Space:
    """A loaded space. Towers are opened when first used; searching with words never touches the image tower."""

    def __init__(self, folder: Path, handle: str = ""):
        """Read FOLDER/space.json. `handle` is the name it goes by, to find it again. Raises UnknownSpace."""
        self.folder = folder
        self.handle = handle or str(folder.absolute())
        self.config: SpaceConfig = read_space_config(folder)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def dim(self) -> int:
        return self.config.dim

    @property
    def fingerprint(self) -> str:
        """Names the vectors: equal fingerprints, comparable vectors."""
        return self.config.fingerprint

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, dim), unit length. Longer texts are cut at the tower's context."""
        if isinstance(texts, str):
            texts = [texts]
        batches = [self.words.ids(list(texts[i : i + BATCH])) for i in range(0, len(texts), BATCH)]
        z = [self.text_tower.run(["z"], {"ids": ids})[0] for ids in batches]
        return np.concatenate(z) if z else np.empty((0, self.dim), np.float32)

    def image(self, pictures: Iterable[Picture]) -> np.ndarray:
        """Files, Pillow images or uint8 arrays (H, W, 3) → z: float32 (B, dim), unit length.

        Raises UnreadableMedia naming the file that cannot be read.
        """
        if isinstance(pictures, (str, Path, Image.Image)) or (isinstance(pictures, np.ndarray) and pictures.ndim == 3):
            pictures = [pictures]
        squares = [square(self.open(p), self.config.prep) for p in pictures]
        return self.pixels(np.stack(squares)) if squares else np.empty((0, self.dim), np.float32)

    def pixels(self, squares: np.ndarray) -> np.ndarray:
        """Prepared squares, uint8 (B, S, S, 3) → z: float32 (B, dim), unit length."""
        batches = (squares[i : i + BATCH] for i in range(0, len(squares), BATCH))
        return np.concatenate([self.image_tower.run(["z"], {"pixels": normalise(b, self.config.prep)})[0] for b in batches])

    @property
    def hears(self) -> bool:
        """Whether it has an audio tower."""
        return bool(self.config.audio.layers)

    def sound(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Samples at the tower's rate, float32 (N,) each and at most as long as it hears, → z: float32 (B, dim), unit length."""
        return self.mels([spectrogram(clip, self.config.audio) for clip in clips])

    def mels(self, spectrograms: Sequence[np.ndarray]) -> np.ndarray:
        """Log-mel spectrograms in decibels, float32 (M, frames) each, → z: float32 (B, dim), unit length."""
        batches = (np.stack(spectrograms[i : i + BATCH]) for i in range(0, len(spectrograms), BATCH))
        z = [self.audio_tower.run(["z"], {"mels": batch})[0] for batch in batches]
        return np.concatenate(z) if z else np.empty((0, self.dim), np.float32)

    def open(self, picture: Picture) -> Image.Image:
        """Any accepted picture as a Pillow image, upright. Raises UnreadableMedia."""
        if isinstance(picture, Image.Image):
            return image_media.upright(picture)
        if isinstance(picture, np.ndarray):
            return Image.fromarray(picture)
        try:
            return self.decode(Path(picture).read_bytes(), str(picture))
        except OSError as error:
            raise UnreadableMedia(f"{picture}: {error.strerror or error}; check the path") from None

    def decode(self, data: bytes, name: str) -> Image.Image:
        """A picture file's bytes as a Pillow image, upright. Raises UnreadableMedia naming it."""
        return image_media.read_named(name, data, self.config.prep.size)

    @once
    def text_tower(self):
        return self.session("text")

    @once
    def image_tower(self):
        return self.session("image")

    @once
    def audio_tower(self):
        return self.session("audio")

    def calibration(self, sense: str = "sight") -> Calibration | None:
        """What turns scores of what is seen, heard (`sound`) or read (`text`) into probabilities, where the space has it."""
        weights = self.config.calibration if sense == "sight" else tuple(self.config.calibrations.get(sense, ()))
        return Calibration(weights, self.background) if weights and self.background is not None else None

    @once
    def background(self) -> np.ndarray | None:
        """Vectors of captions about anything: float32 (C, dim)."""
        try:
            return np.load(self.folder / FILE, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError):
            return None

    @once
    def words(self):
        from ..preprocess.tokens import Words, read_tokenizer

        return Words(read_tokenizer(self.folder / "tokenizer.json"), self.config.prep)

    def session(self, tower: str):
        """Open one tower in ONNX Runtime, with as many threads as this process may use CPUs."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cpus()
        options.log_severity_level = 3
        path = self.folder / f"{tower}.onnx"
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own exceptions share no useful base
            raise UnknownSpace(f"{path} cannot be opened ({str(error)[:200]}); pull the space again") from None


def usable_cpus() -> int:
    """CPUs this process may use: its affinity, and the container's quota (cgroup v2); $SAMESPACE_THREADS overrules both."""
    if (told := os.environ.get(THREADS, "")).isdigit() and int(told):
        return int(told)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):
        return count
