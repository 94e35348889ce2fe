"""What is written in pictures, told beside them: a small language model does not read it from patches."""

from collections import OrderedDict
from dataclasses import replace

from ..media import ocr
from .request import Message, Picture

SIDE = 1200
"""Pixels along the shorter side of a picture that is read, if it has them."""
LONGEST = 1200
"""Characters of a picture's words that are told."""
KEPT = 64
"""Pictures whose words are remembered."""


class Reading:
    """Each picture is read once."""

    def __init__(self) -> None:
        self.known: OrderedDict[str, str] = OrderedDict()  # a picture's digest → its words

    def told(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The same conversation with each picture's words after it. Raises UnreadableMedia."""
        return tuple(
            replace(message, parts=tuple(p for part in message.parts for p in self.beside(part))) for message in messages
        )

    def beside(self, part: str | Picture) -> tuple[str | Picture, ...]:
        words = self.words(part) if isinstance(part, Picture) and not part.told else ""
        return (part, f'The picture says "{words}".') if words else (part,)

    def words(self, picture: Picture) -> str:
        words = self.known.get(picture.digest)
        if words is None:
            words = ocr.words(picture.decoded(SIDE))[:LONGEST] if ocr.reader() else ""
            self.known[picture.digest] = words
            while len(self.known) > KEPT:
                self.known.popitem(last=False)
        return words
