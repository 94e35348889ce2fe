"""A space in memory: its ONNX sessions, its preprocessing, and one call per modality."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock, Thread
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from ..core.config import AudioTower, SpaceConfig, config_from_file
from ..core.errors import UnknownSpace, UnreadableMedia
from ..preprocess.mel import spectrogram
from .calibration import BACKGROUND_FILE, Calibration
from .devices import device_for, fitting_batch
from .sessions import BATCH, Tower, open_tower

if TYPE_CHECKING:  # a search with words opens no image, and needs none of this
    from PIL import Image

    from ..preprocess.tokens import Words

Picture: TypeAlias = Union[str, Path, "Image.Image", np.ndarray]


class once(cached_property):
    """A property that is computed once for all threads; from Python 3.12 on cached_property does not lock."""

    def __init__(self, compute: Callable[[Any], Any]):
        super().__init__(compute)
        self._lock = RLock()

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        with self._lock:
            return super().__get__(instance, owner)


class Space:
    """A loaded space. Towers are opened when first used; searching with words never opens the image tower."""

    def __init__(self, folder: Path, handle: str = ""):
        """Read FOLDER/space.json. `handle` is the name or path that finds it again. Raises UnknownSpace."""
        self.folder = folder
        self.handle = handle or str(folder.absolute())
        self.config: SpaceConfig = read_space_config(folder)

    @property
    def name(self) -> str:
        """Name shown to people."""
        return self.config.name

    @property
    def dim(self) -> int:
        """Length of z."""
        return self.config.dim

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name the vectors: equal fingerprints, comparable vectors."""
        return self.config.fingerprint

    @property
    def logit_scale(self) -> float:
        """Inverse temperature of its scores. Raises UnknownSpace where its files do not say it, so that it has no probabilities."""
        if not self.config.logit_scale:
            raise UnknownSpace(
                f"the ONNX files of {self.name} hold no temperature, so it says what is nearest but not how likely; pull the original"
            )
        return self.config.logit_scale

    @property
    def has_audio(self) -> bool:
        """Whether it has an audio tower."""
        return self.config.audio is not None

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, dim), unit length. Longer texts are cut at the tower's context."""
        if isinstance(texts, str):
            texts = [texts]
        self.check_words()
        batches = (self._ids(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH))
        z: np.ndarray = self._text_tower.all(batches, self.dim)
        return z

    def text_states(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts → the states of their tokens: float32 (B, T, D), and where they are no padding: int64 (B, T).

        Raises UnknownSpace where there is no text tower, or one that was exported by an older version.
        """
        self.check_words()
        ids, present = self._ids(texts)
        states: np.ndarray = self._text_tower.output("states", ids, present)
        return states, present

    def _ids(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts → token ids and where they are no padding: int64 (B, T) each, T as small as the vectors allow."""
        ids, present = self.words.encode(list(texts))
        if self.config.text.ignores_padding and self._text_tower.any_length:
            longest = max(2, int(present.sum(axis=1).max(initial=0)))  # padding is on the right
            ids, present = ids[:, :longest], present[:, :longest]
        return ids, present

    def check_words(self) -> None:
        """Raises UnknownSpace where there is no text tower."""
        if not self.config.has_words:
            raise UnknownSpace(
                f"the space {self.name} knows pictures and no words; search with a picture, or choose another space"
            )

    def image(self, pictures: Picture | Iterable[Picture]) -> np.ndarray:
        """Files, Pillow images or uint8 arrays (H, W, 3) → z: float32 (B, dim), unit length.

        Raises UnreadableMedia naming the file that cannot be read.
        """
        from PIL import Image

        from ..preprocess.pixels import square

        if isinstance(pictures, str | Path | Image.Image) or (isinstance(pictures, np.ndarray) and pictures.ndim == 3):
            pictures = [pictures]
        squares = [square(self.open(picture), self.config.prep) for picture in pictures]
        return self.pixels(np.stack(squares)) if squares else np.empty((0, self.dim), np.float32)

    @property
    def batch(self) -> int:
        """Pictures that are encoded at once."""
        most: int = self._image_tower.most
        return most

    def pixels(self, squares: np.ndarray) -> np.ndarray:
        """Prepared pictures, uint8 (B, *Prep.shape) → z: float32 (B, dim), unit length."""
        from ..preprocess.pixels import batches

        z: np.ndarray = self._image_tower.all(((batch,) for batch in batches(squares, self.config.prep, self.batch)), self.dim)
        return z

    def audio(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Samples at the tower's rate, float32 (N,) each, at most its window long → z: float32 (B, dim), unit length.

        Raises UnknownSpace where there is no audio tower.
        """
        return self.spectrograms([spectrogram(clip, self.audio_config) for clip in clips])

    def spectrograms(self, spectrograms: Sequence[np.ndarray]) -> np.ndarray:
        """Log-mel spectrograms in decibels, float32 (M, frames) each → z: float32 (B, dim), unit length."""
        batches = ((np.stack(spectrograms[i : i + BATCH]),) for i in range(0, len(spectrograms), BATCH))
        z: np.ndarray = self._audio_tower.all(batches, self.dim)
        return z

    @property
    def audio_config(self) -> AudioTower:
        """Settings of the audio tower. Raises UnknownSpace where there is none."""
        if self.config.audio is None:
            raise UnknownSpace(f"the space {self.name} has no audio tower; add one with: samespace spaces add-audio")
        return self.config.audio

    def open(self, picture: Picture) -> "Image.Image":
        """Any accepted picture as a Pillow image, upright. Raises UnreadableMedia."""
        from PIL import Image

        from ..media import image as image_media

        if isinstance(picture, Image.Image):
            return image_media.upright(picture)
        if isinstance(picture, np.ndarray):
            return Image.fromarray(picture)
        try:
            return self.decode(Path(picture).read_bytes(), str(picture))
        except OSError as error:
            raise UnreadableMedia(f"{picture}: {error.strerror or error}; check the path") from None

    def decode(self, data: bytes, name: str) -> "Image.Image":
        """An image file's bytes as a Pillow image, upright. Raises UnreadableMedia with `name`."""
        from ..media import image as image_media

        return image_media.read_named(name, data, self.config.prep.resized_side)

    def calibration(self, modality: str = "image") -> Calibration | None:
        """Return what turns scores of segments of a modality into probabilities, where the space has it."""
        weights = tuple(self.config.calibration.get(modality, ()))
        return Calibration(weights, self.background) if weights and self.background is not None else None

    @once
    def background(self) -> np.ndarray | None:
        """Vectors of captions about anything: float32 (C, dim)."""
        try:
            return np.asarray(np.load(self.folder / BACKGROUND_FILE, allow_pickle=False), np.float32)
        except (OSError, ValueError):
            return None

    @once
    def words(self) -> "Words":
        """The tokenizer with its cleaning and padding."""
        from ..preprocess.tokens import Words, read_tokenizer

        return Words(read_tokenizer(self.folder / "tokenizer.json"), self.config.prep)

    def open_text_tower_early(self) -> None:
        """Open the text tower in a thread, while the caller does something else. Errors come when the tower is used."""

        def open_tower() -> None:
            with contextlib.suppress(UnknownSpace):
                self._text_tower  # noqa: B018  opened by being asked for

        if "_text_tower" not in vars(self):
            Thread(target=open_tower).start()

    @once
    def _text_tower(self) -> Tower:
        return open_tower(self.folder, "text")

    @once
    def _image_tower(self) -> Tower:
        device = device_for(self.folder, self.config)
        return open_tower(self.folder, "image", device, fitting_batch(self.config, device))

    @once
    def _audio_tower(self) -> Tower:
        return open_tower(self.folder, "audio")


def read_space_config(folder: Path) -> SpaceConfig:
    """Read FOLDER/space.json. Raises UnknownSpace."""
    return config_from_file(folder / "space.json", SpaceConfig, UnknownSpace, "pull the space again")
