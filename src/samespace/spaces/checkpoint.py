"""A folder of weights -> towers, preprocessing and settings; ours, transformers', and open_clip's.

Reads safetensors, or `.bin` / `.pth` / `.pt` with `weights_only=True`; nothing from a checkpoint is ever executed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn

from ..core.config import ImageTower, Prep, SpaceConfig, TextTower
from ..core.errors import UnknownSpace, WeightsMismatch
from ..models.clip import DualEncoder
from ..models.vit import resize_position_embedding
from ..preprocess import tokens
from .space import read_space_config
from .towers import dual_encoder
from .weight_maps import BERT, EFFICIENTNET, HF, OPEN_CLIP, Names, Weights, fold_norms, renamed

WEIGHT_FILES = (
    "open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin", "model.pth",
)  # fmt: skip
RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # PIL's numbers, as preprocessor_config.json has them


@dataclass
class Checkpoint:
    """What a folder holds: `config.weights` and `config.files` are filled when it is exported."""

    model: DualEncoder
    config: SpaceConfig
    tokenizer: Tokenizer


def load(folder: Path, name: str = "") -> Checkpoint:
    """Read any folder we know: a space, a transformers CLIP or SigLIP, an open_clip model. fp32, on the CPU.

    Raises UnknownSpace (nothing we know in the folder) and WeightsMismatch (weights that do not fit their config).
    """
    for file, read in FAMILIES.items():
        if (folder / file).exists():
            checkpoint = read(folder)
            checkpoint.config = replace(checkpoint.config, name=name or checkpoint.config.name or folder.name)
            checkpoint.model.eval()
            return checkpoint
    raise UnknownSpace(
        f"{folder} holds none of {', '.join(FAMILIES)}; give the folder of a space, or of a CLIP, SigLIP or open_clip model"
    )


def load_space(folder: Path) -> Checkpoint:
    """Our own folder; int8 weights come back as the numbers they stand for."""
    config = read_space_config(folder)
    model = dual_encoder(config.image, config.text, config.logit_bias is not None)
    fill(model, dequantize(read_tensors(folder / "model.safetensors")))
    return Checkpoint(model, config, read_tokenizer(folder))


def load_transformers(folder: Path) -> Checkpoint:
    """A transformers CLIPModel or SiglipModel folder."""
    values = read_json(folder / "config.json")
    towers = {"clip": clip_towers, "siglip": siglip_towers}.get(values.get("model_type"))
    if towers is None:
        raise UnknownSpace(f"{folder} is a {values.get('model_type')!r} model; supported here: clip, siglip, open_clip")
    image, text = towers(values)
    prep = transformers_prep(folder, image, text, siglip=values["model_type"] == "siglip")
    return built(folder, image, text, prep, HF)


def clip_towers(values: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """config.json of a CLIPModel; what a file leaves out has the first CLIP's value."""
    v, t = values.get("vision_config", {}), values.get("text_config", {})
    v, t = v | (values.get("vision_config_dict") or {}), t | (values.get("text_config_dict") or {})
    dim = values.get("projection_dim", 512)
    image = ImageTower(act="quick_gelu", dim=dim)
    text = TextTower(act="quick_gelu", pad=49407, dim=dim)
    image, text = transformer_sizes(image, v, VISION_KEYS), transformer_sizes(text, t, TEXT_KEYS)
    end = t.get("eos_token_id", 49407)
    return image, replace(text, end=text.vocab - 1 if end == 2 else end)  # 2: a known slip in old configs


def siglip_towers(values: dict[str, Any]) -> tuple[ImageTower, TextTower]:
    """config.json of a SiglipModel; what a file leaves out has siglip-base-patch16-224's value."""
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


SHARED_KEYS = {
    "hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads", "intermediate_size": "mlp",
    "layer_norm_eps": "eps",
}  # fmt: skip
VISION_KEYS = SHARED_KEYS | {"image_size": "image_size", "patch_size": "patch"}
TEXT_KEYS = SHARED_KEYS | {"vocab_size": "vocab", "max_position_embeddings": "context"}
ACTS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}


def transformer_sizes(tower: Any, values: dict[str, Any], keys: dict[str, str]) -> Any:
    """A tower's settings with those of a transformers config laid over them."""
    changes = {ours: values[theirs] for theirs, ours in keys.items() if theirs in values}
    if (act := values.get("hidden_act")) is not None:
        if act not in ACTS:
            raise UnknownSpace(f"activation {act!r} is not supported; supported here: {', '.join(ACTS)}")
        changes["act"] = ACTS[act]
    return replace(tower, **changes)


def transformers_prep(folder: Path, image: ImageTower, text: TextTower, siglip: bool) -> Prep:
    """preprocessor_config.json and the tokenizer's habits as transformers has them."""
    values = read_json(folder / "preprocessor_config.json") if (folder / "preprocessor_config.json").exists() else {}
    prep = Prep(
        size=image.image_size, context=text.context, pad=text.pad, crop="floor",
        resize="squash" if siglip else "shortest", clean="siglip" if siglip else "none",
    )  # fmt: skip
    default = (0.5, 0.5, 0.5) if siglip else None
    mean, std = values.get("image_mean", default or prep.mean), values.get("image_std", default or prep.std)
    resample = RESAMPLE.get(values.get("resample", 3), "bicubic")
    return replace(prep, mean=tuple(mean), std=tuple(std), interpolation=resample)


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


def load_open_clip(folder: Path) -> Checkpoint:
    """An open_clip folder: CLIP, or the SigLIP variants with a timm ViT."""
    values = read_json(folder / "open_clip_config.json")
    model, pre = values.get("model_cfg", {}), values.get("preprocess_cfg", {})
    v, t = model.get("vision_cfg", {}), model.get("text_cfg", {})
    strange = {*model} - OPEN_CLIP_MODEL | {*v} - OPEN_CLIP_VISION | {*t} - OPEN_CLIP_TEXT
    if strange or not {"embed_dim", "vision_cfg", "text_cfg"} <= {*model}:
        raise UnknownSpace(
            f"{folder} is an open_clip model of a kind that is not supported yet {sorted(strange)}; try a ViT CLIP"
        )
    image, text = (timm_tower(v) if "timm_model_name" in v else open_clip_image(model)), open_clip_text(model)
    prep = Prep(
        size=image.image_size, context=text.context, pad=text.pad,
        mean=tuple(pre.get("mean", Prep.mean)), std=tuple(pre.get("std", Prep.std)),
        interpolation=pre.get("interpolation", "bicubic"), resize=pre.get("resize_mode", "shortest"),
        clean={"canonicalize": "canonicalize"}.get(t.get("tokenizer_kwargs", {}).get("clean"), "clip"),
    )  # fmt: skip
    return built(folder, image, text, prep, OPEN_CLIP)


def open_clip_image(model: dict[str, Any]) -> ImageTower:
    """vision_cfg of an open_clip CLIP."""
    v = model["vision_cfg"]
    if not isinstance(v.get("layers", 12), int):
        raise UnknownSpace("this open_clip model has a ResNet image tower; only its ViT models are supported here")
    width = v.get("width", 768)
    return ImageTower(
        image_size=v.get("image_size", 224), patch=v.get("patch_size", 16), width=width, layers=v.get("layers", 12),
        heads=width // v.get("head_width", 64), mlp=int(width * v.get("mlp_ratio", 4.0)),
        act="quick_gelu" if model.get("quick_gelu") else "gelu", dim=model["embed_dim"],
    )  # fmt: skip


TIMM_SIZES = {"base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096), "so400m": (1152, 27, 16, 4304)}


def timm_tower(v: dict[str, Any]) -> ImageTower:
    """The SigLIP ViTs that open_clip takes from timm, told by name: vit_base_patch16_siglip_224."""
    parts = v["timm_model_name"].split("_")
    if parts[0] != "vit" or "siglip" not in parts or parts[1] not in TIMM_SIZES:
        raise UnknownSpace(f"image tower {v['timm_model_name']!r} is not supported; of timm's, only SigLIP's ViTs are")
    width, layers, heads, mlp = TIMM_SIZES[parts[1]]
    return ImageTower(
        image_size=v.get("image_size", 224), patch=int(parts[2].removeprefix("patch")), width=width, layers=layers,
        heads=heads, mlp=mlp, act="gelu", eps=1e-6, pool="attention", norm_pre=False, patch_bias=True, dim=0,
    )  # fmt: skip


def open_clip_text(model: dict[str, Any]) -> TextTower:
    """text_cfg of an open_clip model; `no_causal_mask` marks SigLIP's."""
    t = model["text_cfg"]
    if "hf_model_name" in t:
        raise UnknownSpace(f"text tower {t['hf_model_name']!r} is not supported; open_clip's own text towers are")
    width, siglip = t.get("width", 512), t.get("no_causal_mask", False)
    act = "quick_gelu" if model.get("quick_gelu") else "gelu"
    if (t.get("act_kwargs") or {}).get("approximate") == "tanh":
        act = "gelu_tanh"
    vocab = t.get("vocab_size", 49408)
    return TextTower(
        vocab=vocab, context=t.get("context_length", 77), width=width, layers=t.get("layers", 12),
        heads=t.get("heads", 8), mlp=int(width * t.get("mlp_ratio", 4.0)), act=act,
        eps=(t.get("norm_kwargs") or {}).get("eps", 1e-5), mask="none" if siglip else "causal",
        pool="last" if t.get("pool_type") == "last" else "end", end=1 if siglip else vocab - 1, pad=1 if siglip else 0,
        dim=model["embed_dim"], proj_bias=t.get("proj_bias", False),
    )  # fmt: skip


def built(folder: Path, image: ImageTower, text: TextTower, prep: Prep, names: Names) -> Checkpoint:
    """Towers of these settings with the folder's weights in them."""
    file = next((folder / f for f in WEIGHT_FILES if (folder / f).exists()), None)
    if file is None:
        raise UnknownSpace(f"{folder} holds none of {', '.join(WEIGHT_FILES)}; download the weights too")
    weights = renamed(read_tensors(file), names)
    bias = "logit_bias" in weights
    model = dual_encoder(image, text, bias)
    if (pos := weights.get("image.pos_embed")) is not None:
        weights["image.pos_embed"] = resize_position_embedding(pos, model.image.grid, int(image.pool == "class"))
    weights.setdefault("logit_scale", model.logit_scale.detach())
    fill(model, weights)
    config = SpaceConfig(
        image=image, text=text, prep=prep, logit_scale=model.logit_scale.exp().item(),
        logit_bias=model.logit_bias.item() if bias else None,
    )  # fmt: skip
    return Checkpoint(model, config, read_tokenizer(folder))


FAMILIES: dict[str, Callable[[Path], Checkpoint]] = {
    "space.json": load_space,
    "open_clip_config.json": load_open_clip,
    "config.json": load_transformers,
}


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnknownSpace(f"{path} cannot be read ({error}); download it again")


def read_tokenizer(folder: Path) -> Tokenizer:
    """tokenizer.json, or CLIP's vocab.json and merges.txt made into one."""
    if (folder / "tokenizer.json").exists():
        return tokens.read_tokenizer(folder / "tokenizer.json")
    try:
        if (folder / "merges.txt").exists():
            merges = [tuple(line.split()) for line in (folder / "merges.txt").read_text("utf-8").split("\n")[1:] if line]
            return clip_tokenizer(read_json(folder / "vocab.json"), merges)
    except UnknownSpace:
        raise
    except Exception as error:  # the library raises bare Exception
        raise UnknownSpace(f"the tokenizer in {folder} cannot be read ({error}); download it again")
    raise UnknownSpace(f"{folder} holds no tokenizer.json, nor vocab.json and merges.txt; download the tokenizer too")


def clip_tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """CLIP's byte-pair encoding, from its vocabulary and merges."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=end, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocab[start]), (end, vocab[end])]
    )
    tokenizer.add_special_tokens([start, end])
    return tokenizer


def read_tensors(path: Path) -> Weights:
    """All tensors of one weights file, on the CPU. Raises WeightsMismatch on a file that is not one."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, ValueError, KeyError) as error:
        raise WeightsMismatch(f"{path} is not a readable weights file ({error}); download it again")
    except Exception as error:  # pickle.UnpicklingError, RuntimeError: a broken file, or one that asks to run code
        raise WeightsMismatch(f"{path} is not a file of plain tensors and is refused; use .safetensors ({error})")
    loaded = loaded.get("state_dict", loaded)
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def dequantize(weights: Weights) -> Weights:
    """A space's stored tensors as fp32: halves widened, `X_quantized · X_scale` multiplied out, `X.T` turned back."""
    out: Weights = {}
    for name, tensor in weights.items():
        if name.endswith("_scale") and name.removesuffix("_scale") + "_quantized" in weights:
            continue
        if name.endswith("_quantized"):
            name = name.removesuffix("_quantized")
            tensor = tensor.float() * weights[f"{name}_scale"]
        tensor = tensor.float()
        out[name.removesuffix(".T")] = tensor.T if name.endswith(".T") else tensor
    return out


def read_efficientnet(path: Path) -> Weights:
    """An EfficientNet-Lite release file → `image.trunk.*` and `image.prior.classifier.*`, batch norms folded."""
    return fold_norms(renamed(read_tensors(path), EFFICIENTNET))


def read_bert(path: Path) -> Weights:
    """A BertModel file → `text.*`; the one segment embedding in use is added to the positions."""
    weights = renamed(read_tensors(path), BERT)
    types = next(weights.pop(name) for name in list(weights) if name.endswith("token_type_embeddings.weight"))
    weights["text.pos_embed"] = weights["text.pos_embed"] + types[0]
    return weights


def fill(model: nn.Module, weights: Weights, partial: bool = False) -> None:
    """Copy weights into the model. Raises WeightsMismatch naming what is missing, left over or of another shape."""
    want = model.state_dict()
    for name in weights:
        if name in want and weights[name].shape != want[name].shape:
            raise WeightsMismatch(
                f"{name} has shape {tuple(weights[name].shape)}, the architecture wants {tuple(want[name].shape)}; "
                "check that config and weights belong together"
            )
    missing, extra = sorted(set(want) - set(weights)), sorted(set(weights) - set(want))
    if extra or (missing and not partial):
        raise WeightsMismatch(
            f"checkpoint and architecture differ: missing {missing[:3] or 'nothing'}, left over {extra[:3] or 'nothing'}; "
            "this architecture is not supported, or config and weights do not belong together"
        )
    model.load_state_dict(weights, strict=False)


def without_audio(config: SpaceConfig) -> SpaceConfig:
    """Return the config without its audio tower."""
    others = {modality: weights for modality, weights in config.calibration.items() if modality != "audio"}
    precision = {tower: chosen for tower, chosen in config.card.get("precision", {}).items() if tower != "audio"}
    card = config.card | {"precision": precision}
    return replace(config, audio=None, audio_weights="", calibration=others, card=card)
