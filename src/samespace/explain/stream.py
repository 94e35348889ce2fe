"""The one stream of a native model, as data: what stands in it, and what each new word attends to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from ..core.native_config import CHUNK, PATCH, WORD
from ..generate.native import Native
from ..models.generate.native import Stream
from ..models.layers import Tap
from ..preprocess.stream import Part, Tokens

TOP = 3
"""Likeliest words kept for each new one."""
NAMES = {PATCH: "patches", CHUNK: "chunks of sound"}


@dataclass(frozen=True)
class Run:
    """Tokens of one kind that follow each other."""

    start: int
    stop: int
    kind: int
    """WORD, PATCH or CHUNK."""
    text: str
    """Of words: them, with their marks."""
    places: str
    """Their positions: time, row and column."""


@dataclass(frozen=True)
class NewWord:
    """A word that the model wrote."""

    text: str
    candidates: tuple[tuple[str, float], ...]
    """The likeliest words here with their probabilities, in descending order."""
    shares: dict[str, float]
    """Of its attention, over all blocks and heads: to words, to patches, to chunks of sound."""


@dataclass(frozen=True)
class StreamTrace:
    """What a native model reads and writes."""

    runs: tuple[Run, ...]
    answer: tuple[NewWord, ...]


def trace_stream(native: Native, parts: Sequence[Part], most: int = 48) -> StreamTrace:
    """Read a document, go on with words, and return both. Raises RequestError."""
    tokens, words = native.words.tokens(parts), native.words
    reading, written = native.read(parts), list[int]()
    for _ in range(min(most, native.config.lm.context - len(tokens) - 1)):
        word = int(native.model.lm.logits(reading.hidden)[0].argmax())
        if word == words.end or word in words.begins.values():
            break
        written.append(word)
        native.step(reading, word)
        if words.tokenizer.decode([word]) == "\n":
            break
    return StreamTrace(tuple(_runs(native, tokens)), tuple(_answer(native, tokens, written)))


def stream_lines(trace: StreamTrace) -> Iterator[str]:
    """Yield a stream as lines of text."""
    total = trace.runs[-1].stop
    yield f"one stream of {total} tokens:"
    for run in trace.runs:
        what = repr(run.text) if run.kind == WORD else f"{run.stop - run.start} {NAMES[run.kind]}, which see each other"
        yield f"  {run.start:4}–{run.stop - 1:<4} {what}   ({run.places})"
    yield "and it goes on:"
    for word in trace.answer:
        shares = ", ".join(f"{share:.0%} to {name}" for name, share in word.shares.items() if share >= 0.005)
        yield f"  {word.text!r:14} attends {shares}; likeliest: {', '.join(f'{text!r} {p:.2f}' for text, p in word.candidates)}"


def _runs(native: Native, tokens: Tokens) -> Iterator[Run]:
    """Yield what stands in a stream."""
    for kind, group in groupby(range(len(tokens)), lambda i: int(tokens.kinds[i])):
        at = list(group)
        first, last = tokens.positions[:, at[0]], tokens.positions[:, at[-1]]
        places = (
            f"time {first[0]}, rows {first[1]}–{last[1]}, columns {first[2]}–{last[2]}"
            if kind == PATCH
            else f"times {first[0]}–{last[0]}"
        )
        text = native.words.tokenizer.decode(tokens.ids[at].tolist(), skip_special_tokens=False) if kind == WORD else ""
        yield Run(at[0], at[-1] + 1, kind, text, places)


def _answer(native: Native, tokens: Tokens, written: Sequence[int]) -> Iterator[NewWord]:
    """Yield the words that were written, with what they attended to."""
    if not written:
        return
    stream, tap, n = _with_words(native, tokens, written), Tap(), len(tokens)
    with torch.inference_mode():
        hidden = native.model(stream, stream.values, torch.ones(stream.ids.shape), tap=tap)
        probabilities = native.model.lm.logits(hidden[0, n - 1 : -1]).softmax(dim=-1)
    blocks = [tap[f"blocks.{i}.attn.weights"][0] for i in range(native.config.lm.layers)]
    attention = torch.stack(blocks).mean(dim=(0, 1))[n - 1 : -1]  # (words, N)
    for word, p, weights in zip(written, probabilities, attention):
        top = p.topk(TOP)
        candidates = tuple((native.words.tokenizer.decode([int(i)], skip_special_tokens=False), float(q)) for q, i in zip(*top))
        shares = {name: float(weights[stream.kinds[0] == kind].sum()) for kind, name in ((WORD, "words"), *NAMES.items())}
        yield NewWord(native.words.tokenizer.decode([word]), candidates, shares)


def _with_words(native: Native, tokens: Tokens, written: Sequence[int]) -> Stream:
    """Return the stream of a document and of what was written after it."""
    after = native.words.text_tokens(written, int(tokens.positions.max()) + 1)
    wide = torch.zeros(1, len(written), tokens.values.shape[1])
    pairs = ((tokens.ids, after.ids), (tokens.kinds, after.kinds), (tokens.blocks, after.blocks))
    ids, kinds, blocks = (torch.cat([torch.from_numpy(a), torch.from_numpy(b)])[None] for a, b in pairs)
    positions = torch.cat([torch.from_numpy(tokens.positions), torch.from_numpy(after.positions)], dim=1)[:, None]
    values = torch.cat([torch.from_numpy(tokens.values)[None], wide], dim=1)
    return Stream(ids, kinds, values, blocks, torch.ones_like(ids), positions)
