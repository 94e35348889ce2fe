"""Texts that are longer than a language model was trained for: what the user chose, and what that makes of its settings and its cache."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..core.assistant_config import LanguageModel
from ..core.errors import QueryError, UnknownAssistant
from ..models.lm import GROWTH, SINKS, Cache, Int8Cache, WindowCache
from ..spaces.checkpoints.language_layout import scaled

CONTEXT, CACHE = "SAMESPACE_CONTEXT", "SAMESPACE_CACHE"
"""Environment variables of the settings below."""
EXACT, INT8, WINDOW = CACHES = ("exact", "int8", "window")
MOST_FACTOR = 16
"""Longest text, as a multiple of the longest one of the training, that is tried."""


@dataclass(frozen=True)
class LongContext:
    """How long texts are read."""

    context: int = 0
    """Tokens that the model shall read; beyond what it was trained for, its positions are stretched (YaRN). 0 for what it was trained for."""
    cache: str = EXACT
    """exact; int8, which takes a quarter of the memory; or window: the first and the latest tokens alone are seen, and a text may go on
    without end."""

    @staticmethod
    def chosen() -> "LongContext":
        """Return what the environment names. Raises QueryError."""
        named, cache = os.environ.get(CONTEXT, "0").strip() or "0", os.environ.get(CACHE, "").strip().lower() or EXACT
        if cache not in CACHES:
            raise QueryError(f"there is no cache {cache!r}; use {', '.join(CACHES)}")
        if not named.isdecimal():
            raise QueryError(f"the context is {named!r}; give a number of tokens, such as 32768")
        return LongContext(int(named), cache)

    def of(self, c: LanguageModel) -> LanguageModel:
        """Return a language model's settings for the context. Raises UnknownAssistant where it cannot be stretched so far."""
        if self.endless and c.rope_sections:
            raise UnknownAssistant(
                "this model places pictures in rows and columns, which a window would tear apart; choose another cache"
            )
        if self.context <= c.context:
            return c
        if c.rope_divisors or c.rope_growth or c.rope_sections:
            raise UnknownAssistant(f"this model's positions are stretched already, to {c.context} tokens; leave --context out")
        factor = self.context / c.context
        if factor > MOST_FACTOR:
            raise UnknownAssistant(
                f"this model was trained for {c.context} tokens; {MOST_FACTOR} times as many are the most: {MOST_FACTOR * c.context}"
            )
        yarn = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": c.context}
        return replace(scaled(c, yarn), context=self.context)

    def new_cache(self, c: LanguageModel) -> Cache:
        """Return an empty cache."""
        made: dict[str, Callable[[], Cache]] = {
            EXACT: lambda: Cache(c.layers), INT8: lambda: Int8Cache(c.layers),
            WINDOW: lambda: WindowCache(c.layers, min(c.context // 2 - SINKS, c.window or c.context), slack=GROWTH),
        }  # fmt: skip
        return made[self.cache]()

    @property
    def endless(self) -> bool:
        """Whether a text may be longer than the context."""
        return self.cache == WINDOW
