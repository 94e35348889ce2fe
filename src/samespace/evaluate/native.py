"""What a native model is worth: captions of pictures and spoken words found among others, pictures told apart, drawings read by a judge."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..core.metrics import recall_at_k
from ..generate.native import Native, Settings
from ..generate.sampler import on_white, to_rgba
from ..preprocess.pixels import square
from ..preprocess.stream import Part, PictureValues, SoundValues
from ..spaces.space import Space

CHOICES = 100
"""Captions, or words, that the right one is found among."""
TRIPLES = 100
"""Documents of three pictures that are asked about."""
ASKED = "\nWhat is the {} picture?\n"
ORDINALS = ("first", "second", "third")

Report = Callable[[int, int], None]
"""Called with what was done, and how much there is."""


class NativeEvaluation:
    """A native model, and what it is asked."""

    def __init__(self, native: Native, report: Report | None = None):
        self.native, self.report = native, report or (lambda done, all_: None)
        c = native.config
        self.blank: dict[type, PictureValues | SoundValues] = {
            PictureValues: PictureValues(
                np.concatenate([np.zeros((3, c.size, c.size)), -np.ones((1, c.size, c.size))]).astype(np.float32)
            ),
            SoundValues: SoundValues(-np.ones((c.audio.mels, c.audio.frames), np.float32)),
        }

    def names(self, name: str, shown: Sequence[PictureValues | SoundValues], words: Sequence[str]) -> dict[str, float]:
        """Return how often the words of item i are found first, and among five, of all; and where another item is shown.

        Words are ranked by how much likelier the item makes them than nothing does, so that common ones do not win by being common.
        """
        prior = self.native.log_likelihood([self.blank[type(shown[0])]], words)
        scores = []
        for i, item in enumerate(shown):
            scores.append(self.native.log_likelihood([item], words) - prior)
            self.report(i + 1, len(shown))
        right = np.eye(len(shown), len(words), dtype=bool)
        blind = np.roll(scores, 1, axis=0)
        return {
            f"{kind}_recall@{k}": recall_at_k(values, right, k)
            for kind, values in ((name, np.stack(scores)), (f"{name}_blind", blind))
            for k in (1, 5)
        }

    def second_of_three(self, pictures: Sequence[PictureValues], words: Sequence[str], seed: int = 0) -> dict[str, float]:
        """Return how often the name of the picture that is asked for is the likeliest of the names of the three that are shown: 1/3 by chance."""
        rng, right = np.random.default_rng(seed), []
        for done in range(TRIPLES):
            chosen = rng.choice(len(pictures), 3, replace=False)
            which = int(rng.integers(3))
            question = ASKED.format(ORDINALS[which])
            names = [words[i] for i in chosen]
            document: list[Part] = [*(pictures[i] for i in chosen), question]
            nothing: list[Part] = [*([self.blank[PictureValues]] * 3), question]
            scores = self.native.log_likelihood(document, names) - self.native.log_likelihood(nothing, names)
            right.append(int(scores.argmax()) == which)
            self.report(done + 1, TRIPLES)
        return {"of_three": float(np.mean(right))}

    def drawings(self, words: Sequence[str], reader: Space, sheet: Path | None = None) -> dict[str, float]:
        """Return how often a judge finds the words that a drawing was asked for, first and among five of all; and of unasked drawings."""
        z, right = reader.text(list(words)), np.eye(len(words), dtype=bool)
        found = dict[str, float]()
        for kind, guidance in (("drawn", Settings().guidance), ("drawn_blind", 0.0)):
            drawn = []
            for i, text in enumerate(words):
                (one,) = self.native.draw([text], settings=Settings(seed=i, guidance=guidance))
                drawn.append(to_rgba(one.values[None])[0])
                self.report(i + 1, len(words))
            if sheet and kind == "drawn":
                from ..generate.files import sheet as sheet_of

                sheet_of(np.stack(drawn), 1).save(sheet)
            squares = np.stack([square(Image.fromarray(one), reader.config.prep) for one in on_white(np.stack(drawn))])
            found |= {f"{kind}_recall@{k}": recall_at_k(reader.pixels(squares) @ z.T, right, k) for k in (1, 5)}
        return found
