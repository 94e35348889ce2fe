"""An assistant's folder: read in our own layout or transformers', written in our own."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.assistant_config import AssistantConfig, LabelledAssistantConfig
from ..core.config import config_from_file, to_json
from ..core.errors import UnknownAssistant
from ..core.files import sha256, write_text_atomically
from ..models import int4
from ..models.int8 import quantize, use_int8_layers
from ..models.llava import Llava
from ..models.llava_next import LlavaNext
from ..models.lm import Cache, Llama
from ..models.qwen3_vl import Qwen3Vl
from ..models.smolvlm import SmolVlm
from ..models.starter.labelled_llava import LabelledLlava
from ..preprocess.tokens import read_tokenizer
from ..spaces.checkpoints.tensors import check_weights, dequantize, fill, read_tensors
from ..spaces.checkpoints.towers import image_tower
from ..spaces.checkpoints.weight_maps import Weights
from . import transformers_folder
from .chat import Chat
from .engine import Assistant
from .language import Language, read_template

CONFIG, WEIGHTS = "assistant.json", "model.safetensors"
ARCHS: dict[str, Callable[..., Llava]] = {
    "llava": Llava, "llava_next": LlavaNext, "smolvlm": SmolVlm, "qwen3_vl": Qwen3Vl,
    "labelled_llava": LabelledLlava,
}  # fmt: skip
"""AssistantConfig.arch → what is built."""


def build(c: AssistantConfig, image: nn.Module | None = None, lm: Llama | None = None) -> Llava:
    """Build an assistant's model; an image tower or language model that is not given gets random weights."""
    tower: Any = image or image_tower(c.image)  # an nn.Module's attributes have no types
    return ARCHS[c.arch](c, tower, lm or Llama(c.lm))


def labelled_config(c: AssistantConfig, **changes: Any) -> LabelledAssistantConfig:
    """Return an assistant's config as that of a LabelledLlava; `changes` are its labels or positions, for example."""
    values = {f.name: getattr(c, f.name) for f in fields(c)} | {"arch": LabelledAssistantConfig.arch} | changes
    return LabelledAssistantConfig(**values)


def load(folder: Path) -> Assistant:
    """Load an assistant from its folder; int4 and int8 weights stay so. Raises UnknownAssistant, WeightsMismatch."""
    model, language = read(folder, quantized=True)
    return Assistant(model, Chat(language), model.c.name or folder.name)


def read(folder: Path, quantized: bool = False) -> tuple[Llava, Language]:
    """Read a folder's model and language: fp32, or with `quantized` int4 and int8 weights as they are.

    Raises UnknownAssistant, WeightsMismatch.
    """
    check_weights(folder)
    if (folder / CONFIG).exists():
        model = _read_own(folder, quantized)
    elif (folder / "config.json").exists():
        config, weights = transformers_folder.read(folder)
        model = build(config)
        fill(model, weights)
    else:
        raise UnknownAssistant(f"{folder} holds neither {CONFIG} nor config.json; give an assistant's folder, or a LLaVA's")
    template, special_tokens = read_template(folder)
    return model.eval(), Language(model.lm, read_tokenizer(folder / "tokenizer.json"), template, special_tokens)


def _read_own(folder: Path, quantized: bool) -> Llava:
    """Read a folder of our own layout. Raises UnknownAssistant, WeightsMismatch."""
    stored = read_tensors(folder / WEIGHTS)
    model = build(read_config(folder))
    fill(model, _with_tied_head(dequantize(stored), model.c))
    if quantized:
        int4.use_int4_layers(model, stored)
        use_int8_layers(model, _with_tied_head(stored, model.c))
    return model


def read_config(folder: Path) -> AssistantConfig:
    """Read FOLDER/assistant.json. Raises UnknownAssistant."""
    return config_from_file(folder / CONFIG, AssistantConfig, UnknownAssistant, "install the assistant again")


def _with_tied_head(weights: Weights, c: AssistantConfig) -> Weights:
    """Add the head's weights where they are the embedding's and stored once."""
    if not c.lm.tied:
        return weights
    heads = {name.replace("token_embed", "head"): t for name, t in weights.items() if name.startswith("lm.token_embed.")}
    return weights | heads


def write(folder: Path, model: Llava, language: Language, precision: str = "int8", **changes: Any) -> AssistantConfig:
    """Write an assistant's folder: fp16 weights, with int8 those of the language model's linear layers and embedding as int8.

    precision: int4, int8 or fp16; with int4, the linear layers of its blocks are int4 where their shape allows it. `changes` are
    fields of its config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm.head.weight" and model.c.lm.tied:
            continue
        matrix = name.startswith("lm.") and tensor.ndim == 2
        if precision == "int4" and matrix and name.startswith("lm.blocks.") and int4.fits(tensor):
            stored |= dict(zip((f"{name}_int4", f"{name}_scale", f"{name}_centre"), int4.quantize(tensor)))
        elif precision != "fp16" and matrix:
            stored[f"{name}_quantized"], stored[f"{name}_scale"] = quantize(tensor)
        else:
            stored[name] = tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, folder / WEIGHTS)
    language.tokenizer.save(str(folder / "tokenizer.json"))
    write_text_atomically(folder / "chat_template.jinja", language.template)
    write_text_atomically(folder / "tokenizer_config.json", json.dumps(language.special_tokens, indent=2))
    files = {f.name: sha256(f) for f in sorted(folder.iterdir()) if f.name != CONFIG}
    return write_config(folder, replace(model.c, files=files, **changes))


def write_config(folder: Path, config: AssistantConfig) -> AssistantConfig:
    """Write FOLDER/assistant.json, and return the config."""
    write_text_atomically(folder / CONFIG, to_json(config))
    return config


def perplexity(model: Llava, language: Language, texts: list[str]) -> float:
    """Return exp of the mean negative log likelihood of the texts' tokens, each text by itself, read as answers are written: a few
    tokens at a time."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for text in texts:
            ids, cache = torch.tensor([language.tokenizer.encode(text).ids]), Cache(model.c.lm.layers)
            parts = [model.lm.logits(model.lm(model.lm.embed(part), cache)) for part in ids.split(int4.FEW_ROWS, dim=1)]
            logits = torch.cat(parts, dim=1)[0, :-1]
            total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            count += ids.shape[1] - 1
    return float(torch.tensor(total / count, dtype=torch.float64).exp())
