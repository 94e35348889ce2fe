"""Assistants as transformers writes them: LLaVA 1.5, LLaVA-NeXT, LLaVA-OneVision, Idefics 3, SmolVLM and Qwen3-VL → our settings and
weights."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..core.assistant_config import AnyresAssistantConfig, AssistantConfig, MergedAssistantConfig, ShuffledAssistantConfig
from ..core.config import ImageTower, MergedImageTower, Prep
from ..core.errors import UnknownAssistant
from ..core.files import read_json
from ..spaces.checkpoints.image_processors import CLIP, SIGLIP, processor_values, transformers_prep
from ..spaces.checkpoints.tensors import read_weights
from ..spaces.checkpoints.transformers_layout import ACTS, SIGLIP_TOWER, VISION_KEYS, transformer_sizes
from ..spaces.checkpoints.weight_maps import HF, LLAMA, QWEN3_VL, Weights, renamed
from .language import language_config

Values = dict[str, Any]
Kind = TypeVar("Kind", bound=AssistantConfig)
VISION_TOWERS: dict[str, tuple[ImageTower, Values, str]] = {
    "clip_vision_model": (ImageTower(act="quick_gelu", dim=0), CLIP, "default"),
    "siglip_vision_model": (replace(SIGLIP_TOWER, pool="mean"), SIGLIP, "full"),
}
"""A LLaVA's kind of image tower → its settings and its processor's where the files say nothing, and the strategy by which all of its
patches are shown and nothing else."""
ANYRES = {"image_grid_pinpoints", "do_pad", "pad_size"}
"""Settings of the processors that tile as LLaVA-NeXT does, beside those of CLIP's."""
ANYRES_SIZES = (336, 672, 672, 336, 672, 672, 1008, 336, 336, 1008)
"""LLaVA-NeXT's sizes where the files say nothing: height, width, …"""
SPLITTING = {"do_image_splitting", "max_image_size", "size", "do_pad", "video_sampling"}
"""Settings of the processors that tile as Idefics 3 does, beside filter, mean and std."""


MERGED_TOWER: Values = {
    "depth": 27, "hidden_size": 1152, "hidden_act": "gelu_pytorch_tanh", "intermediate_size": 4304, "num_heads": 16, "in_channels": 3,
    "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [8, 16, 24],
}  # fmt: skip
"""Qwen3-VL's image tower where the file says nothing."""
MERGED_KEYS = {"depth": "layers", "hidden_size": "width", "intermediate_size": "mlp", "num_heads": "heads"}
"""Keys of its config → fields of MergedImageTower."""
CUTTING = {"patch_size": "patch_size", "merge_size": "spatial_merge_size", "temporal_patch_size": "temporal_patch_size"}
"""Settings of Qwen's processors → keys of the image tower's, which say the same."""


def read(folder: Path) -> tuple[AssistantConfig, Weights]:
    """Read a folder: its settings, and weights under our names. Raises UnknownAssistant, WeightsMismatch, UnknownSpace."""
    c = settings(folder, str(folder))
    weights = names_of(read_weights(folder))
    c = replace(c, name=folder.name, lm=replace(c.lm, tied="lm.head.weight" not in weights))
    if c.lm.tied and "lm.token_embed.weight" in weights:
        weights["lm.head.weight"] = weights["lm.token_embed.weight"]
    return c, weights


def settings(folder: Path, name: str) -> AssistantConfig:
    """Read a folder's settings, for which its weights are not needed. Raises UnknownAssistant, UnknownSpace."""
    values = read_json(folder / "config.json")
    kind = values.get("model_type")
    if kind not in KINDS:
        raise UnknownAssistant(
            f"{name} is a {kind!r} model; supported here: {', '.join(KINDS)}. Others run in Ollama: samespace ask -a ollama:MODEL"
        )
    return KINDS[str(kind)](values, folder)


def _llava(values: Values, folder: Path) -> AssistantConfig:
    """LLaVA 1.5, and others of its architecture: all patches of one layer, a two-layer projector."""
    image, defaults, layer = _image_tower(values, folder, -2)
    prep = transformers_prep(processor_values(folder), defaults, image.image_size)
    return _joined(AssistantConfig, values, folder, image, prep, layer)


def _llava_next(values: Values, folder: Path) -> AssistantConfig:
    """LLaVA-NeXT: tiles of the size that fits best."""
    image, defaults, layer = _image_tower(values, folder, -2)
    processor = processor_values(folder)
    sizes = processor.get("image_grid_pinpoints") or values.get("image_grid_pinpoints")
    prep = transformers_prep({k: v for k, v in processor.items() if k not in ANYRES}, defaults, image.image_size)
    sides = tuple(int(side) for size in sizes for side in size) if sizes else ANYRES_SIZES
    if image.image_size != prep.resized_side or any(side % image.image_size for side in sides):
        raise UnknownAssistant(
            f"{folder} has sizes that are not whole tiles of {image.image_size} pixels; correct its processor's file"
        )
    c = _joined(AnyresAssistantConfig, values, folder, image, replace(prep, resize="squash"), layer)
    return replace(c, sizes=sides)


def _onevision(values: Values, folder: Path) -> AssistantConfig:
    """LLaVA-OneVision: as LLaVA-NeXT, with SigLIP, and shrunk where there would be too many patches."""
    ratio = str(values.get("vision_aspect_ratio", "anyres_max_9"))
    if not ratio.startswith("anyres_max_"):
        raise UnknownAssistant(f"{folder} has vision_aspect_ratio {ratio!r}; only anyres_max_… is supported")
    start = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
    c = _llava_next(start | values, folder)
    assert isinstance(c, AnyresAssistantConfig)  # _llava_next makes one
    return replace(c, most_tiles=int(ratio.removeprefix("anyres_max_")), alone=True)


def _shuffled(values: Values, folder: Path) -> AssistantConfig:
    """Idefics 3 and SmolVLM: SigLIP's tower without a head, squares of patches joined."""
    start = {"image_size": 224, "patch_size": 32, "hidden_act": "gelu_pytorch_tanh"}  # of Idefics 3's config
    image = transformer_sizes(replace(SIGLIP_TOWER, pool="mean"), start | values.get("vision_config", {}), VISION_KEYS)
    processor, size = processor_values(folder), image.image_size
    side = (processor.get("max_image_size") or {}).get("longest_edge", size)
    if side != size:
        raise UnknownAssistant(
            f"{folder} cuts tiles of {side} pixels, its image tower takes {size}; correct its processor's file"
        )
    plain = {k: v for k, v in processor.items() if k not in SPLITTING}
    squares = {"size": {"height": size, "width": size}, "do_center_crop": False, "resample": 1}
    prep = transformers_prep(squares | plain, SIGLIP, size)
    longest = (processor.get("size") or {}).get("longest_edge", 4 * size) if processor.get("do_image_splitting", True) else 0
    c = _joined(ShuffledAssistantConfig, values, folder, image, prep, -1)
    return replace(c, shuffle=int(values.get("scale_factor", 2)), longest=int(longest))


def _merged(values: Values, folder: Path) -> AssistantConfig:
    """Qwen3-VL: pictures in their own shape and size, several layers shown."""
    v, processor = MERGED_TOWER | values.get("vision_config", {}), processor_values(folder)
    cut = {name: processor.get(name, v[theirs]) for name, theirs in CUTTING.items()}
    if any(cut[name] != v[theirs] for name, theirs in CUTTING.items()) or v["in_channels"] != 3:
        raise UnknownAssistant(f"{folder} cuts other patches than its image tower takes; correct its processor's file")
    image = MergedImageTower(
        image_size=math.isqrt(v["num_position_embeddings"]) * v["patch_size"], patch=v["patch_size"], merge=v["spatial_merge_size"],
        frames=v["temporal_patch_size"], deep=tuple(v["deepstack_visual_indexes"]), pool="mean", norm_pre=False, patch_bias=True, dim=0,
    )  # fmt: skip
    size = processor.get("size") or {}
    least, most = (
        int(processor.get(old) or size.get(new) or default)
        for old, new, default in (("min_pixels", "shortest_edge", 56 * 56), ("max_pixels", "longest_edge", 28 * 28 * 1280))
    )
    squares = {"size": {"height": 0, "width": 0}, "do_center_crop": False}  # it only tells the filter, mean and std
    plain = {k: value for k, value in processor.items() if k not in {*CUTTING, "size", "min_pixels", "max_pixels"}}
    prep = transformers_prep(squares | plain, CLIP, 0)
    c = _joined(MergedAssistantConfig, values, folder, transformer_sizes(image, v, MERGED_KEYS), prep, -1)
    return replace(c, least_pixels=least, most_pixels=most)


KINDS: dict[str, Callable[[Values, Path], AssistantConfig]] = {
    "llava": _llava, "llava_next": _llava_next, "llava_onevision": _onevision, "idefics3": _shuffled, "smolvlm": _shuffled,
    "qwen3_vl": _merged,
}  # fmt: skip
"""transformers' model_type → what reads its settings."""


def _image_tower(values: Values, folder: Path, layer: int) -> tuple[ImageTower, Values, int]:
    """Return a LLaVA's image tower, its processor's defaults, and the layer that is shown. Raises UnknownAssistant."""
    vision, act = values.get("vision_config", {}), values.get("projector_hidden_act", "gelu")
    kind, layer = vision.get("model_type"), values.get("vision_feature_layer", layer)
    if kind not in VISION_TOWERS or act not in ACTS:
        raise UnknownAssistant(f"{folder} has a {kind!r} image tower; only CLIP's and SigLIP's are supported here")
    start, defaults, strategy = VISION_TOWERS[kind]
    if not isinstance(layer, int) or layer >= 0 or values.get("vision_feature_select_strategy", "default") != strategy:
        raise UnknownAssistant(f"{folder} shows several layers or the class token; only one layer's patches are supported")
    return transformer_sizes(start, vision, VISION_KEYS), defaults, layer


def _joined(kind: type[Kind], values: Values, folder: Path, image: ImageTower, prep: Prep, layer: int) -> Kind:
    """Return settings of a kind, with the language model's."""
    lm = language_config({"model_type": "llama"} | values.get("text_config", {}), folder)
    act = ACTS[values.get("projector_hidden_act", "gelu")]
    return kind(image=image, prep=prep, lm=lm, feature_layer=layer, projector_act=act)


PARTS = {  # a weight's name begins with → the part, and what it is called there
    "vision_tower.vision_model.": ("image", "vision_model."),
    "vision_tower.": ("image", "vision_model."),
    "vision_model.": ("image", "vision_model."),
    "visual.": ("image", "visual."),
    "multi_modal_projector.linear_": ("projector", "projector.fc"),
    "connector.modality_projection.proj.": ("projector", "projector."),
    "image_newline": ("projector", "newline"),
    "language_model.lm_head.": ("lm", "lm_head."),
    "lm_head.": ("lm", "lm_head."),
    "language_model.model.": ("lm", "model."),
    "language_model.": ("lm", "model."),
    "text_model.": ("lm", "model."),
}


def names_of(weights: Weights) -> Weights:
    """Rename weights, as they are called before and since transformers 5, to ours. What is not known keeps its name."""
    parts: dict[str, Weights] = {"image": {}, "projector": {}, "lm": {}, "": {}}
    for name, tensor in weights.items():
        short = name.removeprefix("model.")
        start = next((start for start in PARTS if short.startswith(start)), None)
        part, renamed_start = PARTS[start] if start else ("", "")
        parts[part][renamed_start + short.removeprefix(start or "") if start else name] = tensor
    image = {
        name: tensor for name, tensor in renamed(parts["image"], [*HF, *QWEN3_VL]).items() if not name.startswith("image.pool.")
    }
    projector = {name: tensor.float() for name, tensor in parts["projector"].items()}
    return image | projector | {f"lm.{name}": tensor for name, tensor in renamed(parts["lm"], LLAMA).items()} | parts[""]
