"""How far a language model reads: perplexity at the end of a long text, and facts that are hidden in it and asked for ("needles").

Needles: Kamradt 2023. Ways of reading beyond the training's longest text: `spaces.checkpoints.language_layout`, `models.lm`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import torch

from ..assistant.engine import CHUNK
from ..assistant.language import Language
from ..assistant.long_context import EXACT, INT8, WINDOW, LongContext
from ..core.assistant_config import LanguageModel
from ..core.errors import QueryError
from ..models.lm import Cache, Llama
from ..spaces.checkpoints.language_layout import scaled

SCORED = 512
"""Last tokens of a text, whose perplexity is measured."""
FACT, ASKED = "\nThe secret number of {} is {}.\n", "\nThe secret number of {} is"
CITIES = ("Lisbon", "Oslo", "Cairo", "Lima", "Kyoto")
"""Each has a fact: the first near the beginning of the text, the last near its end."""
SHORTEST = 2 * SCORED


def _stretched(kind: str) -> Callable[[LanguageModel, float], LanguageModel]:
    return lambda c, factor: scaled(c, {"rope_type": kind, "factor": factor, "original_max_position_embeddings": c.context})


POSITIONS: dict[str, Callable[[LanguageModel, float], LanguageModel]] = {
    "trained": lambda c, factor: c,
    **{kind: _stretched(kind) for kind in ("linear", "dynamic", "yarn")},
}
"""Ways to place more tokens than a model was trained with."""
WAYS = (("trained", EXACT), ("trained", INT8), ("trained", WINDOW))
LONG_WAYS = (
    ("trained", EXACT), ("linear", EXACT), ("dynamic", EXACT), ("yarn", EXACT), ("yarn", INT8), ("trained", WINDOW),
)  # fmt: skip
"""(positions, cache) that are tried up to, and beyond, the longest text of a model's training."""


@dataclass(frozen=True)
class ContextResult:
    """What became of one text that was read in one way."""

    tokens: int
    positions: str
    cache: str
    perplexity: float
    """Of the last SCORED tokens."""
    needles: float
    """Share of the facts that were found again."""
    seconds: float
    """Of reading the text."""
    cache_mb: float


def read_lengths(language: Language, text: str, lengths: Sequence[int]) -> Iterator[ContextResult]:
    """Read the beginning of a text at each length, in tokens, in each way. Raises QueryError where the text is too short."""
    ids = language.tokenizer.encode(text, add_special_tokens=False).ids
    if not lengths or not SHORTEST <= min(lengths) <= max(lengths) <= len(ids):
        raise QueryError(f"the text has {len(ids)} tokens; give lengths between {SHORTEST} and that, or a longer text")
    trained = language.model.c.context
    for length in lengths:
        for positions, cache in LONG_WAYS if length > trained else WAYS:
            yield read_text(language, ids, length, positions, cache)


@torch.inference_mode()
def read_text(language: Language, ids: Sequence[int], length: int, positions: str, cache_kind: str) -> ContextResult:
    """Read the first `length` tokens of a text, with facts in it, in one way."""
    c = language.model.c
    model = copy(language.model)  # of the same weights
    model.c = POSITIONS[positions](c, max(1.0, length / c.context))
    cache = LongContext(cache=cache_kind).new_cache(c)
    cache.planned = length + SCORED  # with the questions
    tokens, facts = with_facts(language, ids, length)
    start = time.perf_counter()
    states = [model(model.embed(part), cache) for part in torch.tensor([tokens]).split(CHUNK, dim=1)]
    seconds = time.perf_counter() - start
    found = [_answered(model, language, cache, city, number) for city, number in facts.items()]
    logits = model.logits(torch.cat(states[-SCORED // CHUNK - 1 :], dim=1)[0, -SCORED - 1 : -1])
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[-SCORED:]))
    return ContextResult(length, positions, cache_kind, float(loss.exp()), sum(found) / len(found), seconds, cache.bytes / 2**20)


def with_facts(language: Language, ids: Sequence[int], length: int) -> tuple[list[int], dict[str, str]]:
    """Return a text of `length` tokens with a fact about each city spread over all but its last SCORED tokens, and city → number."""
    generator = torch.Generator().manual_seed(length)
    numbers = torch.randint(10_000, 100_000, (len(CITIES),), generator=generator).tolist()
    facts = dict(zip(CITIES, map(str, numbers)))
    hidden = [language.tokenizer.encode(FACT.format(*fact), add_special_tokens=False).ids for fact in facts.items()]
    text = length - sum(map(len, hidden))
    cuts = [(2 * i + 1) * (text - SCORED) // (2 * len(hidden)) for i in range(len(hidden))]
    parts = [[*ids[begin:end], *fact] for begin, end, fact in zip([0, *cuts], cuts, hidden)]
    return [token for part in parts for token in part] + list(ids[cuts[-1] : text]), facts


@torch.inference_mode()
def needle_found(language: Language, ids: Sequence[int], depth: float) -> bool:
    """Hide one fact in a text, at a share of it from 0 to 1, read it, and return whether the fact is found again."""
    number = str(int(torch.randint(10_000, 100_000, (1,), generator=torch.Generator().manual_seed(len(ids) + int(100 * depth)))))
    fact, at = language.tokenizer.encode(FACT.format(CITIES[0], number), add_special_tokens=False).ids, int(depth * len(ids))
    tokens, cache = [*ids[:at], *fact, *ids[at:]], Cache(language.model.c.layers)
    for part in torch.tensor([tokens]).split(CHUNK, dim=1):
        language.model(language.model.embed(part), cache)
    return _answered(language.model, language, cache, CITIES[0], number)


def _answered(model: Llama, language: Language, cache: Cache, city: str, number: str) -> bool:
    """Whether the model goes on from the question with the number."""
    cache = cache.first(cache.length)
    ids = language.tokenizer.encode(ASKED.format(city), add_special_tokens=False).ids
    answer: list[int] = []
    for _ in range(len(number) + 2):  # a space, digits by themselves, and what ends them
        logits = model.logits(model(model.embed(torch.tensor([ids])), cache)[0, -1])
        ids = [int(logits.argmax())]
        answer += ids
    return language.tokenizer.decode(answer).strip().startswith(number)
