"""Grounding: the things that a question names are located in its image, and their positions are added to the question:
"Is the cat (top left) above the dog (right)?" Where it mentions colours, theirs are added too: "What colour is the square
(top left)? The square is red."

A small language model cannot tell positions from patches, but it reads words. A thing is located by the vectors that the labels
are found by: of the whole image, and of crops of half its side. Its colour is the word that the patches there mean most, as
they were trained to. The marks of Yang et al. 2023, "Set-of-Mark Prompting", in words.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import torch
from tokenizers import Tokenizer
from torch import Tensor

from ..models.llava import ImageFeatures
from ..models.starter.label_bank import LabelBank
from ..models.starter.labelled_llava import token_log_probs
from .augment import Features
from .request import Message, Picture

MAX_RANK = 20
"""A thing is present where fewer labels than this are nearer to some crop's vector."""
MAX_CHARACTERS = 200
"""Longer texts are not searched for things: they are no questions."""
POSITIONS = (("top left", "top", "top right"), ("left", "middle", "right"), ("bottom left", "bottom", "bottom right"))
NOWHERE = "nowhere"
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
"""The basic colour terms of Berlin and Kay (1969)."""
AMBIGUOUS = frozenset(("back", "next", "om", "on", "two", *COLOURS))
"""Names of emoji that mean something else in a question."""
MENTIONS_COLOUR = re.compile(rf"\b(colou?rs?|{'|'.join(COLOURS)}|gray)\b", re.IGNORECASE)


class GroundingAugmenter:
    """Adds positions and colours of the things that a question names, from a label bank."""

    def __init__(self, bank: LabelBank, tokenizer: Tokenizer, embed: Callable[[Tensor], Tensor]):
        self.bank, self.embed = bank, embed
        rows = (ids[:length] for ids, length in zip(bank.ids.tolist(), bank.lengths.tolist()))
        self.names = [name.strip() for name in tokenizer.decode_batch(list(rows))]
        self.things = {name.lower(): i for i, name in enumerate(self.names) if name.lower() not in AMBIGUOUS}
        self._longest_name = max(len(name.split()) for name in self.names)
        colours = [torch.tensor(tokenizer.encode(f" {colour}", add_special_tokens=False).ids) for colour in COLOURS]
        ids = torch.cat([bank.ids.flatten().long(), *colours])
        self._ids = torch.unique(ids)  # of all words that patches may mean
        self._colour_columns = [torch.searchsorted(self._ids, colour) for colour in colours]

    def augment(self, messages: tuple[Message, ...], features: Features) -> tuple[Message, ...]:
        """Return the conversation; while it shows one image only, the user's questions say where things are in it."""
        shown: set[str] = set()
        out = []
        for message in messages:
            shown |= {picture.digest for picture in message.pictures}
            if len(shown) == 1 and message.role == "user":
                image = features[next(iter(shown))]
                parts = tuple(part if isinstance(part, Picture) else self.grounded(part, image) for part in message.parts)
                message = replace(message, parts=parts)
            out.append(message)
        return tuple(out)

    def grounded(self, text: str, image: ImageFeatures) -> str:
        """Return a question with a position after each known name, and their colours if it mentions colours."""
        if len(text) > MAX_CHARACTERS:
            return text
        with_colours, out, colours, end = bool(MENTIONS_COLOUR.search(text)), "", "", 0
        for stop, thing in self._find_names(text):
            at = self._position(thing, image.crop_embeddings)
            out, end = f"{out}{text[end:stop]} ({POSITIONS[at[0]][at[1]] if at else NOWHERE})", stop
            if with_colours and at:
                colours += f" The {self.names[thing]} is {self._colour(*at, image.patches)}."
        return out + text[end:] + colours

    def _find_names(self, text: str) -> list[tuple[int, int]]:
        """Return (end in the text, label) for each name in it; of several from one word on, the longest."""
        words, found, i = list(re.finditer(r"[\w'’.-]*\w", text)), [], 0
        while i < len(words):
            for last in range(min(i + self._longest_name, len(words)) - 1, i - 1, -1):
                stop = words[last].end()
                thing = self.things.get(text[words[i].start() : stop].lower())
                if thing is not None:
                    found.append((stop, thing))
                    i = last
                    break
            i += 1
        return found

    def _position(self, thing: int, z: Tensor) -> tuple[int, int] | None:
        """Return (row, column), in thirds of the image, of a label by vectors (1 + G², E); None where it is not present."""
        scores = self.bank.scores(z)  # (1 + G², N)
        rank = (scores > scores[:, thing, None]).sum(dim=-1)
        if int(rank.min()) >= MAX_RANK:
            return None
        grid = max(1, round((len(z) - 1) ** 0.5))
        best = int(scores[:, thing].argmax())
        row, column = divmod(best - 1, grid) if best else ((grid - 1) / 2,) * 2
        return _third(row, grid), _third(column, grid)

    @torch.inference_mode()
    def _colour(self, row: int, column: int, patches: Tensor) -> str:
        """Return the colour that patches (P, D) in a ninth of the image mean most."""
        side = round(len(patches) ** 0.5)
        thirds = (torch.arange(side) * 2 + 1) * 3 // (2 * side)  # of each patch's middle
        here = patches[((thirds == row)[:, None] & (thirds == column)).flatten()]
        total = token_log_probs(here, self.embed(self._ids).float()).exp().sum(dim=0)
        return max(zip(COLOURS, self._colour_columns), key=lambda pair: float(total[pair[1]].mean()))[0]


def _third(i: float, grid: int) -> int:
    """Return which third the i-th of `grid` crops lies in."""
    return round(2 * i / max(1, grid - 1)) if grid > 1 else 1
