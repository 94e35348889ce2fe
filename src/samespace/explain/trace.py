"""LLaVA in six steps, as data: the intermediate values of a running assistant for one image and one question.

Liu et al. 2023, fig. 1: pixels → patches → features of the vision encoder → projected features → one sequence of image and
text tokens → the answer, token by token, each with its attention to the patches.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..assistant.engine import Assistant
from ..assistant.request import AssistantBackend, Outcome, Picture, question
from ..core.errors import UnknownAssistant
from ..models.layers import Tap
from ..models.llava import IMAGE_TOKEN
from ..models.starter.labelled_llava import LabelledLlava
from ..preprocess.pixels import normalize_pixels

TOP = 3
"""Words or labels kept for an image token, and candidates for a token of the answer."""


@dataclass(frozen=True)
class SequenceToken:
    """A position of the sequence that the language model reads."""

    text: str = ""
    """Decoded; of a label token `label`, of a crop's token `crop`, of a patch empty."""
    cell: int = -1
    """Index of the patch, those of tiles counted on from those of the whole image; −1 for text, labels and crops."""
    is_image: bool = False
    """Whether it is one of the image's tokens."""


@dataclass(frozen=True)
class AnswerToken:
    """One token of the answer."""

    text: str
    candidates: tuple[tuple[str, float], ...]
    """The likeliest tokens here with their probabilities, in descending order."""
    attention: np.ndarray
    """float32 (grid, grid): its attention to each patch, relative to the mean over the text tokens after the image."""


@dataclass(frozen=True)
class Trace:
    """The six steps."""

    pixels: np.ndarray
    """1. uint8 (S, S, 3): the image as the encoder reads it."""
    grid: int
    """2. Patches along each side."""
    features: np.ndarray
    """3. float32 (N, F): the vision encoder's features."""
    projected: np.ndarray
    """4. float32 (N, D): the features projected to the language model's width."""
    nearest_words: tuple[tuple[str, ...], ...]
    """4. Of each projected feature, the words whose embeddings are nearest."""
    labels: tuple[tuple[str, ...], ...]
    """4. The labels nearest to the whole image, then to each of its crops, row by row; empty without a label bank."""
    sequence: tuple[SequenceToken, ...]
    """5. What the language model reads."""
    answer: tuple[AnswerToken, ...]
    """6. What it generates, token by token; a character of several tokens is whole in `text` only."""
    text: str
    """6. The answer."""


def trace(assistant: AssistantBackend, picture: Picture, text: str, max_tokens: int = 48) -> Trace:
    """Ask a question about an image and return every intermediate value; of a large image's views, those of the whole.

    Raises UnknownAssistant where the assistant does not run on this machine, UnreadableMedia, RequestError.
    """
    if not isinstance(assistant, Assistant):
        raise UnknownAssistant(f"{assistant.name} answers from elsewhere and cannot be looked into; name one of this machine")
    model = assistant.model
    if not model.in_order:
        raise UnknownAssistant(
            f"{assistant.name} orders a picture's tokens in its own way and cannot be looked into; use a LLaVA 1.5"
        )
    request = question(text, [picture], max_tokens=max_tokens)
    prompt, image_tokens = assistant.prompt(request.messages)
    answer = [token for token in assistant.generate(prompt, image_tokens, request, max_tokens, Outcome()) if token is not None]
    whole, tap = picture.views(model.c).pixels[:1], Tap()
    with assistant.lock, torch.inference_mode():
        model.encode_image(torch.from_numpy(normalize_pixels(whole, model.c.prep)), tap)
        hidden = model.lm(model.splice(torch.tensor([prompt.ids + answer]), image_tokens[picture.digest]), None, tap)
        probabilities = model.lm.logits(hidden[0, len(prompt.ids) - 1 : -1]).softmax(dim=-1)  # (answer, V)
    features, projected = tap["features"][0].float(), tap["projected"][0].float()
    grid = int(len(features) ** 0.5)
    attention = _attention_to_cells(assistant, tap, prompt.ids, grid)
    return Trace(
        whole[0], grid, features.numpy(), projected.numpy(), nearest_words(assistant, projected), _nearest_labels(assistant, tap),
        _sequence(assistant, prompt.ids, grid), _answer_tokens(assistant, answer, probabilities, attention),
        "".join(assistant.chat.texts(iter(answer))),
    )  # fmt: skip


def lines(trace: Trace) -> Iterator[str]:
    """Yield the six steps as lines of text."""
    tokens, image_tokens = len(trace.sequence), sum(token.is_image for token in trace.sequence)
    yield f"1 pixels     {' × '.join(map(str, trace.pixels.shape))}"
    yield f"2 patches    {trace.grid} × {trace.grid} = {trace.grid**2}"
    yield f"3 features   {' × '.join(map(str, trace.features.shape))}, of the vision encoder"
    yield f"4 projected  {' × '.join(map(str, trace.projected.shape))}; nearest words, cell by cell:"
    width = max(len(words[0]) for words in trace.nearest_words)
    for row in range(trace.grid):
        cells = trace.nearest_words[row * trace.grid : (row + 1) * trace.grid]
        yield "    " + " ".join(words[0].ljust(width) for words in cells)
    if trace.labels:
        whole, *crops = (repr(labels[0]) for labels in trace.labels)
        yield f"    nearest labels: of the whole {whole}" + (f", of its crops {', '.join(crops)}" if crops else "")
    yield f"5 sequence   {tokens} tokens: {image_tokens} of the picture, {tokens - image_tokens} of words:"
    yield "    " + " ".join("".join(token.text for token in trace.sequence if not token.is_image).split())
    yield f"6 answer     {trace.text}"
    for token in trace.answer:
        y, x = np.unravel_index(token.attention.argmax(), token.attention.shape)
        candidates = ", ".join(f"{text!r} {p:.2f}" for text, p in token.candidates)
        yield f"    {token.text!r:14} attends most to row {y + 1}, column {x + 1}; likeliest: {candidates}"


def nearest_words(assistant: Assistant, projected: Tensor) -> tuple[tuple[str, ...], ...]:
    """Return the words whose embeddings are nearest to each image token (N, D).

    Only tokens that are whole words, with a space before them, count; all do if the vocabulary has no such tokens.
    """
    tokenizer, vocabulary = assistant.chat.tokenizer, range(assistant.model.c.lm.vocab)
    texts = tokenizer.decode_batch([[i] for i in vocabulary])
    ids = torch.tensor([i for i, text in enumerate(texts) if _is_word(text)] or list(vocabulary))
    with torch.inference_mode():
        table = assistant.model.lm.embed(ids).float()  # (words, D)
        closest = torch.cdist(projected, table).topk(TOP, largest=False).indices
    return tuple(tuple(tokenizer.decode([int(ids[i])]).strip() for i in row) for row in closest)


def _is_word(text: str) -> bool:
    return text.startswith(" ") and text[1:].isalnum()


def _nearest_labels(assistant: Assistant, tap: Tap) -> tuple[tuple[str, ...], ...]:
    """Return the labels nearest to the whole image and to each of its crops; empty without a label bank."""
    if assistant.grounding is None:
        return ()
    return tuple(tuple(assistant.grounding.names[i] for i in labels[:TOP]) for labels in tap["labels"][0].tolist())


def _sequence(assistant: Assistant, ids: list[int], grid: int) -> tuple[SequenceToken, ...]:
    """Return the positions of a prompt, in order. Each view of the image has label tokens, crop tokens, then patches."""
    model, tokens, k = assistant.model, [], 0
    label_length = model.c.label_length if isinstance(model, LabelledLlava) else 0
    for i in ids:
        if i != IMAGE_TOKEN:
            tokens.append(SequenceToken(assistant.chat.tokenizer.decode([i], skip_special_tokens=False)))
            continue
        view, position = divmod(k, model.label_tokens + grid * grid)
        if position < model.label_tokens:
            tokens.append(SequenceToken("label" if position < label_length else "crop", is_image=True))
        else:
            tokens.append(SequenceToken(cell=view * grid * grid + position - model.label_tokens, is_image=True))
        k += 1
    return tuple(tokens)


def _attention_to_cells(assistant: Assistant, tap: Tap, ids: list[int], grid: int) -> Tensor:
    """Return each answer token's relative attention to the patches of the whole image: (answer, grid, grid).

    It is that of the position which predicts the token, averaged over heads and layers, and divided by the mean over all
    positions after the image.
    """
    layers = range(assistant.model.c.lm.layers)
    attention = torch.stack([tap[f"blocks.{i}.attn.weights"][0].float().mean(dim=0) for i in layers]).mean(dim=0)  # (N, N)
    image = ids.index(IMAGE_TOKEN)
    first = image + assistant.model.label_tokens
    to_cells = attention[:, first : first + grid * grid]  # the whole image comes before its tiles
    mean = to_cells[image + ids.count(IMAGE_TOKEN) :].mean(dim=0)
    return (to_cells[len(ids) - 1 : -1] / mean.clamp(min=1e-9)).reshape(-1, grid, grid)


def _answer_tokens(assistant: Assistant, ids: list[int], probabilities: Tensor, attention: Tensor) -> tuple[AnswerToken, ...]:
    """Return the answer's tokens with their candidates, from probabilities (N, V), and attention (N, grid, grid)."""
    tokenizer, tokens = assistant.chat.tokenizer, []
    for i, p, cells in zip(ids, probabilities, attention):
        best = p.topk(TOP)
        tokens.append(
            AnswerToken(
                tokenizer.decode([i], skip_special_tokens=False),
                tuple((tokenizer.decode([j]), round(q, 4)) for q, j in zip(best.values.tolist(), best.indices.tolist())),
                cells.numpy(),
            )
        )
    return tuple(tokens)
