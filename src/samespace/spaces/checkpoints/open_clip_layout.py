"""open_clip folders: open_clip_config.json → our settings; CLIP, or the SigLIP variants with a timm ViT."""

import re
from typing import Any

from ...core.config import ImageTower, TextTower
from ...core.errors import UnsupportedModel

OPEN_CLIP_MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_bias", "init_logit_scale"}
OPEN_CLIP_VISION = {
    "image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio",
    "timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj",
}  # fmt: skip
OPEN_CLIP_TEXT = {
    "context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "no_causal_mask", "proj_bias", "pool_type",
    "norm_kwargs", "act_kwargs", "hf_tokenizer_name", "tokenizer_kwargs", "hf_model_name",
}  # fmt: skip
"""Settings we know the meaning of; a model with others would load and be wrong."""


def towers_of(model: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """Read an open_clip model_cfg: CLIP, or the SigLIP variants with a timm ViT. Raises UnsupportedModel."""
    v, t = model.get("vision_cfg", {}), model.get("text_cfg", {})
    strange = {*model} - OPEN_CLIP_MODEL | {*v} - OPEN_CLIP_VISION | {*t} - OPEN_CLIP_TEXT
    if strange or not {"embed_dim", "vision_cfg", "text_cfg"} <= {*model}:
        raise UnsupportedModel(f"it is an open_clip model of a kind that is not supported yet {sorted(strange)}; try a ViT CLIP")
    return (timm_tower(v) if "timm_model_name" in v else open_clip_image(model)), open_clip_text(model)


def open_clip_image(model: dict[str, Any]) -> ImageTower:
    """Read vision_cfg of an open_clip CLIP. Raises UnsupportedModel."""
    v = model["vision_cfg"]
    if not isinstance(v.get("layers", 12), int):
        raise UnsupportedModel("this open_clip model has a ResNet image tower; only its ViT models are supported here")
    width = v.get("width", 768)
    return ImageTower(
        image_size=v.get("image_size", 224), patch=v.get("patch_size", 16), width=width, layers=v.get("layers", 12),
        heads=width // v.get("head_width", 64), mlp=int(width * v.get("mlp_ratio", 4.0)),
        act="quick_gelu" if model.get("quick_gelu") else "gelu", dim=model["embed_dim"],
    )  # fmt: skip


TIMM_SIZES = {"base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096), "so400m": (1152, 27, 16, 4304)}
TIMM_SIGLIP = re.compile(r"vit_(base|large|so400m)_patch(\d+)_siglip_(\d+)")
TIMM_TANH = {
    "vit_base_patch32_siglip_256", "vit_large_patch16_siglip_512",
    "vit_so400m_patch16_siglip_256", "vit_so400m_patch16_siglip_384", "vit_so400m_patch16_siglip_512",
}  # fmt: skip
"""timm's SigLIP ViTs whose GELU is the tanh approximation; the others' is exact."""


def timm_tower(v: dict[str, Any]) -> ImageTower:
    """Return a SigLIP ViT that open_clip takes from timm, by its name, such as vit_base_patch16_siglip_224."""
    name = v["timm_model_name"]
    if not (match := TIMM_SIGLIP.fullmatch(name)) or v.get("timm_pool", "avg") != "map" or v.get("timm_proj", "none") != "none":
        raise UnsupportedModel(f"image tower {name!r} is not supported; of timm's, only SigLIP's ViTs are")
    width, layers, heads, mlp = TIMM_SIZES[match[1]]
    return ImageTower(
        image_size=v.get("image_size", 224), patch=int(match[2]), width=width, layers=layers, heads=heads, mlp=mlp,
        act="gelu_tanh" if name in TIMM_TANH else "gelu", eps=1e-6, pool="attention", norm_pre=False, patch_bias=True, dim=0,
    )  # fmt: skip


def open_clip_cleaning(t: dict[str, Any]) -> str:
    """Return Prep.clean: what text_cfg asks of open_clip's tokenizer, or its default. Raises UnsupportedModel."""
    settings = t.get("tokenizer_kwargs") or {}
    clean = settings.get("clean", "whitespace" if t.get("hf_tokenizer_name") else "lower")
    if clean not in OPEN_CLIP_CLEANING or (strange := sorted(set(settings) - {"clean", STRIP})):
        named = clean if clean not in OPEN_CLIP_CLEANING else strange[0]
        raise UnsupportedModel(
            f"the open_clip tokenizer has a setting that is not supported here, {named!r}; report it with the model's name"
        )
    return OPEN_CLIP_CLEANING[clean]


STRIP = "strip_sep_token"
"""Setting of open_clip's tokenizer: the token that ends a text becomes 0."""
OPEN_CLIP_CLEANING = {"lower": "clip", "whitespace": "whitespace", "canonicalize": "canonicalize"}
"""open_clip's name → Prep.clean."""


def open_clip_text(model: dict[str, Any]) -> TextTower:
    """Read text_cfg of an open_clip model; `no_causal_mask` marks SigLIP's. Raises UnsupportedModel."""
    t = model["text_cfg"]
    if "hf_model_name" in t:
        raise UnsupportedModel(f"text tower {t['hf_model_name']!r} is not supported; open_clip's own text towers are")
    width, siglip = t.get("width", 512), t.get("no_causal_mask", False)
    act = "quick_gelu" if model.get("quick_gelu") else "gelu"
    if (t.get("act_kwargs") or {}).get("approximate") == "tanh":
        act = "gelu_tanh"
    if (pool := t.get("pool_type", "argmax")) not in ("argmax", "last"):
        raise UnsupportedModel(f"a text tower that pools by {pool!r} is not supported; those that take the end of a text are")
    vocab = t.get("vocab_size", 49408)
    return TextTower(
        vocab=vocab, context=t.get("context_length", 77), width=width, layers=t.get("layers", 12),
        heads=t.get("heads", 8), mlp=int(width * t.get("mlp_ratio", 4.0)), act=act,
        eps=(t.get("norm_kwargs") or {}).get("eps", 1e-5), mask="none" if siglip else "causal",
        pool="last" if pool == "last" else "end", end=1 if siglip else vocab - 1, pad=1 if siglip else 0,
        dim=model["embed_dim"], proj_bias=t.get("proj_bias", False),
    )  # fmt: skip
