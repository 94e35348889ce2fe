"""Towers -> a space folder: ONNX graphs, and one weights file that both runtimes read.

`image.onnx` and `text.onnx` hold graphs only. Their weights are ONNX external data that points into
`model.safetensors`, where torch finds the same bytes under the parameters' own names. Weights are stored as int8 or
fp16 where a gate on held-out pairs passes, and as fp32 where it does not.
"""

import csv
import errno
import hashlib
import json
import logging
import shutil
import struct
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import external_data_helper, numpy_helper
from safetensors import SafetensorError
from safetensors.numpy import save_file
from torch import Tensor, nn

from ..core.config import AudioTower, HybridImageTower, SpaceConfig, to_json
from ..core.errors import QueryError, UnknownSpace, UnreadableMedia, error_summary
from ..core.files import sha256
from ..core.paths import expanded
from ..evaluate.retrieval import recall_at_k
from ..media import image as image_media
from ..models.starter.audio import AudioTransformer
from ..preprocess.pixels import normalize_pixels, square
from ..preprocess.tokens import Words
from . import calibration
from .checkpoint import Checkpoint, without_audio
from .quantize import LARGE, NARROW
from .space import read_space_config

MIN_COSINE = 0.99
"""A narrower tower's vectors stay this close to the fp32 ones, on average."""
MAX_RECALL_LOSS = 0.01
"""And lose at most this much recall@10, both ways."""
PRECISIONS = ("int8", "int8-weights", "fp16")
"""Tried in this order; fp32 is what is left."""
ENOUGH_PAIRS, MOST_PAIRS = 100, 1000
"""Fewer pairs than this fit no calibration; more are not worth the time."""
HELD_OUT = Path(__file__).parent / "held_out" / "pairs.tsv"
"""The pairs of the gate where a user names none: drawings that no training here has seen."""


@dataclass
class Pairs:
    """Held-out pictures and captions, ready for the towers; row i of one belongs to row i of the other."""

    pixels: np.ndarray
    """float32 (B, 3, S, S)"""
    ids: np.ndarray
    """int64 (B, T)"""


class Encode(nn.Module):
    """One tower with its normalisation, as it is exported."""

    def __init__(self, model: nn.Module, tower: str):
        super().__init__()
        self.model, self.encode = model, {"image": model.encode_image, "text": model.encode_text}[tower]

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x)


def export(checkpoint: Checkpoint, folder: Path, pairs: Pairs | None = None, ears: Path | None = None) -> SpaceConfig:
    """Write a space folder. Without pairs there is nothing to gate on, and weights stay fp32.

    `ears` is a space's folder whose audio tower comes along as it is; without it the space does not hear.

    The folder appears whole or not at all; one that exists is replaced only if it is a space or empty, else raises
    UnknownSpace. Returns the config as written.
    """
    folder = expanded(folder).resolve()
    if folder.exists() and not (folder / "space.json").exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UnknownSpace(f"{folder} exists and is not a space; choose a folder that does not exist yet")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "space"
        made.mkdir()
        state = state_of(checkpoint)
        graphs = {tower: graph_of(checkpoint, tower, state, Path(scratch)) for tower in ("image", "text")}
        chosen, gate, z = (
            choose(graphs, pairs, isinstance(checkpoint.config.image, HybridImageTower), Path(scratch))
            if pairs
            else (graphs, {}, {})
        )
        share_weights(chosen, state, made / "model.safetensors")
        weights = calibrate(z, made) if pairs and len(pairs.ids) >= ENOUGH_PAIRS else ()
        checkpoint.tokenizer.save(str(made / "tokenizer.json"))
        for file in sorted(ears.glob("audio.*")) if ears else ():
            shutil.copy(file, made)
        config = checkpoint.config if ears else without_audio(checkpoint.config)
        precision = config.card.get("precision", {}) | {t: gate.get(t, {"chosen": "fp32"}) for t in graphs}
        config = replace(
            config,
            weights=config.weights or digest_of_state(state),  # a space stays the same space
            calibration=weights,
            files={f.name: sha256(f) for f in sorted(made.iterdir())},
            card=config.card | {"precision": precision},
        )
        (made / "space.json").write_text(to_json(config), "utf-8")
        for file in made.iterdir():
            file.chmod(0o644)
        if folder.exists():
            folder.rename(Path(scratch) / "old")  # goes with the scratch folder
        made.rename(folder)
    return config


def add_audio(
    folder: Path, model: nn.Module, c: AudioTower, mels: np.ndarray, name: str = "", card: dict[str, Any] | None = None
) -> SpaceConfig:
    """Give a space's folder an audio tower: audio.onnx and audio.safetensors. The other towers stay as they are.

    A new `name` and what the `card` adds are written with it. mels: float32 (B, M, frames), on which the narrowest
    weights are chosen that give the same vectors. Returns the new config.
    """
    if isinstance(model, AudioTransformer):
        model.fold_norms()
    state = {name: tensor.detach().float() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    batch = torch.export.Dim("batch")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        exact = traced(model, torch.zeros(2, c.mels, c.frames), {0: batch}, "mels", state, Path(scratch))
        z = {"audio": run(exact, mels, Path(scratch))}
        graph, report = narrowest(exact, "audio", PRECISIONS[1:], mels, z, Path(scratch))
    share_weights({"audio": graph}, state, folder / "audio.safetensors")
    (folder / "audio.safetensors").chmod(0o644)
    old = without_audio(read_space_config(folder))  # other ears' probabilities would be wrong ones
    files = {f.name: sha256(f) for f in sorted(folder.iterdir()) if f.name != "space.json"}
    precision = old.card.get("precision", {}) | {"audio": {**report, "clips": len(mels)}}
    card = old.card | {"precision": precision} | (card or {})
    config = replace(old, name=name or old.name, audio=c, audio_weights=digest_of_state(state), files=files, card=card)
    (folder / "space.json").write_text(to_json(config), "utf-8")
    return config


def calibrate(z: dict[str, np.ndarray], folder: Path) -> tuple[float, ...]:
    """Fit what turns scores into probabilities on the gate's pairs; a third of their captions becomes the background."""
    mixed = np.random.default_rng(0).permutation(len(z["text"]))
    crowd = min(len(mixed) // 3, calibration.BACKGROUND)
    background, rest = z["text"][mixed[:crowd]], mixed[crowd:]
    fitted = calibration.fit(z["image"][rest], z["text"][rest], np.eye(len(rest), dtype=bool), background)
    np.save(folder / calibration.FILE, fitted.background.astype(np.float16))
    return fitted.weights


def held_out_pairs(checkpoint: Checkpoint, table: Path) -> Pairs:
    """Read pairs (a TSV with the columns filepath and title, paths relative to it) for a checkpoint's towers.

    Raises QueryError on a table, or a picture of it, that cannot be read.
    """
    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = [(table.parent / row["filepath"], row["title"]) for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise QueryError(f"{table} cannot be read as pairs ({error!r}); write a TSV with the columns filepath and title")
    if not rows:
        raise QueryError(f"{table} holds no pairs; write a TSV with the columns filepath and title")
    prep = checkpoint.config.prep
    squares = []
    for path, _ in rows:
        try:
            squares.append(square(image_media.read(path, path.read_bytes(), prep.size)[0], prep))
        except (UnreadableMedia, OSError) as error:
            raise QueryError(f"{path}, a picture of {table}, cannot be read ({error}); mend or remove its line") from None
    words = Words(checkpoint.tokenizer, prep)
    return Pairs(normalize_pixels(np.stack(squares), prep), words.ids([title for _, title in rows]))


def state_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {name: tensor.detach().float() for name, tensor in checkpoint.model.state_dict().items()}


def graph_of(checkpoint: Checkpoint, tower: str, state: dict[str, Tensor], scratch: Path) -> onnx.ModelProto:
    """One tower as an fp32 ONNX model with dynamic batch (and length); initializers bear the parameters' names."""
    config, batch, model = checkpoint.config, torch.export.Dim("batch"), Encode(checkpoint.model, tower)
    if tower == "image":
        return traced(model, torch.zeros(2, 3, config.prep.size, config.prep.size), {0: batch}, "pixels", state, scratch)
    dims = {0: batch}
    if not config.prep.pad_to_context:
        dims[1] = torch.export.Dim("length", min=2, max=config.text.context)
    return traced(model, torch.ones(2, config.prep.context, dtype=torch.int64), dims, "ids", state, scratch)


def traced(
    model: nn.Module, example: Tensor, dims: dict[int, Any], takes: str, state: dict[str, Tensor], scratch: Path
) -> onnx.ModelProto:
    """A module that gives z as an fp32 ONNX model; initializers bear the names that `state` has for them."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(), (example,), dynamo=True, dynamic_shapes=(dims,), input_names=[takes], output_names=["z"], verbose=False,
        )  # fmt: skip
    program.save(scratch / "traced.onnx", external_data=False)
    graph = onnx.load(scratch / "traced.onnx")
    tidy(graph)
    name_weights(graph, state)
    return graph


def tidy(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes, and turn the weights of `Gemm(transB=1)` so that every product reads (in, out)."""
    del model.graph.value_info[:]
    initializers = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            if node.op_type == "Gemm" and attribute.name == "transB" and attribute.i:
                attribute.i = 0
                weight = initializers[node.input[1]]
                turned = np.ascontiguousarray(numpy_helper.to_array(weight).T)
                weight.CopyFrom(numpy_helper.from_array(turned, weight.name))


def name_weights(model: onnx.ModelProto, state: dict[str, Tensor]) -> None:
    """Rename initializers after the parameters they equal; `X.T` where the exporter has turned one."""
    by_bytes = {}
    for name, tensor in state.items():
        by_bytes[digest(tensor.numpy())] = name
        if tensor.ndim == 2:
            by_bytes.setdefault(digest(tensor.T.numpy()), f"{name}.T")
    renamed = {}
    for initializer in model.graph.initializer:
        found = by_bytes.get(digest(numpy_helper.to_array(initializer)))
        if found and found not in renamed.values():
            renamed[initializer.name] = found
            initializer.name = found
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)


def choose(
    graphs: dict[str, onnx.ModelProto], pairs: Pairs, hybrid: bool, scratch: Path
) -> tuple[dict[str, onnx.ModelProto], dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """For each tower the narrowest precision that passes the gate, the numbers of every precision tried, and all z.

    int8 products are tried where they are worth their rounding: not for text, since queries come one at a time and the
    scale that activations share would make a vector depend on its batch; not for a hybrid, whose time goes into
    convolutions.
    """
    inputs = {"image": pairs.pixels, "text": pairs.ids}
    z = {tower: run(graph, inputs[tower], scratch) for tower, graph in graphs.items()}
    chosen, report = dict(graphs), {}
    for tower, graph in graphs.items():
        first = int(tower == "text" or hybrid)
        chosen[tower], found = narrowest(graph, tower, PRECISIONS[first:], inputs[tower], z, scratch)
        report[tower] = {**found, "pairs": len(pairs.ids)}
    return chosen, report, z


def narrowest(
    graph: onnx.ModelProto, tower: str, precisions: Sequence[str], x: np.ndarray, z: dict[str, np.ndarray], scratch: Path
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The graph in the first precision that passes for inputs x, or as it is; and the numbers of every precision tried.

    z: what the towers give in fp32.
    """
    tried: dict[str, dict[str, Any]] = {}
    for precision in precisions:
        narrow = NARROW[precision](graph, scratch)
        tried[precision] = compare(z, z | {tower: run(narrow, x, scratch)}, tower)
        if tried[precision]["passes"]:
            return narrow, {"chosen": precision, "tried": tried}
    return graph, {"chosen": "fp32", "tried": tried}


def compare(exact: dict[str, np.ndarray], narrow: dict[str, np.ndarray], tower: str) -> dict[str, Any]:
    """The gate: mean cosine to the fp32 vectors, and recall@10 lost between the towers, the worse way (0 where one is alone)."""
    cosine = (exact[tower] * narrow[tower]).sum(axis=1)
    lost = [0.0]
    for a, b in permutations(exact, 2):
        before, after = (recall_at_k(z[a] @ z[b].T, np.eye(len(z[a]), dtype=bool), 10) for z in (exact, narrow))
        lost.append(before - after)
    return {
        "cosine": round(float(cosine.mean()), 5),
        "cosine_min": round(float(cosine.min()), 5),
        "recall_at_10_lost": round(max(lost), 5),
        "passes": bool(cosine.mean() >= MIN_COSINE and max(lost) <= MAX_RECALL_LOSS),
    }


def run(model: onnx.ModelProto, x: np.ndarray, scratch: Path) -> np.ndarray:
    """z for inputs x, in batches of 32."""
    path = scratch / "run.onnx"
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i : i + 32]})[0] for i in range(0, len(x), 32)])


def share_weights(graphs: dict[str, onnx.ModelProto], state: dict[str, Tensor], file: Path) -> None:
    """Write a safetensors file with every parameter once, then the graphs beside it, their large weights pointing into it."""
    tensors = [tensor for graph in graphs.values() for tensor in graph.graph.initializer if parameter_of(tensor.name) in state]
    stored = {tensor.name: np.ascontiguousarray(numpy_helper.to_array(tensor)) for tensor in tensors}
    have = {parameter_of(name) for name in stored}
    stored |= {name: tensor.numpy() for name, tensor in state.items() if name not in have}
    stored = {name: array for name, array in stored.items() if not name.endswith("_zero_point")}
    try:
        save_file(stored, file)
    except SafetensorError as error:  # a full disk, which is no OSError to it
        raise OSError(errno.EIO, error_summary(error), str(file)) from None
    places = offsets(file)
    for tower, graph in graphs.items():
        for initializer in graph.graph.initializer:
            if initializer.name in places and stored[initializer.name].nbytes > LARGE:
                start, length = places[initializer.name]
                initializer.CopyFrom(numpy_helper.from_array(stored[initializer.name], initializer.name))
                external_data_helper.set_external_data(initializer, file.name, start, length)
                initializer.ClearField("raw_data")
        file.with_name(f"{tower}.onnx").write_bytes(graph.SerializeToString())


def parameter_of(name: str) -> str:
    """The parameter that a stored tensor belongs to."""
    for ending in ("_quantized", "_scale", "_zero_point"):
        name = name.removesuffix(ending)
    return name.removesuffix(".T")


def offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor of a safetensors file lies: name → (byte offset in the file, length)."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {n: (8 + size + v["data_offsets"][0], v["data_offsets"][1] - v["data_offsets"][0]) for n, v in header.items()}


def digest(array: np.ndarray) -> bytes:
    shape = str(array.shape).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(array, np.float32).tobytes()).digest()


def digest_of_state(state: dict[str, Tensor]) -> str:
    """sha256 over all fp32 parameters, by name."""
    whole = hashlib.sha256()
    for name in sorted(state):
        whole.update(name.encode() + digest(state[name].numpy()))
    return whole.hexdigest()
