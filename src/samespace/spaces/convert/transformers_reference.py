"""Two-tower models of transformers: get_image_features and get_text_features."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from ...core.config import LibraryImageTower, LibraryTextTower, SpaceConfig
from ...core.errors import UnknownSpace
from ...models.layers import Tap
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.image_processors import SIGLIP, transformers_prep
from ..checkpoints.tokenizer_files import MOST_CONTEXT, cleaning_of, read_tokenizer
from .reference import LibraryEncoder, Reference, reading

UNMASKED = {"siglip", "siglip2"}
"""Kinds of models whose texts are padded to their full length, and whose padding is attended to."""
POSITIONS_AFTER_PADDING = {"xlm-roberta", "roberta", "camembert"}
"""Kinds of text models whose positions are counted from the padding token's id on."""


def vectors_of(output: Any) -> Tensor:
    """Return the projected vectors of what transformers' get_…_features return: a tensor, or from version 5 on an object."""
    features: Tensor = getattr(output, "pooler_output", output)
    return features


def scale_of(model: Any) -> Tensor | None:
    """Return the logarithm of a model's inverse temperature; None where it has none."""
    scale: Tensor | None = getattr(model, "logit_scale", None)
    temperature: Tensor | None = getattr(model, "temperature", None)  # ALIGN's
    return -temperature.log() if scale is None and temperature is not None else scale


class TransformersEncoder(LibraryEncoder):
    """transformers' towers; the attention mask is computed from the ids."""

    def __init__(self, model: Any, pad: int, end: int | None):
        super().__init__(model, scale_of(model), getattr(model, "logit_bias", None))
        self.pad, self.end = pad, end

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """float32 (B, 3, S, S) → z: (B, E), unit length."""
        return F.normalize(vectors_of(self.model.get_image_features(pixel_values=pixels)), dim=-1)

    def encode_text(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """int64 (B, T) → z: (B, E), unit length."""
        masked = {} if self.model.config.model_type in UNMASKED else {"attention_mask": self.mask(ids)}
        return F.normalize(vectors_of(self.model.get_text_features(input_ids=ids, **masked)), dim=-1)

    def mask(self, ids: Tensor) -> Tensor:
        """Return 1 where there is no padding; where the end token is also the padding, its first one counts."""
        mask = (ids != self.pad).long()
        if self.pad != self.end:
            return mask
        return torch.cat([torch.ones_like(mask[:, :1]), mask[:, :-1]], dim=1)


def loaded(folder: Path, **settings: Any) -> Any:
    """Return a folder's model as transformers reads it, in fp32, on the CPU, without code of its own.

    Raises UnknownSpace where its files lack weights, which transformers would draw by chance.
    """
    model, info = transformers.AutoModel.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True, local_files_only=True,
        trust_remote_code=False, **settings,
    )  # fmt: skip
    if missing := sorted(info["missing_keys"]):
        raise UnknownSpace(f"its weights lack {', '.join(missing[:3])}{' and others' if missing[3:] else ''}")
    return model.eval()


class TransformersReference(Reference):
    """A model as transformers runs it."""

    library = f"transformers {transformers.__version__}"

    def __init__(self, folder: Path):
        """Read a folder; code in it is never run. Raises UnknownSpace where transformers cannot."""
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with reading("transformers", folder):
            self.model = loaded(folder, use_safetensors=None)
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
            self.processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **local)
        if not hasattr(self.model, "get_image_features") or not hasattr(self.model, "get_text_features"):
            raise UnknownSpace(
                f"{type(self.model).__name__} has no image and text towers in one space; choose a CLIP or SigLIP kind of model"
            )
        self.context = self._context()
        self.lowers = cleaning_of(folder, str(self.model.config.model_type)) == "lower"

    @torch.inference_mode()
    def image(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size → z: float32 (B, E), unit length."""
        z = [
            vectors_of(self.model.get_image_features(**self.processor(images=[picture], return_tensors="pt")))
            for picture in pictures
        ]
        return np.asarray(F.normalize(torch.cat(z), dim=-1))

    @torch.inference_mode()
    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, E), unit length."""
        inputs = self._tokenized(texts)
        if self.model.config.model_type in UNMASKED:
            inputs.pop("attention_mask", None)
        return np.asarray(F.normalize(vectors_of(self.model.get_text_features(**inputs)), dim=-1))

    def ids(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → token ids, padded: int64 (B, T)."""
        return np.asarray(self._tokenized(texts)["input_ids"])

    def words(self) -> tuple[Tokenizer, str]:
        """Return its tokenizer, and the cleaning before it."""
        if (inside := getattr(self.tokenizer, "backend_tokenizer", None)) is None:  # SentencePiece itself
            return read_tokenizer(Path(self.model.name_or_path)), "siglip"
        return Tokenizer.from_str(inside.to_str()), "lower" if self.lowers else "none"

    def _tokenized(self, texts: Sequence[str]) -> dict[str, Tensor]:
        written = [text.lower() for text in texts] if self.lowers else list(texts)
        found = self.tokenizer(written, padding="max_length", truncation=True, max_length=self.context, return_tensors="pt")
        return {name: found[name] for name in ("input_ids", "attention_mask") if name in found}

    def _context(self) -> int:
        """Return the length to which texts are padded: as many positions as the text tower has, 512 at most."""
        c = self.model.config.text_config
        positions = int(getattr(c, "max_position_embeddings", MOST_CONTEXT))
        if c.model_type in POSITIONS_AFTER_PADDING:
            positions -= c.pad_token_id + 1
        limit = int(self.tokenizer.model_max_length)
        return min(positions, limit, MOST_CONTEXT)

    def checkpoint(self) -> Checkpoint:
        """Return the model as it can be exported. Raises UnknownSpace on a setting of its preprocessing that is not known here."""
        pad, c = self.tokenizer.pad_token_id, self.model.config
        size, dim = self._size(), self.text(["a"]).shape[1]
        if pad is None:
            raise UnknownSpace(f"the tokenizer of {self.model.name_or_path} has no padding token; add one to its files")
        tokenizer, clean = self.words()
        prep = replace(transformers_prep(self.processor.to_dict(), SIGLIP, size), context=self.context, pad=pad, clean=clean)
        encoder = TransformersEncoder(self.model, pad, getattr(c.text_config, "eos_token_id", None))
        config = SpaceConfig(
            image=LibraryImageTower(image_size=size, dim=dim, library=self.library, model=type(self.model).__name__),
            text=LibraryTextTower(context=self.context, pad=pad, dim=dim, library=self.library),
            prep=prep, logit_scale=0.0 if scale_of(self.model) is None else encoder.logit_scale.exp().item(),
            logit_bias=None if encoder.logit_bias is None else encoder.logit_bias.item(),
        )  # fmt: skip
        return Checkpoint(encoder, config, tokenizer)

    def _size(self) -> int:
        """Return the side of the pictures that the processor makes."""
        pixels = self.processor(images=[Image.new("RGB", (300, 200))], return_tensors="pt")["pixel_values"]
        return int(pixels.shape[-1])
