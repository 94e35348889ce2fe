"""A folder of weights → towers, preprocessing and settings: ours, transformers', and open_clip's.

Reads safetensors, or `.bin` / `.pth` / `.pt` with `weights_only=True`; nothing from a checkpoint is ever executed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer

from ...core.config import ImageTower, Prep, SpaceConfig, TextTower
from ...core.errors import UnknownSpace, UnsupportedModel, whole_config
from ...core.files import read_json
from ...models.clip import DualEncoder
from ...models.vit import resize_position_embedding
from ...preprocess.pixels import batches, square
from ...preprocess.tokens import Words
from ..space import read_space_config
from .families import check_kind
from .image_processors import CLIP, FLEX, SIGLIP, flex_prep, open_clip_prep, processor_values, transformers_prep
from .open_clip_layout import STRIP, open_clip_cleaning, towers_of
from .tensors import check_weights, dequantize, fill, read_tensors, read_weights
from .tokenizer_files import check_vocabulary, cleaning_of, pad_id, read_tokenizer
from .towers import dual_encoder
from .transformers_layout import clip_towers, flex_siglip_towers, metaclip2_towers, siglip_towers
from .weight_maps import BERT, EFFICIENTNET, HF, OPEN_CLIP, Names, Weights, fold_norms, renamed

BATCH = 64
"""Pictures or texts that torch encodes at once."""


@dataclass
class Checkpoint:
    """A model with its settings and tokenizer; `config.weights` and `config.files` are set when it is exported."""

    model: DualEncoder
    """Our towers, or a library's in their shape (reference.LibraryEncoder)."""
    config: SpaceConfig
    tokenizer: Tokenizer | None
    """None where there are no words."""

    def image(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return z of pictures: float32 (B, E), unit length."""
        return self.pixels(np.stack([square(picture, self.config.prep) for picture in pictures]))

    @torch.inference_mode()
    def pixels(self, squares: np.ndarray) -> np.ndarray:
        """Prepared pictures, uint8 (B, *Prep.shape) → z: float32 (B, E), unit length."""
        parts = batches(squares, self.config.prep, BATCH)
        return np.concatenate([self.model.encode_image(self._there(part)).float().cpu().numpy() for part in parts])

    @torch.inference_mode()
    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, E), unit length."""
        parts = (self.words.ids(list(texts[i : i + BATCH])) for i in range(0, len(texts), BATCH))
        return np.concatenate([self.model.encode_text(self._there(part)).float().cpu().numpy() for part in parts])

    def _there(self, x: np.ndarray) -> torch.Tensor:
        """Return an array as a tensor on the model's device."""
        return torch.from_numpy(x).to(self.model.logit_scale.device)

    @property
    def words(self) -> Words:
        """The tokenizer with its cleaning and padding. Raises UnknownSpace where there is none."""
        if self.tokenizer is None:
            raise UnknownSpace(f"{self.config.name} knows pictures and no words; choose a CLIP or SigLIP kind of model")
        return Words(self.tokenizer, self.config.prep)


def load(folder: Path, name: str = "") -> Checkpoint:
    """Read any folder we know: a space, a transformers CLIP or SigLIP, an open_clip model. fp32, on the CPU.

    Raises UnknownSpace (nothing we know in the folder) and WeightsMismatch (weights that do not fit their config).
    """
    for file, read in FAMILIES.items():
        if (folder / file).exists():
            check_weights(folder)
            with whole_config(folder, UnknownSpace):
                checkpoint = read(folder)
            checkpoint.config = replace(checkpoint.config, name=name or checkpoint.config.name or folder.name)
            checkpoint.model.eval()
            return checkpoint
    raise UnknownSpace(
        f"{folder} holds none of {', '.join(FAMILIES)}; give the folder of a space, or of a CLIP, SigLIP or open_clip model"
    )


def load_space(folder: Path) -> Checkpoint:
    """Read our own folder; int8 weights are dequantized."""
    config = read_space_config(folder)
    model = dual_encoder(config.image, config.text, config.logit_bias is not None)
    fill(model, dequantize(read_tensors(folder / "model.safetensors")))
    return Checkpoint(model, config, read_tokenizer(folder))


def load_transformers(folder: Path) -> Checkpoint:
    """Read a folder of a CLIPModel, MetaClip2Model, SiglipModel or Siglip2Model of transformers."""
    values = read_json(folder / "config.json")
    check_kind(values.get("model_type"), str(folder))
    if values["model_type"] not in TRANSFORMERS_TOWERS:
        raise UnsupportedModel(f"{folder} is a {values['model_type']} model, which samespace's own towers are not")
    towers, defaults = TRANSFORMERS_TOWERS[values["model_type"]]
    image, text = towers(values)
    tokenizer = read_tokenizer(folder)
    text, processor = replace(text, pad=pad_id(folder, tokenizer, text.pad)), processor_values(folder)
    prep = flex_prep(processor, image.patch) if defaults is FLEX else transformers_prep(processor, defaults, image.image_size)
    prep = replace(prep, context=text.context, pad=text.pad, clean=cleaning_of(folder, values["model_type"]))
    return build(folder, image, text, prep, tokenizer, HF)


TRANSFORMERS_TOWERS: dict[str, tuple[Callable[[dict[str, Any]], tuple[ImageTower, TextTower]], dict[str, Any]]] = {
    "clip": (clip_towers, CLIP),
    "metaclip_2": (metaclip2_towers, CLIP),
    "siglip": (siglip_towers, SIGLIP),
    "siglip2": (flex_siglip_towers, FLEX),
}  # fmt: skip
"""model_type → what reads its towers' settings, and what its image processor does where its file says nothing."""


def load_open_clip(folder: Path) -> Checkpoint:
    """Read an open_clip folder: CLIP, or the SigLIP variants with a timm ViT."""
    values = read_json(folder / "open_clip_config.json")
    model, pre = values.get("model_cfg", {}), values.get("preprocess_cfg", {})
    image, text = towers_of(model)
    t = model["text_cfg"]
    if (t.get("tokenizer_kwargs") or {}).get(STRIP):
        raise UnsupportedModel(f"{folder} has a tokenizer whose end becomes padding, which samespace's own towers do not know")
    tokenizer = read_tokenizer(folder)
    if t.get("hf_tokenizer_name"):  # else open_clip's own tokenizer, which pads with 0
        text = replace(text, pad=pad_id(folder, tokenizer, text.pad))
    prep = replace(open_clip_prep(pre, image.image_size), context=text.context, pad=text.pad, clean=open_clip_cleaning(t))
    return build(folder, image, text, prep, tokenizer, OPEN_CLIP)


def build(folder: Path, image: ImageTower, text: TextTower, prep: Prep, tokenizer: Tokenizer, names: Names) -> Checkpoint:
    """Build towers of these settings and fill them with the folder's weights. Raises UnknownSpace, WeightsMismatch."""
    check_vocabulary(tokenizer, text.vocab)
    weights = renamed(read_weights(folder), names)
    bias = "logit_bias" in weights
    model = dual_encoder(image, text, bias)
    if (pos := weights.get("image.pos_embed")) is not None:
        grid, prefix = image.image_size // image.patch, int(image.pool == "class")
        weights["image.pos_embed"] = resize_position_embedding(pos, grid, prefix)
    weights.setdefault("logit_scale", model.logit_scale.detach())
    fill(model, weights)
    config = SpaceConfig(
        image=image, text=text, prep=prep, logit_scale=model.logit_scale.exp().item(),
        logit_bias=None if model.logit_bias is None else model.logit_bias.item(),
    )  # fmt: skip
    return Checkpoint(model, config, tokenizer)


FAMILIES: dict[str, Callable[[Path], Checkpoint]] = {
    "space.json": load_space,
    "open_clip_config.json": load_open_clip,
    "config.json": load_transformers,
}


def read_efficientnet(path: Path) -> Weights:
    """Read an EfficientNet-Lite release file as `image.trunk.*` and `image.prior.classifier.*`, batch norms folded."""
    return fold_norms(renamed(read_tensors(path), EFFICIENTNET))


def read_bert(path: Path) -> Weights:
    """Read a BertModel file as `text.*`; the one segment embedding in use is added to the positions."""
    weights = renamed(read_tensors(path), BERT)
    types = next(weights.pop(name) for name in list(weights) if name.endswith("token_type_embeddings.weight"))
    weights["text.pos_embed"] = weights["text.pos_embed"] + types[0]
    return weights


def without_audio(config: SpaceConfig) -> SpaceConfig:
    """Return the config without its audio tower."""
    others = {modality: weights for modality, weights in config.calibration.items() if modality != "audio"}
    precision = {tower: chosen for tower, chosen in config.card.get("precision", {}).items() if tower != "audio"}
    card = config.card | {"precision": precision}
    return replace(config, audio=None, audio_weights="", calibration=others, card=card)
