"""Qwen3-VL's config.json and image processor → our settings: for the assistant and for Qwen3-VL-Embedding."""

import math
from dataclasses import replace
from typing import Any

from ...core.config import MergedImageTower, Prep
from ...core.errors import UnsupportedModel
from .image_processors import CLIP, transformers_prep
from .transformers_layout import transformer_sizes

Values = dict[str, Any]

TOWER: Values = {
    "depth": 27, "hidden_size": 1152, "hidden_act": "gelu_pytorch_tanh", "intermediate_size": 4304, "num_heads": 16, "in_channels": 3,
    "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [8, 16, 24],
}  # fmt: skip
"""Qwen3-VL's image tower where the file says nothing."""
KEYS = {"depth": "layers", "hidden_size": "width", "intermediate_size": "mlp", "num_heads": "heads"}
"""Keys of its config → fields of MergedImageTower."""
LEAST, MOST = 56 * 56, 28 * 28 * 1280
"""Pixels of a picture where the processor's file says nothing."""


def merged_tower(values: Values) -> MergedImageTower:
    """Read the image tower's part of a config.json. Raises UnsupportedModel."""
    v = TOWER | values.get("vision_config", {})
    if v["in_channels"] != 3:
        raise UnsupportedModel(f"the image tower takes {v['in_channels']} channels; choose one for RGB pictures")
    tower = MergedImageTower(
        image_size=math.isqrt(v["num_position_embeddings"]) * v["patch_size"], patch=v["patch_size"], merge=v["spatial_merge_size"],
        frames=v["temporal_patch_size"], deep=tuple(v["deepstack_visual_indexes"]), eps=1e-6, pool="mean", norm_pre=False,
        patch_bias=True, dim=0,
    )  # fmt: skip
    return transformer_sizes(tower, v, KEYS)


def merged_prep(processor: Values, tower: MergedImageTower) -> Prep:
    """Read an image processor's settings for a tower. Raises UnsupportedModel on a setting that is unknown or does not fit it."""
    cutting = {"patch_size": tower.patch, "merge_size": tower.merge, "temporal_patch_size": tower.frames}
    for name, wanted in cutting.items():
        if processor.get(name, wanted) != wanted:
            raise UnsupportedModel(
                f"the image processor has {name} {processor[name]}, the image tower {wanted}; correct one of them"
            )
    size = processor.get("size") or {}
    least = int(processor.get("min_pixels") or size.get("shortest_edge") or LEAST)
    most = int(processor.get("max_pixels") or size.get("longest_edge") or MOST)
    fixed = {"size": {"height": tower.image_size, "width": tower.image_size}, "do_center_crop": False}
    plain = {name: value for name, value in processor.items() if name not in {*cutting, "size", "min_pixels", "max_pixels"}}
    prep = transformers_prep(plain | fixed, CLIP, tower.image_size)  # the filter, mean and std
    return replace(
        prep, size=math.isqrt(most), resize="native", patch=tower.patch, merge=tower.merge, patches=most // tower.patch**2,
        least_pixels=least,
    )  # fmt: skip
