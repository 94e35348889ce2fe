"""LLaVA in six steps, as data: what the running assistant makes of one picture and one question.

Liu et al. 2023, fig. 1: pixels → patches → the vision encoder's vectors → the projector → one sequence of picture and word
tokens → an answer, token by token, each with the patches that it looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..assistant.engine import Assistant
from ..assistant.request import Answers, Outcome, Picture, question
from ..core.errors import UnknownAssistant
from ..models.layers import Tap
from ..models.llava import IMAGE_TOKEN
from ..preprocess.pixels import normalize_pixels

NEAREST = 3
"""Words that are shown for a picture token, and for each place of the answer."""


@dataclass(frozen=True)
class Token:
    """One place of the sequence."""

    text: str = ""
    cell: int = -1
    """Which of the picture's cells it is; −1 for words, and for names."""
    seen: bool = False
    """Whether it is the picture's."""


@dataclass(frozen=True)
class Said:
    """One token of the answer."""

    text: str
    likely: tuple[tuple[str, float], ...]
    """What else could have come, with its probability, the likeliest first."""
    cells: np.ndarray
    """float32 (grid, grid): how much more this token looked at each cell than the sequence's other words did; 1 is as much."""


@dataclass(frozen=True)
class Trace:
    """The six steps."""

    pixels: np.ndarray
    """1. uint8 (S, S, 3): the picture as the encoder reads it."""
    grid: int
    """2. Patches along each side."""
    features: np.ndarray
    """3. float32 (N, F): the vision encoder's vectors."""
    projected: np.ndarray
    """4. float32 (N, D): the same in the language model's width."""
    words: tuple[tuple[str, ...], ...]
    """4. The words of the language model that each of them is nearest to."""
    called: tuple[tuple[str, ...], ...]
    """4. What the picture's vector in the space is called, then those of its parts, row by row: the names it is nearest to.
    Nothing where the assistant knows no names."""
    sequence: tuple[Token, ...]
    """5. What the language model reads."""
    answer: tuple[Said, ...]
    """6. What it writes."""

    @property
    def text(self) -> str:
        return "".join(said.text for said in self.answer).strip()


def trace(assistant: Answers, picture: Picture, words: str, max_tokens: int = 48) -> Trace:
    """Ask, and keep every intermediate; of a large picture's views, the whole.

    Raises UnknownAssistant where it is none of this machine, UnreadableMedia, RequestError.
    """
    if not isinstance(assistant, Assistant):
        raise UnknownAssistant(f"{assistant.name} answers from elsewhere and cannot be looked into; name one of this machine")
    model, chat = assistant.model, assistant.chat
    request = question(words, [picture], max_tokens=max_tokens)
    prompt, seen = assistant.prompt(request.messages)
    answer = [token for token in assistant.generate(prompt, seen, request, max_tokens, Outcome()) if token is not None]
    whole, tap = picture.views(model.c)[:1], Tap()
    with assistant.lock, torch.inference_mode():
        model.encode_image(torch.from_numpy(normalize_pixels(whole, model.c.prep)), tap)
        hidden = model.lm(model.splice(torch.tensor([prompt.ids + answer]), seen[picture.digest]), None, tap)
        chances = model.lm.logits(hidden[0, len(prompt.ids) - 1 : -1]).softmax(dim=-1)  # (answer, V)
    features, projected = tap["features"][0].float(), tap["projected"][0].float()
    grid = int(len(features) ** 0.5)
    looked = attention(tap, model.c.lm.layers)
    picture = prompt.ids.index(IMAGE_TOKEN)
    first = picture + model.label_tokens
    cells = looked[:, first : first + grid * grid]  # the whole comes before its tiles
    usual = cells[picture + prompt.ids.count(IMAGE_TOKEN) :].mean(dim=0)
    spoken = cells[len(prompt.ids) - 1 : -1] / usual.clamp(min=1e-9)
    said = tuple(
        Said(
            chat.tokenizer.decode([token], skip_special_tokens=False),
            likely(chat.tokenizer, row),
            share.reshape(grid, grid).numpy(),
        )
        for token, row, share in zip(answer, chances, spoken)
    )
    return Trace(
        whole[0], grid, features.numpy(), projected.numpy(), nearest(assistant, projected), called(assistant, tap),
        sequence(assistant, prompt.ids, grid), said,
    )  # fmt: skip


def lines(trace: Trace) -> Iterator[str]:
    """The six steps as text."""
    tokens, pictures = len(trace.sequence), sum(token.seen for token in trace.sequence)
    yield f"1 pixels     {' × '.join(map(str, trace.pixels.shape))}"
    yield f"2 patches    {trace.grid} × {trace.grid} = {trace.grid**2}"
    yield f"3 features   {' × '.join(map(str, trace.features.shape))}, of the vision encoder"
    yield f"4 projected  {' × '.join(map(str, trace.projected.shape))}; nearest words, cell by cell:"
    wide = max(len(words[0]) for words in trace.words)
    for row in range(trace.grid):
        yield "    " + " ".join(words[0].ljust(wide) for words in trace.words[row * trace.grid : (row + 1) * trace.grid])
    if trace.called:
        yield f"    the whole is called {trace.called[0][0]!r}, its parts: " + ", ".join(
            repr(names[0]) for names in trace.called[1:]
        )
    yield f"5 sequence   {tokens} tokens: {pictures} of the picture, {tokens - pictures} of words:"
    yield "    " + " ".join("".join(token.text for token in trace.sequence if not token.seen).split())
    yield f"6 answer     {trace.text}"
    for said in trace.answer:
        y, x = np.unravel_index(said.cells.argmax(), said.cells.shape)
        others = ", ".join(f"{text!r} {p:.2f}" for text, p in said.likely)
        yield f"    {said.text!r:14} looked most at row {y + 1}, column {x + 1}; likeliest: {others}"


def attention(tap: Tap, layers: int) -> Tensor:
    """How much each place looks at each, over all heads and layers: (N, N)."""
    return torch.stack([tap[f"blocks.{i}.attn.weights"][0].float().mean(dim=0) for i in range(layers)]).mean(dim=0)


def likely(tokenizer, chances: Tensor) -> tuple[tuple[str, float], ...]:
    best = chances.topk(NEAREST)
    return tuple((tokenizer.decode([i]), round(p, 4)) for p, i in zip(best.values.tolist(), best.indices.tolist()))


def nearest(assistant: Assistant, projected: Tensor) -> tuple[tuple[str, ...], ...]:
    """The words whose embeddings lie nearest to each picture token; whole ones, which begin with a space, if there are any."""
    tokenizer, vocabulary = assistant.chat.tokenizer, range(assistant.model.c.lm.vocab)
    texts = tokenizer.decode_batch([[i] for i in vocabulary])
    ids = torch.tensor([i for i, text in enumerate(texts) if is_word(text)] or list(vocabulary))
    with torch.inference_mode():
        table = assistant.model.lm.embed(ids).float()  # (words, D)
        closest = torch.cdist(projected, table).topk(NEAREST, largest=False).indices
    return tuple(tuple(tokenizer.decode([int(ids[i])]).strip() for i in row) for row in closest)


def called(assistant: Assistant, tap: Tap) -> tuple[tuple[str, ...], ...]:
    """The names that a picture and its parts are nearest to."""
    if assistant.grounding is None:
        return ()
    return tuple(tuple(assistant.grounding.names[i] for i in things[:NEAREST]) for things in tap["labels"][0].tolist())


def is_word(text: str) -> bool:
    return text.startswith(" ") and text[1:].isalnum()


def sequence(assistant: Assistant, ids: list[int], grid: int) -> tuple[Token, ...]:
    """The prompt's places, in order."""
    found, first, k = [], assistant.model.label_tokens, 0
    for i in ids:
        if i != IMAGE_TOKEN:
            found.append(Token(assistant.chat.tokenizer.decode([i], skip_special_tokens=False)))
            continue
        view, place = divmod(k, first + grid * grid)
        if place < first:
            found.append(Token("name" if place < assistant.model.c.label_length else "part", seen=True))
        else:
            found.append(Token(cell=view * grid * grid + place - first, seen=True))
        k += 1
    return tuple(found)
