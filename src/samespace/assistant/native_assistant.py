"""A native model as an assistant: pictures, sounds and words are one document, which goes on with the answer."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import RequestError
from ..core.native_config import PICTURE
from ..generate.native import Native, Settings, load_native, picture_values, read_sound
from ..preprocess.stream import Part, PictureValues, SoundValues
from .request import Message, Outcome, Picture, Recording, Reply, Request

SHOWN = {PictureValues: "[a picture]", SoundValues: "[a sound]"}
"""What stands in an answer for what is not words; `Native.go_on` has it."""


class NativeAssistant:
    """A native model that answers; a line is a turn."""

    takes_sound = True

    def __init__(self, native: Native):
        self.native, self.name = native, native.config.name

    @staticmethod
    def open(folder: Path) -> "NativeAssistant":
        """Open a native model's folder. Raises UnknownGenerator."""
        return NativeAssistant(load_native(folder))

    @property
    def room(self) -> int:
        """Most tokens of a document and its answer together."""
        return self.native.config.lm.context

    def picture_tokens(self, picture: Picture) -> int:
        """Return the tokens that a picture takes, with its marks."""
        return self.native.config.lengths[PICTURE] + 2

    def answer(self, request: Request) -> Reply:
        """Begin to answer. Raises RequestError (too long), UnreadableMedia."""
        parts = self.document(request.messages)
        tokens = self.native.words.tokens(parts)
        if len(tokens) >= self.room:
            raise RequestError(f"the conversation takes {len(tokens)} tokens and the model reads {self.room}; shorten it")
        outcome = Outcome(prompt=len(tokens), pictures=int((tokens.kinds != 0).sum()), context=self.room)
        seed = random.randrange(2**31) if request.seed is None and request.temperature else request.seed or 0
        settings = Settings(request.temperature, request.top_p, seed=seed, longest=request.max_tokens)
        return Reply(self._pieces(parts, settings, request.stop, outcome), outcome)

    def choose(self, request: Request, answers: Sequence[str]) -> list[float]:
        """Return how likely each of several answers is, among them. Raises as `answer`."""
        scores = self.native.log_likelihood(self.document(request.messages), answers)
        odds = np.exp(scores - scores.max())
        return list((odds / odds.sum()).tolist())

    def document(self, messages: tuple[Message, ...]) -> list[Part]:
        """Return a conversation as a document: what is shown, and each turn on a line of its own. Raises UnreadableMedia, RequestError."""
        parts: list[Part] = []
        for message in messages:
            for part in message.parts:
                parts.append(f"\n{part}\n" if isinstance(part, str) else self._values(part))
        return parts

    def _values(self, part: Picture) -> PictureValues | SoundValues:
        """Return a picture or a recording as a stream has it."""
        c = self.native.config
        if isinstance(part, Recording):
            return read_sound(part.path, c)
        return picture_values(part.decode(c.size), c.size)

    def _pieces(self, parts: Sequence[Part], settings: Settings, stop: tuple[str, ...], outcome: Outcome) -> Iterator[str]:
        """Yield the answer, which is one line. A piece is whole: the model's answers are short."""
        going = self.native.go_on(parts, settings, self.native.words.ids("\n")[0])
        while True:
            try:
                piece = next(going)
            except StopIteration as end:
                outcome.finish = "stop" if end.value else "length"
                return
            if piece is None:
                outcome.answer += 1
                yield ""
                continue
            text = piece if isinstance(piece, str) else SHOWN[type(piece)]
            end_of_text = min((i for i in map(text.find, stop) if i >= 0), default=len(text))
            yield text[:end_of_text]
            if end_of_text < len(text):
                return
