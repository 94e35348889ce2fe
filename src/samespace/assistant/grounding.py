"""Things that a question names are looked for in its picture, and the question says where: "Is the cat (top left) above the dog (right)?"
Where it speaks of colours, it says those too: "What colour is the square (top left)? The square is red."

A small language model does not tell places from patches, but it reads. The vectors are those that a picture's names are found
by: of the whole, and of windows of half its side; the colour is the word that the patches there say most, as they were
taught to. The marks of Yang et al. 2023, "Set-of-Mark Prompting", in words.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from tokenizers import Tokenizer
from torch import Tensor

from ..models.llava import Sight, says
from ..models.starter.label_bank import Memory
from .request import Message, Picture

NEAR = 20
"""A thing is there where fewer names than this are nearer to some window's vector."""
LONGEST = 200
"""Characters of a text in which things are looked for: longer ones are no questions."""
PLACES = (("top left", "top", "top right"), ("left", "middle", "right"), ("bottom left", "bottom", "bottom right"))
NOWHERE = "nowhere"
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
"""The basic colour terms of Berlin and Kay (1969)."""
NO_THINGS = frozenset(("back", "next", "om", "on", "two", *COLOURS))
"""Names of emoji that mean something else in a question."""
OF_COLOUR = re.compile(rf"\b(colou?rs?|{'|'.join(COLOURS)}|gray)\b", re.IGNORECASE)
"""What a question holds that speaks of colours."""


class Pointer:
    """The things of a memory, by their names, and the colours, by what a language model embeds their words as."""

    def __init__(self, memory: Memory, tokenizer: Tokenizer, embed: Callable[[Tensor], Tensor]):
        self.memory, self.embed = memory, embed
        rows = (ids[:length] for ids, length in zip(memory.ids.tolist(), memory.lengths.tolist()))
        self.names = [name.strip() for name in tokenizer.decode_batch(list(rows))]
        self.things = {name.lower(): i for i, name in enumerate(self.names) if name.lower() not in NO_THINGS}
        self.words = max(len(name.split()) for name in self.names)
        paints = [torch.tensor(tokenizer.encode(f" {colour}", add_special_tokens=False).ids) for colour in COLOURS]
        self.ids = torch.cat([memory.ids.flatten().long(), *paints]).unique()  # of all words that patches are taken to say
        self.paints = [torch.searchsorted(self.ids, paint) for paint in paints]

    def told(self, messages: tuple[Message, ...], seen: Mapping[str, Sight]) -> tuple[Message, ...]:
        """The same conversation; as long as it shows one picture only, the user's questions say where things are in it.

        seen: by a picture's digest, its vectors (1 + G², E) and what its patches say (P, D).
        """
        shown: set[str] = set()
        told = []
        for message in messages:
            shown |= {picture.digest for picture in message.pictures}
            if len(shown) == 1 and message.role == "user":
                sight = seen[next(iter(shown))]
                parts = tuple(part if isinstance(part, Picture) else self.text(part, sight) for part in message.parts)
                message = replace(message, parts=parts)
            told.append(message)
        return tuple(told)

    def text(self, text: str, sight: Sight) -> str:
        """A question with a place after every name in it that the memory knows, and a colour if it speaks of any."""
        if len(text) > LONGEST:
            return text
        coloured, told, colours, end = bool(OF_COLOUR.search(text)), "", "", 0
        for stop, thing in self.named(text):
            place = self.place(thing, sight.looked)
            told, end = f"{told}{text[end:stop]} ({PLACES[place[0]][place[1]] if place else NOWHERE})", stop
            if coloured and place:
                colours += f" The {self.names[thing]} is {self.colour(*place, sight.patches)}."
        return told + text[end:] + colours

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

    def place(self, thing: int, z: Tensor) -> tuple[int, int] | None:
        """In which third from the top and from the left a thing is, if it is there, by vectors (1 + G², E)."""
        scores = self.memory.scores(z)  # (1 + G², N)
        nearer = (scores > scores[:, thing, None]).sum(dim=-1)
        if int(nearer.min()) >= NEAR:
            return None
        grid = max(1, round((len(z) - 1) ** 0.5))
        best = int(scores[:, thing].argmax())
        row, column = divmod(best - 1, grid) if best else ((grid - 1) / 2,) * 2
        return third(row, grid), third(column, grid)

    @torch.inference_mode()
    def colour(self, row: int, column: int, patches: Tensor) -> str:
        """Which colour the patches (P, D) in a ninth of the picture say most."""
        side = round(len(patches) ** 0.5)
        thirds = (torch.arange(side) * 2 + 1) * 3 // (2 * side)  # of each patch's middle
        here = patches[((thirds == row)[:, None] & (thirds == column)).flatten()]
        said = says(here, self.embed(self.ids).float()).exp().sum(dim=0)
        return max(zip(COLOURS, self.paints), key=lambda paint: float(said[paint[1]].mean()))[0]


def third(i: float, grid: int) -> int:
    """Which third the i-th of so many windows stands for."""
    return round(2 * i / max(1, grid - 1)) if grid > 1 else 1
