"""Text models of sentence-transformers that were trained to give the vectors of another model's space."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from ...core.config import LibraryTextTower, Prep, SpaceConfig
from ...core.files import read_json
from ...models.layers import Tap
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.tokenizer_files import MOST_CONTEXT
from .reference import LibraryEncoder, Reference, reading

PROMPTS = "config_sentence_transformers.json"


class SentenceEncoder(LibraryEncoder):
    """A pipeline of sentence-transformers; the attention mask is computed from the ids."""

    def __init__(self, model: Any, pad: int):
        super().__init__(model, None, None)
        self.pad = pad

    def encode_text(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """int64 (B, T) → z: (B, E), unit length."""
        features = {"input_ids": ids, "attention_mask": (ids != self.pad).long()}
        return F.normalize(self.model(features)["sentence_embedding"], dim=-1)


class SentenceReference(Reference):
    """A text model as sentence-transformers runs it."""

    library = f"sentence-transformers {sentence_transformers.__version__}"
    towers: tuple[str, ...] = ("text",)

    def __init__(self, folder: Path):
        """Read a folder; code in it is never run. Raises UnknownSpace where sentence-transformers cannot."""
        options: dict[str, Any] = {"model_kwargs": {"attn_implementation": "eager"}, "local_files_only": True}
        with reading("sentence-transformers", folder):
            self.model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", **options).eval()
        values = read_json(folder / PROMPTS) if (folder / PROMPTS).exists() else {}
        self.prompt = str((values.get("prompts") or {}).get(values.get("default_prompt_name") or "query") or "")

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, E), unit length."""
        return self._encoded(list(texts))

    def _encoded(self, items: list[Any]) -> np.ndarray:
        z = self.model.encode(items, prompt=self.prompt or None, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(z, np.float32)

    def words(self) -> tuple[Tokenizer, str]:
        """Return its tokenizer, and the cleaning before it."""
        return Tokenizer.from_str(self.model.tokenizer.backend_tokenizer.to_str()), "none"

    def checkpoint(self) -> Checkpoint:
        """Return the model as it can be exported."""
        tokenizer, clean = self.words()
        pad, context, dim = (
            self.model.tokenizer.pad_token_id,
            int(self.model.max_seq_length or MOST_CONTEXT),
            self.text(["a"]).shape[1],
        )
        prep = replace(Prep(), context=context, pad=pad, pad_to_context=False, clean=clean, prefix=self.prompt)
        text = LibraryTextTower(context=context, pad=pad, dim=dim, library=self.library)
        return Checkpoint(SentenceEncoder(self.model, pad), SpaceConfig(text=text, prep=prep), tokenizer)
