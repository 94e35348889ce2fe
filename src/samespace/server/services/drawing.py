"""The Draw page: drawings as they come into being, what each word did, and the nearest training pictures."""

import io
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from ...generate import files
from ...generate.generator import GENERATOR, GENERATORS, Generator, Step, load_generator
from ...generate.nearest import Nearest
from ...generate.sampler import to_rgba
from ...media import image
from .errors import error_body, sentence
from .events import event
from .schemas import DrawRequest
from .search_page import sent_vector


class Drawing:
    """Draws for the page, one request at a time."""

    def __init__(self) -> None:
        """The generator is the one that the environment names, or the starter; it is opened by the first drawing."""
        self.name, self.lock = os.environ.get(GENERATOR) or "starter", threading.Lock()
        self._opened: Generator | None = None

    @property
    def installed(self) -> bool:
        """Whether there is a generator of this name."""
        return GENERATORS.find(self.name) is not None

    def open(self) -> Generator:
        """Return the generator. Raises UnknownGenerator."""
        with self.lock:
            self._opened = self._opened or load_generator(self.name)
        return self._opened

    def events(self, body: DrawRequest) -> Iterator[str]:
        """Return the steps of drawings as server-sent events. Raises SamespaceError before the first one."""
        generator = self.open()
        with self.lock:
            extra = [(1.0, sent_vector(body.media, generator.space))] if body.media else []
            asked = generator.read(body.query, files=False, extra_vectors=extra)
        steps = generator.steps(asked, body.number, seed=body.seed, steps=body.steps, guidance=body.guidance)
        about = files.about(body.query, generator.config.name, body.seed, body.steps, body.guidance)
        return self._events(generator, steps, body.steps, asked.wanted.tokens, about)

    def _events(
        self, generator: Generator, steps: Iterator[Step], count: int, tokens: tuple[str, ...], about: dict[str, str]
    ) -> Iterator[str]:
        try:
            attention, last = [], None
            while step := self._next(steps):
                last = step
                attention.append(step.attention)
                yield event({"step": step.number, "of": count, "pictures": [data_uri(one) for one in to_rgba(step.pictures)]})
            assert last is not None  # there is at least one step
            drawn = to_rgba(last.pictures)
            nearest = [nearest_json(one) for one in generator.nearest(drawn)]
            made = [image.data_uri(files.png(Image.fromarray(one), about), "png") for one in drawn]
            mean = np.stack(attention).mean(axis=0).round(4)  # over the steps: (B, grid, grid, T)
            attention_json = mean.transpose(0, 3, 1, 2).tolist()
            yield event({"tokens": list(tokens), "attention": attention_json, "nearest": nearest, "files": made})
        except Exception as error:  # the status has been sent
            yield event(error_body(sentence(error), "server_error"))

    def _next(self, steps: Iterator[Step]) -> Step | None:
        """Return the next step, while no other drawing makes one; None after the last."""
        with self.lock:
            return next(steps, None)


def data_uri(picture: np.ndarray | Image.Image) -> str:
    """Return a picture, or uint8 (S, S, 4), as a data URI."""
    out = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(out, "PNG")
    return image.data_uri(out.getvalue(), "png")


def nearest_json(nearest: Nearest) -> dict[str, Any]:
    """Return a training picture for the page."""
    return {"name": nearest.name, "distance": nearest.distance, "picture": data_uri(nearest.picture)}
