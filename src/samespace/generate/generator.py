"""A generator: words, pictures, sounds or their sum → drawings, on ONNX Runtime."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.config import config_from_file
from ..core.errors import QueryError, UnknownGenerator, error_summary
from ..core.generator_config import GeneratorConfig
from ..core.registry import Registry
from ..library.search.query import Query, QueryEncoder, Term, Weighted
from ..spaces import registry as spaces
from ..spaces.sessions import open_graph
from ..spaces.space import Space, once
from .nearest import Nearest, TrainingPictures
from .sampler import Pictures, on_white, sample, to_rgba

if TYPE_CHECKING:
    from PIL import Image

STEPS, GUIDANCE = 25, 3.0
"""Defaults: steps of a drawing, and how far it is pulled towards what is asked for."""
MOST_STEPS, MOST_GUIDANCE, MOST_DRAWINGS = 250, 20.0, 64
MOST_CHARACTERS = 2000
"""Of what is asked for."""
GENERATOR = "SAMESPACE_GENERATOR"
"""Environment variable that names a generator for the command and the page."""
STARTER = Path(__file__).with_name("starter")


@dataclass(frozen=True)
class Condition:
    """What is drawn from."""

    z: np.ndarray
    """float32 (E,), unit length; zero for nothing."""
    states: np.ndarray
    """float32 (T, W), states of the words' tokens; no rows where there are none."""
    tokens: tuple[str, ...] = ()
    """The words' tokens, as people read them."""


@dataclass(frozen=True)
class Asked:
    """What is wanted and, for guidance, what is not."""

    wanted: Condition
    unwanted: Condition


@dataclass(frozen=True)
class Step:
    """A step of drawing."""

    number: int
    """From 1."""
    pictures: Pictures
    """What the drawings are likely to become: float32 (B, 4, S, S)."""
    attention: np.ndarray
    """How much of each patch's attention went to each token of the words: float32 (B, S/patch, S/patch, T)."""


def read_generator_config(folder: Path) -> GeneratorConfig:
    """Read FOLDER/generator.json. Raises UnknownGenerator."""
    return config_from_file(folder / "generator.json", GeneratorConfig, UnknownGenerator, "train it again")


GENERATORS = Registry("SAMESPACE_GENERATORS", "generators", "generator.json", read_generator_config, (("starter", STARTER),))


def load_generator(name: str | Path = "starter", space: Space | None = None) -> "Generator":
    """Open a generator by name or folder, ready to draw, in the space it was trained in. Raises UnknownGenerator, UnknownSpace."""
    folder = GENERATORS.find(name)
    if folder is None:
        installed = ", ".join(GENERATORS.installed()) or "none"
        raise UnknownGenerator(
            f"there is no generator {str(name)!r}; installed: {installed}. Train one as recipes/draw does, or name a Stable Diffusion"
        )
    return Generator(folder, space or _space_of(read_generator_config(folder)))


def _space_of(config: GeneratorConfig) -> Space:
    """Return the installed space that a generator was trained in. Raises UnknownGenerator."""
    for entry in spaces.SPACES.entries():
        if entry.config and (space := Space(entry.folder)).fingerprint == config.space:
            return space
    raise UnknownGenerator(f"the generator {config.name} draws in a space that is not installed; pull or train that space first")


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raise QueryError where a setting of a drawing is out of its range."""
    if not least <= value <= most:
        raise QueryError(f"{name} is {value:g}; give {least:g} to {most:g}")


def check_seed(seed: int) -> None:
    """Raise QueryError where a seed is none that everything here takes."""
    if not 0 <= seed < 2**63 - MOST_DRAWINGS:
        raise QueryError(f"the seed is {seed}; give a number from 0 to about 9e18")


def read_query(space: Space, asked: str, files: bool = True, extra_vectors: Sequence[Weighted] = ()) -> Query:
    """Return a query that can be drawn: one that is not too long, and of which the space knows something.

    Raises QueryError, UnreadableMedia.
    """
    if len(asked) > MOST_CHARACTERS:
        raise QueryError(f"{len(asked)} characters are more than a drawing can follow; write {MOST_CHARACTERS} at most")
    encoder = QueryEncoder(space)
    query = encoder.query(asked, files, extra_vectors)
    if unknown := next((term for term in query.terms if encoder.says_nothing(term)), None):
        raise QueryError(f"the space {space.name} does not know {unknown.text[:40]!r}; write it in other words, or in English")
    return query


class Generator:
    """A loaded generator."""

    def __init__(self, folder: Path, space: Space):
        """Read a generator's folder. Raises UnknownGenerator where it cannot be opened, or was trained in another space."""
        self.folder, self.config, self.space = folder, read_generator_config(folder), space
        if space.fingerprint != self.config.space:
            raise UnknownGenerator(
                f"the generator {self.config.name} was trained in another space than {space.name}; leave the space out"
            )
        try:
            self.session = open_graph(folder / "model.onnx")
        except Exception as error:  # the runtime's own exceptions share no useful base
            raise UnknownGenerator(f"{folder} cannot be opened ({error_summary(error)}); pull or train it again") from None

    def draw(
        self,
        asked: str | np.ndarray,
        n: int = 1,
        *,
        seed: int = 0,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        best_of: int = 1,
    ) -> "list[Image.Image]":
        """Return n drawings of a query, as a search takes it, or of a vector z: float32 (E,), as RGBA images of `config.size`.

        Each is the best of `best_of`, as `best` chooses. Raises QueryError, UnreadableMedia.
        """
        from PIL import Image

        read = self.read(asked)
        *_, last = self.steps(read, n * best_of, seed=seed, steps=steps, guidance=guidance)
        drawn = to_rgba(last.pictures)
        return [Image.fromarray(drawn[i]) for i in self.best(read, drawn, best_of)]

    def best(self, asked: Asked, drawings: np.ndarray, of: int) -> list[int]:
        """Return the numbers of the drawings that the space finds nearest to what is wanted, one of each `of` in a row.

        drawings: uint8 (n · of, S, S, 4). After Ramesh et al. 2021, "DALL·E", §2.6, which has CLIP choose among samples.
        """
        from PIL import Image

        if of == 1:
            return list(range(len(drawings)))
        z = self.space.image([Image.fromarray(picture) for picture in on_white(drawings)])
        nearest = (z @ asked.wanted.z).reshape(-1, of).argmax(axis=1)
        return [row * of + int(column) for row, column in enumerate(nearest)]

    def read(self, asked: str | np.ndarray, files: bool = True, extra_vectors: Sequence[Weighted] = ()) -> Asked:
        """Return what to draw of a query or a vector; what a query subtracts is what is not wanted.

        With `files` false everything is words; `extra_vectors` are added to a query. Raises QueryError, UnreadableMedia.
        """
        if not isinstance(asked, str):
            z = np.asarray(asked, np.float32)
            if z.shape != (self.config.dim,) or not np.isfinite(z).all() or not z.any():
                raise QueryError(f"z has the shape {z.shape}; give {self.config.dim} finite numbers that are not all zero")
            return Asked(replace(self.nothing, z=z / np.linalg.norm(z)), self.nothing)
        query = read_query(self.space, asked, files, extra_vectors)
        wanted = replace(self._words([term for term in query.terms if term.weight > 0]), z=query.z)
        subtracted = [(term, vector) for term, vector in zip(query.terms, query.vectors) if term.weight < 0]
        if not subtracted:
            return Asked(wanted, self.nothing)
        z = np.sum([-term.weight * vector for term, vector in subtracted], axis=0)
        unwanted = self._words([term for term, _ in subtracted])
        return Asked(wanted, replace(unwanted, z=z / np.linalg.norm(z)))

    def read_words(self, words: str) -> Asked:
        """Return what to draw of words as they stand: signs and numbers in them add, subtract and weigh nothing."""
        return Asked(replace(self._states(words), z=self.space.text([words])[0]), self.nothing)

    @property
    def nothing(self) -> Condition:
        """What is drawn from where nothing is asked for."""
        return Condition(np.zeros(self.config.dim, np.float32), np.empty((0, self.config.word_width), np.float32))

    def nearest(self, drawings: np.ndarray) -> list[Nearest]:
        """Return the nearest training picture of each drawing, uint8 (B, S, S, 4); nothing where the folder does not have them."""
        return [] if self._training_pictures is None else self._training_pictures.nearest(drawings)

    @once
    def _training_pictures(self) -> TrainingPictures | None:
        try:
            return TrainingPictures.read(self.folder)
        except (OSError, ValueError):
            return None

    def _words(self, terms: list[Term]) -> Condition:
        """Return the states of the words among terms, read as one text."""
        text = ", ".join(term.text for term in terms if term.path is None)
        return self._states(text) if text else self.nothing

    def _states(self, text: str) -> Condition:
        """Return the states of a text's tokens, without z."""
        states, present = self.space.text_states([text])
        count = min(int(present.sum()), self.config.words)
        tokenizer = self.space.words.tokenizer
        ids = self.space.words.ids([text])[0, :count].tolist()
        return replace(self.nothing, states=states[0, :count], tokens=tuple(tokenizer.id_to_token(i) for i in ids))

    def steps(
        self, asked: Asked, n: int = 1, *, seed: int = 0, steps: int = STEPS, guidance: float = GUIDANCE,
        improve: Callable[[Pictures], Pictures] | None = None,
    ) -> Iterator[Step]:  # fmt: skip
        """Yield the steps of n drawings. Drawing i of a seed does not depend on n.

        `improve` moves each predicted clean picture, as guidance.Critic does. Raises QueryError on settings out of range.
        """
        check_range("steps", steps, 1, MOST_STEPS)
        check_range("the number of drawings", n, 1, MOST_DRAWINGS)
        check_range("guidance", guidance, 0, MOST_GUIDANCE)
        check_seed(seed)
        size = self.config.size
        noise = np.stack([np.random.default_rng([seed, i]).standard_normal((4, size, size), np.float32) for i in range(n)])
        attention: list[np.ndarray] = []

        def predict(x: Pictures, t: float) -> Pictures:
            clean, weights = self._predict(asked, guidance, x, t)
            attention.append(weights)
            return improve(clean) if improve else clean

        for number, pictures in enumerate(sample(predict, noise, steps), 1):
            yield Step(number, pictures, attention[-1])

    def _predict(self, asked: Asked, guidance: float, x: Pictures, t: float) -> tuple[Pictures, np.ndarray]:
        """Return the guided prediction of clean pictures, and the attention to words. Ho and Salimans 2022, eq. 6."""
        n, conditions = len(x), [asked.wanted] if guidance == 1 else [asked.wanted, asked.unwanted]
        longest = max(1, *(len(condition.states) for condition in conditions))
        words = np.zeros((len(conditions), longest, self.config.word_width), np.float32)
        present = np.zeros((len(conditions), longest), np.float32)
        for i, condition in enumerate(conditions):
            words[i, : len(condition.states)], present[i, : len(condition.states)] = condition.states, 1
        feed = {
            "x": np.tile(x, (len(conditions), 1, 1, 1)),
            "t": np.full(n * len(conditions), t, np.float32),
            "z": np.stack([condition.z for condition in conditions]).repeat(n, axis=0),
            "words": words.repeat(n, axis=0),
            "present": present.repeat(n, axis=0),
        }
        clean, weights = self.session.run(["picture", "attention"], feed)
        grid = self.config.size // self.config.patch
        shown = weights[:n, :, self.config.z_tokens : self.config.z_tokens + len(asked.wanted.states)]
        if guidance != 1:
            clean = clean[n:] + np.float32(guidance) * (clean[:n] - clean[n:])
        return np.asarray(clean), shown.reshape(n, grid, grid, -1)
