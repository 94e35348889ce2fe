"""Things that a question names are looked for in its picture, and the question says where: "Is the cat (top left) above the dog (right)?"

A small language model does not tell places from patches, but it reads. The vectors are those that a picture's names are found
by: of the whole, and of windows of half its side. The marks of Yang et al. 2023, "Set-of-Mark Prompting", in words.
"""

import re
from dataclasses import replace

from tokenizers import Tokenizer
from torch import Tensor

from ..model.memory import Memory
from .request import Message, Picture

NEAR = 20
"""A thing is there where fewer names than this are nearer to some window's vector."""
LONGEST = 200
"""Characters of a text in which things are looked for: longer ones are no questions."""
NO_THINGS = frozenset(("back", "next", "om", "on", "two"))
"""Names of emoji that mean something else in a question."""
PLACES = (("top left", "top", "top right"), ("left", "middle", "right"), ("bottom left", "bottom", "bottom right"))
NOWHERE = "nowhere"


class Pointer:
    """The things of a memory, by their names."""

    def __init__(self, memory: Memory, tokenizer: Tokenizer):
        self.memory = memory
        rows = (ids[:length] for ids, length in zip(memory.ids.tolist(), memory.lengths.tolist()))
        self.names = [name.strip() for name in tokenizer.decode_batch(list(rows))]
        self.things = {name.lower(): i for i, name in enumerate(self.names) if name.lower() not in NO_THINGS}
        self.words = max(len(name.split()) for name in self.names)

    def told(self, messages: tuple[Message, ...], looked: dict[str, Tensor]) -> tuple[Message, ...]:
        """The same conversation; as long as it shows one picture only, the user's questions say where things are in it.

        looked: a picture's vectors (1 + G², E) by its digest, of the whole and of its windows.
        """
        shown: set[str] = set()
        told = []
        for message in messages:
            shown |= {picture.digest for picture in message.pictures}
            if len(shown) == 1 and message.role == "user":
                z = looked[next(iter(shown))]
                message = replace(message, parts=tuple(p if isinstance(p, Picture) else self.text(p, z) for p in message.parts))
            told.append(message)
        return tuple(told)

    def text(self, text: str, z: Tensor) -> str:
        """A question with a place after every name in it that the memory knows."""
        if len(text) > LONGEST:
            return text
        told, end = "", 0
        for stop, thing in self.named(text):
            told, end = f"{told}{text[end:stop]} ({self.place(thing, z)})", stop
        return told + text[end:]

    def named(self, text: str) -> list[tuple[int, int]]:
        """Where in a text names end, and of which thing; of several from one word on, the longest."""
        words, found, i = list(re.finditer(r"[\w'’.-]*\w", text)), [], 0
        while i < len(words):
            for last in range(min(i + self.words, len(words)) - 1, i - 1, -1):
                stop = words[last].end()
                thing = self.things.get(text[words[i].start() : stop].lower())
                if thing is not None:
                    found.append((stop, thing))
                    i = last
                    break
            i += 1
        return found

    def place(self, thing: int, z: Tensor) -> str:
        """Where a thing is, by the vectors of a picture and its windows (1 + G², E)."""
        scores = self.memory.scores(z)  # (1 + G², N)
        nearer = (scores > scores[:, thing, None]).sum(dim=-1)
        if int(nearer.min()) >= NEAR:
            return NOWHERE
        grid = max(1, round((len(z) - 1) ** 0.5))
        best = int(scores[:, thing].argmax())
        row, column = divmod(best - 1, grid) if best else ((grid - 1) / 2,) * 2
        return PLACES[third(row, grid)][third(column, grid)]


def third(i: float, grid: int) -> int:
    """Which third the i-th of so many windows stands for."""
    return round(2 * i / max(1, grid - 1)) if grid > 1 else 1
