"""Folders of transformers' CLIPModel, MetaClip2Model, SiglipModel and Siglip2Model: config.json → the settings of our towers."""

from dataclasses import fields, replace
from math import isqrt
from typing import Any, TypeVar

from ...core.config import FlexImageTower, ImageTower, TextTower
from ...core.errors import UnsupportedModel

Tower = TypeVar("Tower", bound=ImageTower | TextTower)

SHARED_KEYS = {
    "hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads", "intermediate_size": "mlp",
    "layer_norm_eps": "eps",
}  # fmt: skip
VISION_KEYS = SHARED_KEYS | {"image_size": "image_size", "patch_size": "patch"}
TEXT_KEYS = SHARED_KEYS | {"vocab_size": "vocab", "max_position_embeddings": "context"}
ACTS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}

SIGLIP_TOWER = ImageTower(patch=16, act="gelu_tanh", eps=1e-6, pool="attention", norm_pre=False, patch_bias=True, dim=0)
"""SigLIP's image tower, siglip-base-patch16-224's."""


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


def metaclip2_towers(values: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """Read config.json of a MetaClip2Model: a CLIP with the words of XLM-V."""
    t = {"vocab_size": 901629, "eos_token_id": 2, "pad_token_id": 1, "hidden_act": "gelu"} | values.get("text_config", {})
    v = {"hidden_act": "gelu"} | values.get("vision_config", {})
    image, text = clip_towers(values | {"vision_config": v, "text_config": t})
    return image, replace(text, end=t["eos_token_id"], pad=t["pad_token_id"])


def flex_siglip_towers(values: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """Read config.json of a Siglip2Model, whose pictures have any shape; the learned positions are those of a square."""
    image, text = siglip_towers({"text_config": {"vocab_size": 256000} | values.get("text_config", {})} | {"vision_config": {}})
    v = {"patch_size": 16, "num_patches": 256} | values.get("vision_config", {})
    side = isqrt(v["num_patches"]) * v["patch_size"]
    image = FlexImageTower(**{f.name: getattr(image, f.name) for f in fields(image) if f.name != "arch"})
    return replace(transformer_sizes(image, v, VISION_KEYS), image_size=side), text


def siglip_towers(values: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """Read config.json of a SiglipModel; what a file leaves out has siglip-base-patch16-224's value."""
    text = TextTower(
        vocab=32000, context=64, width=768, heads=12, mlp=3072, act="gelu_tanh", eps=1e-6, mask="none", pool="last",
        end=1, pad=1, dim=768, proj_bias=True,
    )  # fmt: skip
    image = transformer_sizes(SIGLIP_TOWER, values.get("vision_config", {}), VISION_KEYS)
    text = transformer_sizes(text, values.get("text_config", {}), TEXT_KEYS)
    return image, replace(text, dim=values.get("text_config", {}).get("projection_size", text.width))


def transformer_sizes(tower: Tower, values: dict[str, Any], keys: dict[str, str]) -> Tower:
    """Return a tower's settings, overridden by those of a transformers config. Raises UnsupportedModel."""
    changes = {ours: values[theirs] for theirs, ours in keys.items() if theirs in values}
    if (act := values.get("hidden_act")) is not None:
        if act not in ACTS:
            raise UnsupportedModel(f"activation {act!r} is not supported; supported here: {', '.join(ACTS)}")
        changes["act"] = ACTS[act]
    return replace(tower, **changes)
