"""How a checkpoint wants its pictures: transformers' image processors and open_clip's preprocess_cfg → our settings.

Every setting is read or refused by name: one that were passed over would give other vectors without a word.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from ...core.config import Prep
from ...core.errors import UnsupportedModel
from ...core.files import read_json

Values = dict[str, Any]

CLIP: Values = {
    "do_resize": True, "size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": True, "crop_size": 224,
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": Prep.mean, "image_std": Prep.std,
    "default_to_square": False, "do_pad": False,
}  # fmt: skip
"""What a CLIPImageProcessor does where its file says nothing."""
SIGLIP: Values = CLIP | {
    "size": {"height": 224, "width": 224}, "do_center_crop": False, "default_to_square": True, "image_mean": (0.5,) * 3, "image_std": (0.5,) * 3,
}  # fmt: skip
"""What a SiglipImageProcessor does where its file says nothing."""
FLEX: Values = {name: SIGLIP[name] for name in ("do_resize", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")} | {
    "resample": 2, "patch_size": 16, "max_num_patches": 256,
}  # fmt: skip
"""What a Siglip2ImageProcessor does where its file says nothing."""
WITHOUT_EFFECT = {
    "image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "do_convert_rgb", "auto_map", "_valid_processor_keys",
    "data_format", "input_data_format", "return_tensors", "device", "disable_grouping", "pad_size",
}  # fmt: skip
"""Settings without an effect on one RGB picture of any size."""
OFF = {"include_top", "rescale_offset", "do_reduce_labels"}
"""Settings without an effect where they are false."""
OPEN_CLIP_KEYS = {"size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"}


def processor_values(folder: Path, part: str = "image_processor") -> Values:
    """Return a processor's settings: of processor_config.json (transformers 5), else preprocessor_config.json, else none."""
    if (folder / "processor_config.json").exists():
        nested = read_json(folder / "processor_config.json").get(part)
        if isinstance(nested, dict):
            return nested
    file = folder / "preprocessor_config.json"
    return read_json(file) if file.exists() else {}


def transformers_prep(values: Values, defaults: Values, size: int) -> Prep:
    """Return an image processor's settings as ours, for a tower that takes pictures of `size` pixels.

    Raises UnsupportedModel on a setting that is unknown, or asks for what the tower could not take.
    """
    values = _known(values, defaults)
    if not values:  # no file: pictures of the tower's size
        defaults = defaults | {"size": dict.fromkeys(defaults["size"], size), "crop_size": size}
    v = defaults | values
    if not v["do_resize"] or v["do_pad"]:
        raise UnsupportedModel(
            "the image processor keeps or pads a picture's size; models for pictures of any size are not supported"
        )
    resize, side = _resizing(v["size"], v["default_to_square"])
    cropped = _side(v["crop_size"]) if v["do_center_crop"] else side
    if resize == "shortest" and not v["do_center_crop"]:
        raise UnsupportedModel(
            "the image processor keeps proportions without a crop; models for pictures of any shape are not supported"
        )
    if cropped != size or side < cropped:
        raise UnsupportedModel(
            f"the image processor makes pictures of {cropped} pixels, the image tower takes {size}; correct one of them"
        )
    mean, std = _normalization(v)
    return Prep(
        size=size, resize=resize, resize_to=side if side != size else 0, crop="floor",
        interpolation=_filter(v["resample"]), mean=mean, std=std,
    )  # fmt: skip


def flex_prep(values: Values, patch: int) -> Prep:
    """Return the settings of a Siglip2ImageProcessor, for a tower with patches of `patch` pixels. Raises UnsupportedModel."""
    v = FLEX | _known(values, FLEX)
    if not v["do_resize"] or v["patch_size"] != patch:
        raise UnsupportedModel(
            f"the image processor cuts patches of {v['patch_size']} pixels, the image tower takes {patch}; correct one of them"
        )
    mean, std = _normalization(v)
    most = int(v["max_num_patches"])
    return Prep(
        size=math.isqrt(most) * patch,
        resize="patches",
        patch=patch,
        patches=most,
        interpolation=_filter(v["resample"]),
        mean=mean,
        std=std,
    )


def _known(values: Values, defaults: Values) -> Values:
    """Return what is set, as transformers writes null for what is not. Raises UnsupportedModel on a setting that is unknown."""
    values = {name: value for name, value in values.items() if value is not None and not (name in OFF and value is False)}
    if unknown := sorted(set(values) - set(defaults) - WITHOUT_EFFECT):
        raise UnsupportedModel(
            f"the image processor has a setting that is not known here, {unknown[0]!r}; report it with the model's name"
        )
    return values


def _resizing(size: Any, square: bool) -> tuple[str, int]:
    """Return Prep.resize and the side, of {"shortest_edge": S}, {"height": S, "width": S} or S, which is both if `square`."""
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        return "shortest", int(size["shortest_edge"])
    return "squash" if square or isinstance(size, dict) else "shortest", _side(size)


def _side(size: Any) -> int:
    """Return S of {"height": S, "width": S} or S. Raises UnsupportedModel where the two differ."""
    if isinstance(size, int):
        return size
    if isinstance(size, dict) and set(size) == {"height", "width"} and size["height"] == size["width"]:
        return int(size["height"])
    raise UnsupportedModel(f"the image processor resizes to {size}; only squares are supported")


def _normalization(v: Values) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and std for pixels in 0…1, of a processor that may rescale otherwise or not at all."""
    factor = 255.0 * float(v["rescale_factor"] if v["do_rescale"] else 1)
    mean, std = (v["image_mean"], v["image_std"]) if v["do_normalize"] else ((0.0,) * 3, (1.0,) * 3)
    if len(mean) != 3 or len(std) != 3:
        raise UnsupportedModel(f"the image processor has a mean of {len(mean)} numbers; pictures have three channels")
    if abs(factor - 1) < 1e-6:
        factor = 1.0
    return tuple(float(m) / factor for m in mean), tuple(float(s) / factor for s in std)  # type: ignore[return-value]


def _filter(resample: int) -> str:
    """Return Prep.interpolation, of Pillow's number. Raises UnsupportedModel."""
    try:
        return Image.Resampling(resample).name.lower()
    except ValueError:
        raise UnsupportedModel(f"the image processor resamples with filter {resample!r}, which Pillow does not have") from None


def open_clip_prep(values: Values, size: int) -> Prep:
    """Return open_clip's preprocess_cfg as our settings, for a tower that takes pictures of `size` pixels. Raises UnsupportedModel."""
    values = {name: value for name, value in values.items() if value is not None}  # as transformers writes what was not set
    if unknown := sorted(set(values) - OPEN_CLIP_KEYS):
        raise UnsupportedModel(
            f"preprocess_cfg has a setting that is not known here, {unknown[0]!r}; report it with the model's name"
        )
    sides = values.get("size", size)
    sides = tuple(sides) if isinstance(sides, list) else (sides, sides)
    if sides != (size, size) or values.get("mode", "RGB") != "RGB":
        raise UnsupportedModel(
            f"preprocess_cfg wants {values.get('mode', 'RGB')} pictures of {sides}; only RGB squares of {size} are supported"
        )
    prep = Prep(
        size=size, interpolation=values.get("interpolation", "bicubic"), resize=values.get("resize_mode", "shortest"),
        padding=values.get("fill_color", 0),
    )  # fmt: skip
    if prep.interpolation not in ("bicubic", "bilinear") or prep.resize not in ("shortest", "squash", "longest"):
        raise UnsupportedModel(
            f"preprocess_cfg has resize mode {prep.resize!r} and interpolation {prep.interpolation!r}, which are not supported"
        )
    if prep.resize != "longest":
        prep = replace(prep, padding=Prep.padding)
    return replace(prep, mean=tuple(values.get("mean", Prep.mean)), std=tuple(values.get("std", Prep.std)))
