"""What a generator is worth: whether a judge, another space than the one it draws in, reads its drawings as what was asked for."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..core.metrics import recall_at_k
from ..generate.generator import GUIDANCE, STEPS, Asked, Condition, Generator
from ..generate.sampler import on_white, to_rgba
from ..preprocess.pixels import square
from ..spaces.space import Space
from .colours import COLOURS, dominant_colour

CAPTIONS = 100
"""Captions that a drawing's is found among."""
ASKED_COLOURS = tuple(colour for colour in COLOURS if colour != "grey")
THINGS = (
    "apple car house shirt ball cup flower bird fish hat book chair balloon star heart shoe bag umbrella butterfly bottle".split()
)
"""Things that are asked for in each colour."""
BEST_OF = 8
"""Drawings of each caption, of which the generator's own space chooses one."""
COPIED = 0.06
"""A drawing this near to a training picture, in nearest.Nearest's distance, counts as copied."""
VOICE = ("espeak-ng", "-v", "en-us", "-s", "150")

Report = Callable[[int, int], None]
"""Called with the drawings made, and the number to make."""


@dataclass(frozen=True)
class Sample:
    """Drawings of queries, for a sheet."""

    name: str
    pictures: np.ndarray
    """uint8 (B, S, S, 4)"""


class Evaluation:
    """A generator, a judge, and held-out pictures with their captions."""

    def __init__(
        self, generator: Generator, reader: Space, squares: np.ndarray, captions: Sequence[str], report: Report | None = None
    ):
        """squares: uint8 (B, S, S, 3), prepared for the judge; captions: one of each, all different, CAPTIONS at most are used."""
        self.generator, self.reader, self.report = generator, reader, report
        self.captions, self.squares = list(captions[:CAPTIONS]), squares[: len(captions[:CAPTIONS])]
        self.z_captions = reader.text(self.captions)
        self.made, self.seconds, self.samples = 0, 0.0, list[Sample]()

    def measure(self) -> dict[str, float]:
        """Return all metrics, by name."""
        words = [self.generator.read_words(caption) for caption in self.captions]
        drawn = self.draw("text", words)
        found = self.recalls("text", drawn)
        found |= self.recalls("real", self.squares) | self.recalls("unguided", self.draw("unguided", words, guidance=1.0))
        nothing = [Asked(self.generator.nothing, self.generator.nothing)] * len(words)
        found |= self.recalls("nothing", self.draw("nothing", nothing, guidance=1.0))
        found |= self.recalls("best", self.draw("best", words, best_of=BEST_OF))
        found |= self.nearest_pictures(drawn)
        found |= self.steering() | self.colours()
        found["kid"] = kid(self.reader.pixels(self.squares), self.reader.pixels(self.prepared(drawn)))
        return found | {"seconds_per_drawing": self.seconds / self.made}

    def draw(self, name: str, asked: Sequence[Asked], guidance: float = GUIDANCE, best_of: int = 1) -> np.ndarray:
        """Return one drawing of each, uint8 (B, S, S, 4), of seeds 0, 1, 2, …; with `best_of` what the generator's space chooses."""
        pictures = []
        for seed, one in enumerate(asked):
            started = time.perf_counter()
            *_, last = self.generator.steps(one, best_of, seed=seed, steps=STEPS, guidance=guidance)
            if name == "text":  # guided, and one by one
                self.seconds += time.perf_counter() - started
                self.made += 1
            drawn = to_rgba(last.pictures)
            pictures.append(drawn[self.generator.best(one, drawn, best_of)[0]])
            if self.report:
                self.report(len(pictures), len(asked))
        self.samples.append(Sample(name, np.stack(pictures)))
        return self.samples[-1].pictures

    def prepared(self, drawings: np.ndarray) -> np.ndarray:
        """Return drawings, uint8 (B, S, S, 4), on white as the judge takes them."""
        from PIL import Image

        return np.stack([square(Image.fromarray(picture), self.reader.config.prep) for picture in on_white(drawings)])

    def recalls(self, name: str, pictures: np.ndarray) -> dict[str, float]:
        """Return how often the judge finds the caption of picture i, drawn or prepared, first and among five of all captions."""
        squares = self.prepared(pictures) if pictures.shape[-1] == 4 else pictures
        scores = self.reader.pixels(squares) @ self.z_captions.T
        right = np.eye(len(scores), dtype=bool)
        return {f"{name}_recall@{k}": recall_at_k(scores, right, k) for k in (1, 5)}

    def nearest_pictures(self, drawn: np.ndarray) -> dict[str, float]:
        """Return the share of drawings that are copies of a training picture, and how the nearest of these fare as answers."""
        nearest = self.generator.nearest(drawn)
        if not nearest:
            return {}
        tiles = np.stack([np.dstack([np.asarray(one.picture), np.full((32, 32), 255, np.uint8)]) for one in nearest])
        self.samples.append(Sample("nearest", tiles))
        distances = np.array([one.distance for one in nearest])
        return self.recalls("nearest", tiles) | {
            "copied": float((distances < COPIED).mean()),
            "distance": float(distances.mean()),
        }

    def steering(self) -> dict[str, float]:
        """Return the recall of drawings of pictures, of spoken words, and of a picture and a word, without reading words."""
        space, generator = self.generator.space, self.generator
        nothing = generator.nothing

        def of_z(z: np.ndarray) -> list[Asked]:
            unit = z / np.linalg.norm(z, axis=1, keepdims=True)
            return [Asked(Condition(one.astype(np.float32), nothing.states), nothing) for one in unit]

        from PIL import Image

        z_pictures, z_words = space.image([Image.fromarray(picture) for picture in self.squares]), space.text(self.captions)
        found = self.recalls("picture", self.draw("picture", of_z(z_pictures)))
        found |= self.recalls("z_text", self.draw("z_text", of_z(z_words)))
        found |= self.recalls("sum", self.draw("sum", of_z(z_pictures + z_words)))
        if space.has_audio and shutil.which(VOICE[0]):
            found |= self.recalls("spoken", self.draw("spoken", of_z(np.stack(list(map(partial(spoken, space), self.captions))))))
        return found

    def colours(self) -> dict[str, float]:
        """Return how often the colour asked for is the one of most of a drawing: "a red apple", for each colour and thing."""
        asked = [(colour, f"a {colour} {thing}") for colour in ASKED_COLOURS for thing in THINGS]
        drawn = self.draw("colours", [self.generator.read_words(words) for _, words in asked])
        right = [_most(picture) == colour for picture, (colour, _) in zip(drawn, asked)]
        return {"colour": float(np.mean(right))}


def _most(picture: np.ndarray) -> str:
    """Return the colour that most of a drawing has."""
    return dominant_colour(picture, least=0.0)


def spoken(space: Space, words: str) -> np.ndarray:
    """Return the vector of words that espeak-ng speaks: float32 (dim,)."""
    from ..library.indexing.segments import mean_vector, segments_of

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spoken.wav"
        subprocess.run([*VOICE, "-w", str(file), "--", words], check=True, capture_output=True)
        return mean_vector([segment for segment in segments_of(file, "audio", space) if segment.modality == "audio"])


def kid(real: np.ndarray, made: np.ndarray) -> float:
    """Return the kernel distance of two sets of vectors of unit length, float32 (N, E) and (M, E).

    Bińkowski et al. 2018, §3.1 (unbiased MMD², cubic). Its kernel divides by E, for features of about that squared length; these are
    scaled to it, for otherwise nothing would count but the means.
    """
    n, m = len(real), len(made)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        values: np.ndarray = (a @ b.T + 1) ** 3
        return values

    among_real, among_made = kernel(real, real), kernel(made, made)
    inside = (among_real.sum() - np.trace(among_real)) / (n * (n - 1)) + (among_made.sum() - np.trace(among_made)) / (m * (m - 1))
    return float(inside - 2 * kernel(real, made).mean())


def different(captions: Sequence[Sequence[str]]) -> Iterator[int]:
    """Yield the rows whose first caption no earlier row has."""
    seen: set[str] = set()
    for row, some in enumerate(captions):
        if some[0].lower() not in seen:
            seen.add(some[0].lower())
            yield row
