"""Weights files and config files, read without executing anything from them."""

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ...core.errors import UnknownSpace, WeightsMismatch
from ...core.files import read_json
from ...core.machine import free_memory
from ...models import int4
from .families import SHARD_INDEX, WEIGHT_FILES, in_order
from .weight_maps import Weights

COPIES = 2.5
"""Of the weights in fp32 that are in memory at once while they are converted."""

MOST_IN_A_BYTE = 2
"""Weights: int4 has two."""
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".onnx_data", ".data", ".gguf")
"""Endings of files that hold weights."""
FEW_WEIGHTS = 5e7
"""Up to so many a config may ask for whatever its files hold: it may name settings of a tower that it does not have."""
CONFIGS = ("config.json", "open_clip_config.json", "space.json", "assistant.json", "native.json")
"""Files that say how large a model is."""
WIDTH = ("width", "hidden_size", "d_model", "n_embd", "embed_dim")
LAYERS = ("layers", "num_hidden_layers", "num_layers", "n_layer", "depth")
VOCABULARY = ("vocab", "vocab_size")
"""What configs call the length of a token, the number of blocks, and the number of tokens."""


def read_weights(folder: Path) -> Weights:
    """Read all tensors of a checkpoint's weights file, or of the shards in its index. Raises UnknownSpace, WeightsMismatch."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    file = next((folder / name for name in in_order(names)), None)
    if file is None:
        raise UnknownSpace(f"{folder} holds none of {', '.join(WEIGHT_FILES)}; download the weights too")
    if file.name != SHARD_INDEX:
        check_memory([file])
        return read_tensors(file)
    files = sorted(set(read_json(file).get("weight_map", {}).values()))
    if strange := [name for name in files if Path(name).name != name]:
        raise UnknownSpace(f"{file} names a file outside the folder, {strange[0]!r}; download it again")
    if missing := [name for name in files if not (folder / name).exists()]:
        raise UnknownSpace(f"{folder} lacks {missing[0]}, a part of its weights; download it again")
    check_memory([folder / name for name in files])
    return {name: tensor for shard in files for name, tensor in read_tensors(folder / shard).items()}


def check_memory(files: list[Path]) -> None:
    """Raises UnknownSpace where weights in these files are too large for the memory that is free: they are needed twice, in fp32."""
    check_room(files[0].parent, sum(map(_bytes_in_fp32, files)))


def check_room(named: Path, in_fp32: float) -> None:
    """Raises UnknownSpace where weights of so many bytes in fp32 are too large for the memory that is free."""
    wanted, free = COPIES * in_fp32, free_memory()
    if 0 < free < wanted:
        raise UnknownSpace(
            f"{named} needs about {wanted / 2**30:.0f} GB of memory to be converted, and {free / 2**30:.0f} are free; "
            "close other programs, or choose a smaller model"
        )


def _bytes_in_fp32(file: Path) -> int:
    """Return how much memory a file's weights take in fp32: of safetensors by their shapes, of others as if they were that."""
    try:
        with safe_open(file, framework="pt") as opened:
            return 4 * sum(int(math.prod(opened.get_slice(name).get_shape())) for name in opened.keys())
    except (SafetensorError, OSError):
        return file.stat().st_size


def check_weights(folder: Path) -> None:
    """Raises WeightsMismatch where a weights file of a folder is no such file, was cut short, or holds far less than a config asks for.

    It is asked before a model is built, which would take the memory of all that the config asks for.
    """
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):  # reads its header
                pass
        except (SafetensorError, OSError) as error:
            raise WeightsMismatch(f"{path} is not a readable weights file ({error}); download it again") from None
    stored = MOST_IN_A_BYTE * sum(
        path.stat().st_size for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES and path.is_file()
    )
    for path in (folder / name for name in CONFIGS if stored and (folder / name).exists()):
        try:
            asked = least_weights(json.loads(path.read_bytes()))
        except (ValueError, OSError, OverflowError, RecursionError):  # reading it in earnest will say what is wrong with it
            continue
        if asked > max(stored, FEW_WEIGHTS):
            raise WeightsMismatch(
                f"{path} asks for more than {asked:.1e} weights, and the files beside it hold {stored:.1e} at most; "
                "config and weights do not belong together: download both again"
            )


def least_weights(values: object) -> float:
    """Return fewer weights than a model of a config's settings can have: a block has several matrices of width × width."""
    if isinstance(values, list):
        return max(map(least_weights, values), default=0)
    if not isinstance(values, dict):
        return 0
    width, layers, vocabulary = (max(0, *(_number(values.get(key)) for key in keys)) for keys in (WIDTH, LAYERS, VOCABULARY))
    here = max(layers * max(width, 1) ** 2, vocabulary * width)
    return max([here, *map(least_weights, values.values())])


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def read_tensors(path: Path) -> Weights:
    """Read all tensors of a weights file, on the CPU. Raises WeightsMismatch on a file that is not one."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, ValueError, KeyError) as error:
        raise WeightsMismatch(f"{path} is not a readable weights file ({error}); download it again")
    except Exception as error:  # pickle.UnpicklingError, RuntimeError: a broken file, or one that asks to run code
        raise WeightsMismatch(f"{path} is not a file of plain tensors and is refused; use .safetensors ({error})")
    for inside in ("state_dict", "model"):  # checkpoints of trainings have other things beside
        loaded = loaded[inside] if isinstance(loaded, dict) and isinstance(loaded.get(inside), dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in loaded.values()):
        raise WeightsMismatch(f"{path} holds other things than tensors with names; use the model's .safetensors")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def dequantize(weights: Weights) -> Weights:
    """Return stored tensors as fp32: fp16 converted, `X_quantized · X_scale` multiplied, `X_int4` unpacked, `X.T` transposed."""
    out: Weights = {}
    for name, tensor in weights.items():
        whole, _, part = name.rpartition("_")
        if part in ("scale", "centre") and (f"{whole}_quantized" in weights or f"{whole}_int4" in weights):
            continue
        if part == "int4":
            name, tensor = whole, int4.dequantize(tensor, weights[f"{whole}_scale"], weights[f"{whole}_centre"])
        if name.endswith("_quantized"):
            name = name.removesuffix("_quantized")
            tensor = tensor.float() * weights[f"{name}_scale"]
        tensor = tensor.float()
        out[name.removesuffix(".T")] = tensor.T if name.endswith(".T") else tensor
    return out


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
