"""What kind of model a checkpoint is, by its config files alone: whether it can be a space, before its weights are downloaded."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ...core.errors import UnknownSpace
from ...core.files import json_rows, read_json

SHARD_INDEX = "model.safetensors.index.json"
"""Names the file of each tensor, where the weights are in several."""
HUB_WEIGHTS = (
    "open_clip_model.safetensors", "model.safetensors", SHARD_INDEX, "open_clip_pytorch_model.bin", "pytorch_model.bin",
    "adapter_model.safetensors",
)  # fmt: skip
"""Weights of a repository, in the order of preference: tensors that no code comes with first."""
WEIGHT_FILES = (*HUB_WEIGHTS, "model.pth")
"""Weights of a folder, in the order of preference."""

OURS = {"clip", "metaclip_2", "siglip", "siglip2"}
"""Kinds of transformers' models that our own towers can be."""
TWO_TOWERS = OURS | {"align", "altclip", "chinese_clip", "vision-text-dual-encoder"}
"""Kinds of transformers' models with an image and a text tower in one space."""

PICTURES_ONLY = {"dinov2", "dinov2_with_registers", "dinov3_convnext", "dinov3_vit", "vit"}
"""Kinds of transformers' models that know pictures and no words."""

_ASSISTANT = "answers questions about pictures and is no space"
OTHERS = {  # model_type → what it is, and what to do
    "bert": "a text model without an image tower; choose a CLIP or SigLIP kind of model",
    "clap": "a CLAP, which hears; add its audio tower to a space with: samespace spaces add-audio --clap {name}",
    "clip_text_model": "CLIP's text tower alone; choose a repository with both towers",
    "clip_vision_model": "CLIP's image tower alone; choose a repository with both towers",
    "llama": "a language model and no space; choose a CLIP or SigLIP kind of model",
    **dict.fromkeys(
        ("idefics3", "llava", "llava_next", "llava_onevision", "qwen3_vl", "smolvlm"),
        f"a model that {_ASSISTANT}; install it with: samespace assistants pull {{name}}",
    ),
    "siglip_vision_model": "SigLIP's image tower alone; choose a repository with both towers",
    "whisper": "a Whisper, which transcribes speech and is no space; choose a CLIP or SigLIP kind of model",
}  # fmt: skip
ENDPOINTS = {"gemma3", "mllama", "paligemma", "qwen2_5_vl", "qwen2_vl"}
"""Vision-language models that other programs serve."""


MODULES = "modules.json"
"""Of sentence-transformers: the list of a model's parts."""
KNOWN_BY_THEIR_FILE = ("space.json", "open_clip_config.json", MODULES, "adapter_config.json")
"""Our own, open_clip's, sentence-transformers' and peft's: what they are is seen when they are read."""


def in_order(names: Collection[str]) -> list[str]:
    """Return the weights among the names of files, the best first: open_clip's own before those that were converted from them."""
    found = [name for name in WEIGHT_FILES if name in names]
    return sorted(found, key=lambda name: not name.startswith("open_clip_")) if "open_clip_config.json" in names else found


def has_weights(folder: Path) -> bool:
    """Whether a folder holds weights in a file that torch reads."""
    return any((folder / file).exists() for file in (*WEIGHT_FILES, "space.json"))


def is_words_only(folder: Path) -> bool:
    """Whether a folder holds a text model of sentence-transformers, without an image tower."""
    parts = modules_of(folder)
    return bool(parts) and not str(parts[0].get("type", "")).endswith("CLIPModel") and not is_embedder(folder)


def is_embedder(folder: Path) -> bool:
    """Whether a folder holds a Qwen3-VL-Embedding: one model for pictures and words."""
    config = folder / "config.json"
    return bool(modules_of(folder)) and config.exists() and read_json(config).get("model_type") == "qwen3_vl"


def modules_of(folder: Path) -> list[dict[str, Any]]:
    """Return the parts that a folder's modules.json lists; none where there is no such file. Raises UnknownSpace."""
    if not (folder / MODULES).exists():
        return []
    try:
        parts = json_rows((folder / MODULES).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnknownSpace(f"{folder / MODULES} cannot be read ({error}); download it again") from None
    if strange := next((part for part in parts if not str(part.get("type", "")).startswith("sentence_transformers.")), None):
        raise UnknownSpace(
            f"{folder.name} has a part of its own, {str(strange.get('type'))[:100]!r}, whose code is never run here; choose a model that "
            "sentence-transformers has"
        )
    return parts


def check_pictures(folder: Path, name: str) -> None:
    """Raises UnknownSpace where a folder holds a text model alone."""
    if is_words_only(folder):
        raise UnknownSpace(
            f"{name} is a text model alone; name the space whose pictures it was trained for, such as: --joins openai/clip-vit-base-patch32"
        )


def check(folder: Path, name: str, joins: str = "") -> None:
    """Raises UnknownSpace where a folder's config files show that it cannot become a space; `name` is what was asked for.

    joins: the space whose pictures a text model is to join; empty for none.
    """
    if not joins:
        check_pictures(folder, name)
    if any((folder / file).exists() for file in KNOWN_BY_THEIR_FILE):
        return
    if not (folder / "config.json").exists():
        raise UnknownSpace(
            f"{name} has neither open_clip_config.json nor config.json, so what it is cannot be known; name a repository, or give the folder, that has one"
        )
    values = read_json(folder / "config.json")
    if "auto_map" in values and values.get("model_type") not in TWO_TOWERS | PICTURES_ONLY:
        raise UnknownSpace(
            f"{name} comes with code of its own, which is never run here; choose a model that open_clip or transformers has"
        )
    if is_timm(values) or {"embed_dim", "text_cfg", "vision_cfg"} <= set(values):  # timm's, and open_clip's as Immich keeps it
        return
    check_kind(values.get("model_type"), name)


def is_timm(values: dict[str, Any]) -> bool:
    """Whether a config.json is timm's."""
    return "architecture" in values and "pretrained_cfg" in values


def check_kind(kind: object, name: str) -> None:
    """Raises UnknownSpace where transformers' `model_type` is not a model of two towers; it says what it is, and what to do."""
    if kind in TWO_TOWERS | PICTURES_ONLY:
        return
    if kind in ENDPOINTS:
        raise UnknownSpace(f"{name} is a {kind} model, which {_ASSISTANT}; it runs in Ollama: samespace ask -a ollama:MODEL")
    if kind in OTHERS:
        raise UnknownSpace(f"{name} is {OTHERS[str(kind)].format(name=name)}")
    check_two_towers(kind, name)


def check_two_towers(kind: object, name: str) -> None:
    """Raises UnknownSpace where transformers' `model_type` is not a model of two towers."""
    if not kind:
        raise UnknownSpace(f"{name} has a config.json without model_type, so what it is cannot be known; choose a CLIP or SigLIP")
    if kind not in TWO_TOWERS:
        raise UnknownSpace(
            f"{name} is a {kind} model, which is not known to have an image and a text tower in one space; choose a CLIP or SigLIP"
        )
