"""Assistants as transformers writes them: LLaVA 1.5, LLaVA-NeXT, LLaVA-OneVision, Idefics 3, SmolVLM and Qwen3-VL → our settings and
weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..core.assistant_config import AnyresAssistantConfig, AssistantConfig, MergedAssistantConfig, ShuffledAssistantConfig
from ..core.config import ImageTower, Prep
from ..core.errors import UnknownAssistant, whole_config
from ..core.files import read_json
from ..spaces.checkpoints.families import is_embedder
from ..spaces.checkpoints.image_processors import CLIP, SIGLIP, processor_values, transformers_prep
from ..spaces.checkpoints.language_layout import language_config
from ..spaces.checkpoints.qwen3_vl_layout import merged_prep, merged_tower
from ..spaces.checkpoints.tensors import read_weights
from ..spaces.checkpoints.transformers_layout import ACTS, SIGLIP_TOWER, VISION_KEYS, transformer_sizes
from ..spaces.checkpoints.weight_maps import Weights, assistant_names

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


def read(folder: Path) -> tuple[AssistantConfig, Weights]:
    """Read a folder: its settings, and weights under our names. Raises UnknownAssistant, WeightsMismatch, UnknownSpace."""
    c = settings(folder, str(folder))
    weights = assistant_names(read_weights(folder))
    c = replace(c, name=folder.name, lm=replace(c.lm, tied="lm.head.weight" not in weights))
    if c.lm.tied and "lm.token_embed.weight" in weights:
        weights["lm.head.weight"] = weights["lm.token_embed.weight"]
    return c, weights


def settings(folder: Path, name: str) -> AssistantConfig:
    """Read a folder's settings, for which its weights are not needed. Raises UnknownAssistant, UnknownSpace."""
    values = read_json(folder / "config.json")
    kind = values.get("model_type")
    if is_embedder(folder):
        raise UnknownAssistant(f"{name} gives vectors and answers nothing; install it as a space: samespace spaces pull {name}")
    if kind not in KINDS:
        raise UnknownAssistant(
            f"{name} is a {kind!r} model; supported here: {', '.join(KINDS)}. Others run in Ollama: samespace ask -a ollama:MODEL"
        )
    with whole_config(folder, UnknownAssistant):
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
    longest = int((processor.get("size") or {}).get("longest_edge", 4 * size))
    frame = int(((processor.get("video_sampling") or {}).get("video_size") or {}).get("longest_edge", longest))
    c = _joined(ShuffledAssistantConfig, values, folder, image, prep, -1)
    c = replace(c, shuffle=int(values.get("scale_factor", 2)), longest=longest, frame=frame)
    return c if processor.get("do_image_splitting", True) else replace(c, longest=0, frame=longest)


def _merged(values: Values, folder: Path) -> AssistantConfig:
    """Qwen3-VL: pictures in their own shape and size, several layers shown."""
    image = merged_tower(values)
    return _joined(MergedAssistantConfig, values, folder, image, merged_prep(processor_values(folder), image), -1)


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
