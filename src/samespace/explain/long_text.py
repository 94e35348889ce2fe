"""A running language model and a long text: read with another attention than it was trained with, timed, stretched, and taken apart."""

import timeit
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import cast

import torch
from einops import rearrange
from torch import Tensor

from ..assistant.language import Language
from ..assistant.long_context import LongContext
from ..core.assistant_config import LanguageModel
from ..core.errors import QueryError
from ..evaluate.long_context import needle_found
from ..models.layers import rotate
from ..models.lm import Llama, LlamaBlock, rotary
from .attention import KINDS, attend, kept, pairs

MOST_TOKENS = 512
"""Of a text that is read with each kind of attention."""
LEAST_TOKENS = 16
SHOWN_WORDS = 3
"""Of what may come next."""
LENGTHS = (256, 512, 1024, 2048, 4096)
"""Tokens whose attention is timed."""
MOST_PERPLEXITY = 1e12
"""What is larger is shown as this."""
REPEATS = 3
"""Times that each is timed; the shortest counts."""
SIDE = 64
"""Cells along the side of a picture of who attends to whom."""


@dataclass(frozen=True)
class KindResult:
    """What became of a text that was read with one kind of attention."""

    kind: str
    tokens: int
    perplexity: float
    """Of its second half, when every layer attends so."""
    pairs: int
    """Pairs of a token and one that it sees, in a head."""
    kept: int
    """Tokens whose keys and values the next one needs."""
    bytes: int
    """Of these keys and values, or of the states, over all layers."""
    seen: list[list[float]]
    """Mean attention over layers and heads, SIDE × SIDE cells at most, each row's largest at 1."""


@dataclass(frozen=True)
class StreamResult:
    """What became of a video, in one stream with a question, that was read with one kind of attention."""

    kind: str
    tokens: int
    frames: list[tuple[int, int]]
    """Where each frame begins and ends among the tokens."""
    words: list[tuple[str, float]]
    """The likeliest words to begin the answer with, and their probabilities."""
    change: float
    """Kullback-Leibler divergence, in nats, of what comes next from what full attention says."""
    pairs: int
    """As of KindResult, and so are the others."""
    kept: int
    bytes: int
    seen: list[list[float]]


@torch.inference_mode()
def read_with(language: Language, text: str, size: int) -> Iterator[KindResult]:
    """Read a text with each kind of attention in every layer. Raises QueryError where it is too short.

    size: tokens of a window, or of a block.
    """
    model, ids = language.model, language.tokenizer.encode(text, add_special_tokens=False).ids[:MOST_TOKENS]
    if len(ids) < LEAST_TOKENS:
        raise QueryError(f"the text has {len(ids)} tokens; give at least {LEAST_TOKENS}")
    for kind in KINDS:
        hidden, weights = _read(model, model.embed(torch.tensor([ids])), kind, size)
        half = len(ids) // 2
        loss = torch.nn.functional.cross_entropy(model.logits(hidden[0, half - 1 : -1]).float(), torch.tensor(ids[half:]))
        yield KindResult(
            kind, len(ids), round(min(float(loss.exp()), MOST_PERPLEXITY), 2), pairs(kind, len(ids), size), kept(kind, len(ids), size),
            cache_bytes(model.c, kind, len(ids), size), _cells(weights),
        )  # fmt: skip


@torch.inference_mode()
def read_stream_with(language: Language, x: Tensor, frames: list[tuple[int, int]], size: int) -> Iterator[StreamResult]:
    """Read what a stream of words and frames is embedded as, (1, N, D), with each kind of attention in every layer."""
    model, n, exact = language.model, x.shape[1], None
    for kind in KINDS:
        hidden, weights = _read(model, x, kind, size)
        log_p = torch.log_softmax(model.logits(hidden[0, -1]).float(), dim=-1)
        exact = log_p if exact is None else exact  # full attention is the first
        best = log_p.topk(SHOWN_WORDS)
        words = [(language.tokenizer.decode([int(i)]), round(float(p.exp()), 3)) for p, i in zip(*best)]
        change = float((exact.exp() * (exact - log_p)).sum())
        yield StreamResult(
            kind, n, frames, words, round(change, 3), pairs(kind, n, size), kept(kind, n, size), cache_bytes(model.c, kind, n, size), _cells(weights)
        )  # fmt: skip


def _read(model: Llama, x: Tensor, kind: str, size: int) -> tuple[Tensor, Tensor]:
    """Run a model whose layers all attend in one way over embeddings (1, N, D) → hidden states, and what each token attended to (N, N)."""
    n = x.shape[1]
    angles, seen = rotary(torch.arange(n), model.c), torch.zeros(n, n)
    for i, block in enumerate(blocks_of(model)):
        q, k, v = heads_of(block, x, None if i in model.c.unrotated else angles)
        mixed = attend(kind, q, k, v, size)
        # what it attended to, found by attending to each token's own mark
        marks = torch.eye(n)[None].expand(len(q), -1, -1)
        seen += attend(kind, q, k, marks, size).mean(dim=0)
        x = x + block.attn.out(rearrange(mixed, "h n d -> 1 n (h d)"))
        x = x + block.mlp(block.norm2(x))
    return model.norm(x), seen / len(model.blocks)


def blocks_of(model: Llama) -> list[LlamaBlock]:
    """Return a model's layers."""
    return [cast(LlamaBlock, block) for block in model.blocks]


def heads_of(block: LlamaBlock, x: Tensor, angles: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the queries, keys and values of a layer for what comes into it (1, N, D), a key and a value for each query: (H, N, d) each."""
    attn = block.attn
    heads = rearrange(attn.qkv(block.norm1(x))[0], "n (h d) -> h n d", d=attn.head_dim).float()
    q, k, v = heads.split([attn.heads, attn.kv_heads, attn.kv_heads])
    q, k = attn.q_norm(q), attn.k_norm(k)
    if angles is not None:
        q, k = rotate(q[None], angles)[0], rotate(k[None], angles)[0]
    groups = attn.heads // attn.kv_heads
    return q, k.repeat_interleave(groups, dim=0), v.repeat_interleave(groups, dim=0)


def _cells(weights: Tensor) -> list[list[float]]:
    """Return attention (N, N) as at most SIDE × SIDE cells, each row's largest at 1."""
    side = min(SIDE, len(weights))
    cells = torch.nn.functional.adaptive_avg_pool2d(weights[None], side)[0]
    return [[round(v, 3) for v in row] for row in (cells / cells.amax(dim=1, keepdim=True).clamp(min=1e-9)).tolist()]


def cache_bytes(c: LanguageModel, kind: str, n: int, size: int, element: int = 4) -> int:
    """Return the bytes that n tokens leave behind for the next one, over all layers."""
    state = c.heads * c.head_dim * (c.head_dim + 1) if kind in KINDS[3:] else 0
    return c.layers * element * (2 * c.kv_heads * c.head_dim * kept(kind, n, size) + state)


@torch.inference_mode()
def costs(c: LanguageModel, size: int, lengths: Sequence[int] = LENGTHS) -> Iterator[dict[str, float | str]]:
    """Time one layer's attention at each length, of each kind, on this machine: yield its kind, tokens, ms, and bytes kept."""
    generator = torch.Generator().manual_seed(0)
    for n in lengths:
        q, k, v = (torch.randn(c.heads, n, c.head_dim, generator=generator) for _ in "qkv")
        for kind in KINDS:
            ms = 1000 * min(timeit.repeat(lambda: attend(kind, q, k, v, size), number=1, repeat=REPEATS))  # noqa: B023
            yield {"kind": kind, "tokens": n, "ms": round(ms, 3), "bytes": cache_bytes(c, kind, n, size)}


@dataclass(frozen=True)
class Head:
    """What one head of one layer computes with."""

    q: list[list[float]]
    k: list[list[float]]
    v: list[list[float]]
    """(N, d) each."""


@torch.inference_mode()
def head(language: Language, text: str, layer: int, number: int, most: int = 128) -> Head:
    """Return the queries, keys and values of a head for a text's first tokens. Raises QueryError where there is no such head."""
    model = language.model
    if not 0 <= layer < len(model.blocks) or not 0 <= number < model.c.heads:
        raise QueryError(
            f"there is no head {number} in layer {layer}; layers are 0 to {len(model.blocks) - 1}, heads to {model.c.heads - 1}"
        )
    ids = language.tokenizer.encode(text, add_special_tokens=False).ids[:most]
    if len(ids) < LEAST_TOKENS:
        raise QueryError(f"the text has {len(ids)} tokens; give at least {LEAST_TOKENS}")
    x, angles = model.embed(torch.tensor([ids])), rotary(torch.arange(len(ids)), model.c)
    blocks = blocks_of(model)
    for i, block in enumerate(blocks[:layer]):
        x = block(x, None if i in model.c.unrotated else angles, None, i)
    q, k, v = (x[number].tolist() for x in heads_of(blocks[layer], x, None if layer in model.c.unrotated else angles))
    return Head(q, k, v)


def stretched(c: LanguageModel, context: int) -> dict[str, object]:
    """Return what changes in a model's settings for a longer context, and the waves that its positions turn by. Raises UnknownAssistant."""
    longer = LongContext(context).of(c)
    changed = {
        f.name: {"trained": _plain(getattr(c, f.name)), "stretched": _plain(getattr(longer, f.name))}
        for f in fields(c)
        if getattr(c, f.name) != getattr(longer, f.name)
    }
    waves = 2 * torch.pi * c.rope_base ** (torch.arange(0, c.head_dim, 2) / c.head_dim)
    divisors = torch.tensor(longer.rope_divisors or [1.0] * len(waves))
    return {
        "changed": changed, "waves": [round(w, 1) for w in waves.tolist()], "stretched": [round(w, 1) for w in (waves * divisors).tolist()],
        "trained": c.context, "context": longer.context,
        "bytes": {n: cache_bytes(c, "full", n, 1) for n in (1024, c.context, longer.context)},
    }  # fmt: skip


def _plain(value: object) -> object:
    """Return a setting as a page shows it: of many numbers the first and the last."""
    if isinstance(value, tuple) and len(value) > 4:
        return [round(value[0], 3), "…", round(value[-1], 3)]
    return list(value) if isinstance(value, tuple) else round(value, 4) if isinstance(value, float) else value


def needles(language: Language, text: str, lengths: Sequence[int], depths: Sequence[float]) -> Iterator[dict[str, float | bool]]:
    """Hide a fact at each depth of the beginning of a text at each length, ask for it, and yield whether it was found.

    Raises QueryError where the text is too short.
    """
    ids = language.tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) < LEAST_TOKENS:
        raise QueryError(f"the text has {len(ids)} tokens; give at least {LEAST_TOKENS}")
    for length in lengths:
        repeated = (ids * (length // len(ids) + 1))[:length]
        for depth in depths:
            yield {"tokens": length, "depth": depth, "found": needle_found(language, repeated, depth)}
