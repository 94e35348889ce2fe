"""Qwen3-VL-Embedding: its vectors by sentence-transformers, and our Qwen3-VL as what is exported.

A vector is the hidden state of the last token of a conversation that holds the instruction and the picture or text.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from PIL import Image
from tokenizers import Tokenizer

from ...core.assistant_config import MergedAssistantConfig
from ...core.config import LibraryImageTower, LibraryTextTower, Prep, SpaceConfig
from ...core.files import read_json
from ...models.lm import Llama
from ...models.qwen3_vl import MergedViT, Qwen3Vl, Qwen3VlEncoder
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.image_processors import processor_values
from ..checkpoints.language_layout import language_config
from ..checkpoints.qwen3_vl_layout import merged_prep, merged_tower
from ..checkpoints.tensors import fill, read_weights
from ..checkpoints.weight_maps import assistant_names
from .reference import reading
from .sentence_reference import SentenceReference

MOST_CONTEXT = 8192
"""Longer texts are cut, as in its authors' own code."""
TEXT, PICTURE = "{text}", "<|image_pad|>"
"""What stands for a text in a rendered conversation, and for each token of a picture."""


class Qwen3VlReference(SentenceReference):
    """A Qwen3-VL-Embedding as sentence-transformers runs it, its pictures resized by Pillow."""

    towers = ("image", "text")

    def __init__(self, folder: Path):
        """Read a folder; code in it is never run. Raises UnknownSpace where sentence-transformers cannot."""
        super().__init__(folder)
        self.folder = folder
        self.processor: Any = self.model.processor
        with reading("transformers", folder):
            self.processor.image_processor = transformers.AutoImageProcessor.from_pretrained(
                folder, backend="pil", local_files_only=True
            )

    def image(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size → z: float32 (B, E), unit length."""
        return np.concatenate([self._encoded([picture]) for picture in pictures])

    def words(self) -> tuple[Tokenizer, str]:
        """Return its tokenizer, and the cleaning before it."""
        return Tokenizer.from_str(self.processor.tokenizer.backend_tokenizer.to_str()), "none"

    def checkpoint(self) -> Checkpoint:
        """Return the model as it can be exported. Raises UnknownSpace."""
        with reading("samespace", self.folder):
            model, prep = self._model()
        tokenizer, clean = self.words()
        left, right = self._rendered({"type": "text", "text": TEXT}).split(TEXT)
        pad, context = self.processor.tokenizer.pad_token_id, min(int(self.model.max_seq_length or MOST_CONTEXT), MOST_CONTEXT)
        ids = tokenizer.encode(self._rendered({"type": "image"})).ids
        at = ids.index(int(tokenizer.token_to_id(PICTURE) or 0))
        width = model.c.lm.width
        config = SpaceConfig(
            image=LibraryImageTower(image_size=prep.size, dim=width, library=self.library, model="Qwen3-VL-Embedding"),
            text=LibraryTextTower(context=context, pad=pad, dim=width, library=self.library),
            logit_scale=0.0, prep=replace(prep, context=context, pad=pad, pad_to_context=False, clean=clean, prefix=left, suffix=right),
        )  # fmt: skip
        return Checkpoint(Qwen3VlEncoder(model, ids[:at], ids[at + 1 :]), config, tokenizer)

    def _model(self) -> tuple[Qwen3Vl, Prep]:
        """Return our model, filled with the folder's weights, and its preprocessing of pictures."""
        values = read_json(self.folder / "config.json")
        image, lm = merged_tower(values), language_config(values.get("text_config", {}), self.folder)
        prep = merged_prep(processor_values(self.folder), image)
        model = Qwen3Vl(MergedAssistantConfig(image=image, prep=prep, lm=lm), MergedViT(image), Llama(lm))
        weights = assistant_names(read_weights(self.folder))
        weights["lm.head.weight"] = model.lm.head.weight.detach()  # the encoder has none
        fill(model, weights)
        return model.eval(), prep

    def _rendered(self, part: dict[str, str]) -> str:
        """Return a conversation with the instruction and one part of a message, as text."""
        system = {"role": "system", "content": [{"type": "text", "text": self.prompt}]}
        turns: list[dict[str, Any]] = [*([system] if self.prompt else []), {"role": "user", "content": [part]}]
        return str(self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
