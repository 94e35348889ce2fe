"""transformers' CLIPModel and SiglipModel folders: config.json and preprocessor_config.json → our settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..core.config import ImageTower, Prep, TextTower
from ..core.errors import UnknownSpace
from .tensors import read_json

Tower = TypeVar("Tower", ImageTower, TextTower)

SHARED_KEYS = {
    "hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads", "intermediate_size": "mlp",
    "layer_norm_eps": "eps",
}  # fmt: skip
VISION_KEYS = SHARED_KEYS | {"image_size": "image_size", "patch_size": "patch"}
TEXT_KEYS = SHARED_KEYS | {"vocab_size": "vocab", "max_position_embeddings": "context"}
ACTS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}
RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # PIL's numbers, as preprocessor_config.json has them


def clip_towers(values: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """Read config.json of a CLIPModel; what a file leaves out has the first CLIP's value."""
    v, t = values.get("vision_config", {}), values.get("text_config", {})
    v, t = v | (values.get("vision_config_dict") or {}), t | (values.get("text_config_dict") or {})
    dim = values.get("projection_dim", 512)
    image = ImageTower(act="quick_gelu", dim=dim)
    text = TextTower(act="quick_gelu", pad=49407, dim=dim)
    image, text = transformer_sizes(image, v, VISION_KEYS), transformer_sizes(text, t, TEXT_KEYS)
    end = t.get("eos_token_id", 49407)
    return image, replace(text, end=text.vocab - 1 if end == 2 else end)  # 2: a known slip in old configs


def siglip_towers(values: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """Read config.json of a SiglipModel; what a file leaves out has siglip-base-patch16-224's value."""
    if values.get("text_config", {}).get("vocab_size", 32000) > 100_000:
        raise UnknownSpace("this is a SigLIP 2 model, whose tokenizer is not supported yet; use a SigLIP (1) or CLIP model")
    image = ImageTower(patch=16, act="gelu_tanh", eps=1e-6, pool="attention", norm_pre=False, patch_bias=True, dim=0)
    text = TextTower(
        vocab=32000, context=64, width=768, heads=12, mlp=3072, act="gelu_tanh", eps=1e-6, mask="none", pool="last",
        end=1, pad=1, dim=768, proj_bias=True,
    )  # fmt: skip
    image = transformer_sizes(image, values.get("vision_config", {}), VISION_KEYS)
    text = transformer_sizes(text, values.get("text_config", {}), TEXT_KEYS)
    return image, replace(text, dim=values.get("text_config", {}).get("projection_size", text.width))


def transformer_sizes(tower: Tower, values: dict[str, Any], keys: dict[str, str]) -> Tower:
    """Return a tower's settings, overridden by those of a transformers config. Raises UnknownSpace."""
    changes = {ours: values[theirs] for theirs, ours in keys.items() if theirs in values}
    if (act := values.get("hidden_act")) is not None:
        if act not in ACTS:
            raise UnknownSpace(f"activation {act!r} is not supported; supported here: {', '.join(ACTS)}")
        changes["act"] = ACTS[act]
    return replace(tower, **changes)


def transformers_prep(folder: Path, image: ImageTower, text: TextTower, siglip: bool) -> Prep:
    """Read preprocessor_config.json, with transformers' defaults."""
    values = read_json(folder / "preprocessor_config.json") if (folder / "preprocessor_config.json").exists() else {}
    prep = Prep(
        size=image.image_size, context=text.context, pad=text.pad, crop="floor",
        resize="squash" if siglip else "shortest", clean="siglip" if siglip else "none",
    )  # fmt: skip
    default = (0.5, 0.5, 0.5) if siglip else None
    mean, std = values.get("image_mean", default or prep.mean), values.get("image_std", default or prep.std)
    resample = RESAMPLE.get(values.get("resample", 3), "bicubic")
    return replace(prep, mean=tuple(mean), std=tuple(std), interpolation=resample)
