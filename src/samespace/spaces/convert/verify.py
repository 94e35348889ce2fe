"""Whether a space gives the vectors that the library which defines its model gives: measured before it is installed, and again
at any time from verify.json, which keeps pictures, texts and the library's answers."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from ...core.config import from_dict
from ...core.errors import UnknownSpace
from ...core.files import write_text_atomically
from ..sessions import shortened

if TYPE_CHECKING:
    from ..space import Space
    from .reference import Reference

FILE = "verify.json"
TEXTS = (
    "a cat", "A Photo of an Astronaut, smiling!", "rocket   on the launch pad", "the quick-brown fox; it's 12:30",
    "naïve café — Übergröße", "猫の写真", "кошка на диване", "emoji 🚀👩‍🚀", "a_b &amp; <b>c</b>", "x", "word " * 120,
)  # fmt: skip
"""Cases, accents, scripts, entities, and a text that is longer than any context."""
SIZES = ((96, 96), (131, 83), (64, 150), (333, 222))
"""Width and height of the pictures: square, wide, tall, and larger than most inputs."""
EXACT = 1e-4
"""Largest difference of a component between our vectors and the library's, both in fp32."""
CLOSE = 0.98
"""Least cosine between an installed space's vectors, which may be narrow, and the library's."""


@dataclass(frozen=True)
class Answers:
    """Pictures and texts, and what the library that defines a model makes of them."""

    library: str
    """The library and its version."""
    pictures: tuple[str, ...]
    """PNG files, in base64."""
    texts: tuple[str, ...]
    """As given to the tokenizer."""
    z_image: str
    """float32 (B, E), little-endian, in base64."""
    z_text: str
    """The same for the texts."""

    def images(self) -> list[Image.Image]:
        """Return the pictures."""
        return [Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB") for picture in self.pictures]

    def lengths(self) -> list[int]:
        """Return the length of a vector, for each tower that there is."""
        towers = ((self.z_image, self.pictures), (self.z_text, self.texts))
        return [_unpacked(z, len(rows)).shape[1] for z, rows in towers if rows]


class Encoder(Protocol):
    """What is compared: a Space."""

    def image(self, pictures: Sequence[Image.Image]) -> np.ndarray: ...
    def text(self, texts: Sequence[str]) -> np.ndarray: ...


def ask(reference: "Reference") -> Answers:
    """Return a library's answers, of a model of one tower for that."""
    images, texts = pictures() if "image" in reference.towers else [], TEXTS if "text" in reference.towers else ()
    z_image = _packed(reference.image(images)) if images else ""
    z_text = _packed(reference.text(texts)) if texts else ""
    return Answers(reference.library, tuple(_png(image) for image in images), texts, z_image, z_text)


def joined(pictures_from: Answers | None, words_from: Answers) -> Answers:
    """Return the answers about pictures of one library, if there are any, and about texts of another."""
    if pictures_from is None:
        return words_from
    library = f"{pictures_from.library} and {words_from.library}"
    return replace(pictures_from, library=library, texts=words_from.texts, z_text=words_from.z_text)


def pictures() -> list[Image.Image]:
    """Draw pictures that depend on every step of preprocessing: smooth colours, sharp edges and noise, in several shapes."""
    rng = np.random.default_rng(0)
    return [_picture(width, height, rng) for width, height in SIZES]


def _picture(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(coarse).astype(np.int16) + rng.integers(-20, 21, (height, width, 3))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def differences(encoder: Encoder, answers: Answers, short: int = 0) -> dict[str, float]:
    """Return the largest difference and the least cosine of an encoder's vectors and a library's, for pictures and texts.

    short: how many numbers of a vector the encoder gives, where it does not give all.
    """
    found: dict[str, float] = {}
    vectors = {}
    if answers.pictures:
        vectors["image"] = encoder.image(answers.images()), answers.z_image
    if answers.texts:
        vectors["text"] = encoder.text(answers.texts), answers.z_text
    for tower, (z, packed) in vectors.items():
        want = _unpacked(packed, len(z))
        if short:
            want = shortened(want, short)
        if z.shape != want.shape:
            raise UnknownSpace(
                f"its {tower} vectors have length {z.shape[1]}, {answers.library} gives {want.shape[1]}; pull it again"
            )
        found[f"{tower}_difference"] = float(np.abs(z - want).max())
        found[f"{tower}_cosine"] = float((z * want).sum(axis=1).min())
    return found


def largest_differences(found: dict[str, Any]) -> dict[str, float]:
    """Return tower → largest difference, of what `differences` found or a card keeps of it."""
    return {name.removesuffix("_difference"): value for name, value in found.items() if name.endswith("_difference")}


def check_exact(encoder: Encoder, answers: Answers) -> dict[str, float]:
    """Return `differences`. Raises UnknownSpace where fp32 vectors are not the library's."""
    found = differences(encoder, answers)
    for tower, difference in largest_differences(found).items():
        if not difference <= EXACT:  # NaN too
            raise UnknownSpace(
                f"its {tower} vectors are not those of {answers.library} (a component differs by {difference:.2g}), "
                "so nothing is installed; report it with the model's name"
            )
    return found


def check_close(encoder: "Space", answers: Answers) -> dict[str, float]:
    """Return `differences`. Raises UnknownSpace where an installed space's vectors cannot stand for the library's."""
    found = differences(encoder, answers, encoder.config.short)
    if worst := [tower for tower in largest_differences(found) if not found[f"{tower}_cosine"] >= CLOSE]:
        raise UnknownSpace(
            f"its {worst[0]} vectors differ from those of {answers.library} (cosine {found[f'{worst[0]}_cosine']:.3f}); pull it again"
        )
    return found


def write(answers: Answers, folder: Path) -> None:
    """Write verify.json. Raises OSError."""
    write_text_atomically(folder / FILE, json.dumps(asdict(answers)) + "\n")


def read(folder: Path) -> Answers | None:
    """Read verify.json; None where there is none. Raises UnknownSpace."""
    try:
        return from_dict(Answers, json.loads((folder / FILE).read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UnknownSpace(f"{folder / FILE} cannot be read ({error}); pull the space again") from None


def _png(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def _packed(z: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(z, "<f4").tobytes()).decode()


def _unpacked(packed: str, rows: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), "<f4").reshape(rows, -1)
