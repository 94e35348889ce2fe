"""Towers -> a space folder: ONNX graphs, and one weights file that both runtimes read.

`image.onnx` and `text.onnx` hold graphs only. Their weights are ONNX external data that points into
`model.safetensors`, where torch finds the same bytes under the parameters' own names. Weights are stored as int8 or
fp16 where a gate on held-out pairs passes, and as fp32 where it does not.
"""

import csv
import hashlib
import json
import logging
import shutil
import struct
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import save_file
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .config import SpaceConfig, to_json
from .errors import QueryError
from .eval.retrieval import recall_at_k
from .hub import sha256
from .media import image as image_media
from .prep.pixels import normalise, square
from .prep.tokens import Words

MIN_COSINE = 0.99
"""A narrower tower's vectors stay this close to the fp32 ones, on average."""
MAX_RECALL_LOSS = 0.01
"""And lose at most this much recall@10, both ways."""
PRECISIONS = ("int8", "fp16")
"""Tried in this order; fp32 is what is left."""
HELD_OUT = Path(__file__).parent / "held_out" / "pairs.tsv"
"""The pairs of the gate where a user names none: drawings that no training here has seen."""
SHARED_BYTES = 1024
"""Smaller tensors stay inside the graphs as well."""


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


def export(checkpoint: Checkpoint, folder: Path, pairs: Pairs | None = None) -> SpaceConfig:
    """Write a space folder. Without pairs there is nothing to gate on, and weights stay fp32.

    The folder appears whole or not at all. Returns the config as written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "space"
        made.mkdir()
        graphs = {tower: graph_of(checkpoint, tower, Path(scratch)) for tower in ("image", "text")}
        chosen, gate = choose(graphs, pairs, Path(scratch)) if pairs else (graphs, {})
        share_weights(chosen, state_of(checkpoint), made)
        checkpoint.tokenizer.save(str(made / "tokenizer.json"))
        config = replace(
            checkpoint.config,
            weights=checkpoint.config.weights or digest_of_state(state_of(checkpoint)),  # a space stays the same space
            files={f.name: sha256(f) for f in sorted(made.iterdir())},
            card=checkpoint.config.card | {"precision": {t: gate.get(t, {"chosen": "fp32"}) for t in graphs}},
        )
        (made / "space.json").write_text(to_json(config), "utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    return config


def held_out_pairs(checkpoint: Checkpoint, table: Path) -> Pairs:
    """Read pairs (a TSV with the columns filepath and title, paths relative to it) for a checkpoint's towers.

    Raises QueryError on a table that cannot be read, UnreadableMedia on a picture that cannot.
    """
    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = [(table.parent / row["filepath"], row["title"]) for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise QueryError(f"{table} cannot be read as pairs ({error!r}); write a TSV with the columns filepath and title")
    prep = checkpoint.config.prep
    squares = np.stack([square(image_media.read(path, path.read_bytes(), prep.size)[0], prep) for path, _ in rows])
    words = Words(checkpoint.tokenizer, prep)
    return Pairs(normalise(squares, prep), words.ids([title for _, title in rows]))


def state_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {name: tensor.detach().float() for name, tensor in checkpoint.model.state_dict().items()}


def graph_of(checkpoint: Checkpoint, tower: str, scratch: Path) -> onnx.ModelProto:
    """One tower as an fp32 ONNX model with dynamic batch (and length); initializers bear the parameters' names."""
    config, batch = checkpoint.config, torch.export.Dim("batch")
    if tower == "image":
        example, dims = torch.zeros(2, 3, config.prep.size, config.prep.size), {0: batch}
    else:
        example, dims = torch.ones(2, config.prep.context, dtype=torch.int64), {0: batch}
        if not config.prep.pad_to_context:
            dims[1] = torch.export.Dim("length", min=2, max=config.text.context)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Encode(checkpoint.model, tower).eval(), (example,), dynamo=True, dynamic_shapes=(dims,),
            input_names=["pixels" if tower == "image" else "ids"], output_names=["z"], verbose=False,
        )  # fmt: skip
    program.save(scratch / f"{tower}.onnx", external_data=False)
    model = onnx.load(scratch / f"{tower}.onnx")
    tidy(model)
    name_weights(model, state_of(checkpoint))
    return model


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
    graphs: dict[str, onnx.ModelProto], pairs: Pairs, scratch: Path
) -> tuple[dict[str, onnx.ModelProto], dict[str, dict[str, Any]]]:
    """For each tower the narrowest precision that passes the gate, and the numbers of every precision tried."""
    inputs = {"image": pairs.pixels, "text": pairs.ids}
    z = {tower: run(graph, inputs[tower], scratch) for tower, graph in graphs.items()}
    chosen, report = dict(graphs), {}
    for tower in graphs:
        tried = {}
        for precision in PRECISIONS:
            narrow = NARROW[precision](graphs[tower], scratch)
            tried[precision] = compare(z, z | {tower: run(narrow, inputs[tower], scratch)}, tower)
            if tried[precision]["passes"]:
                chosen[tower] = narrow
                break
        passed = [p for p in tried if tried[p]["passes"]]
        report[tower] = {"chosen": passed[0] if passed else "fp32", "pairs": len(pairs.ids), "tried": tried}
    return chosen, report


def compare(exact: dict[str, np.ndarray], narrow: dict[str, np.ndarray], tower: str) -> dict[str, Any]:
    """The gate: mean cosine to the fp32 vectors, and recall@10 lost between pictures and captions, the worse way."""
    cosine = (exact[tower] * narrow[tower]).sum(axis=1)
    lost = []
    for a, b in (("text", "image"), ("image", "text")):
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


def to_int8(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Matrix products with signed int8 weights, per channel, activations quantised as they come; the rest fp16."""
    source, target = scratch / "fp32.onnx", scratch / "int8.onnx"
    onnx.save(model, source)
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser recommends its own preprocessing, at length
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8)
    narrow = onnx.load(target)
    embeddings_to_int8(narrow)
    return to_fp16(narrow, scratch)


def embeddings_to_int8(model: onnx.ModelProto) -> None:
    """Tables that are looked up by token, as int8 with one scale a row; looked-up rows are widened."""
    tables = {i.name: i for i in model.graph.initializer if len(i.dims) == 2 and i.dims[0] > 1000}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables:
            nodes.append(node)
            continue
        table, ids, out = tables[node.input[0]], node.input[1], node.output[0]
        rows = numpy_helper.to_array(table)
        scale = np.abs(rows).max(axis=1, keepdims=True) / 127 + np.float32(1e-12)
        q, s = f"{table.name}_quantized", f"{table.name}_scale"
        model.graph.initializer.remove(table)
        model.graph.initializer.append(numpy_helper.from_array((rows / scale).round().astype(np.int8), q))
        model.graph.initializer.append(numpy_helper.from_array(scale, s))
        nodes += [
            helper.make_node("Gather", [q, ids], [f"{out}/int8"]),
            helper.make_node("Cast", [f"{out}/int8"], [f"{out}/fp32"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [s, ids], [f"{out}/scale"]),
            helper.make_node("Mul", [f"{out}/fp32", f"{out}/scale"], [out]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def to_fp16(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Weights stored as fp16 and widened when the session starts; every product is still computed in fp32."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    casts = []
    for initializer in half.graph.initializer:
        if not fits_fp16(initializer):
            continue
        name, wide = initializer.name, f"{initializer.name}/fp32"
        initializer.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(initializer).astype(np.float16), name))
        for node in half.graph.node:
            for i, used in enumerate(node.input):
                if used == name:
                    node.input[i] = wide
        casts.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    return half


def fits_fp16(initializer: onnx.TensorProto) -> bool:
    """Large fp32 weights do; scales of int8 weights are kept exact, and a mask's −3e38 has no half."""
    if initializer.data_type != TensorProto.FLOAT or initializer.name.endswith("_scale"):
        return False
    array = numpy_helper.to_array(initializer)
    return array.nbytes > SHARED_BYTES and bool(np.abs(array).max() <= np.finfo(np.float16).max)


NARROW = {"int8": to_int8, "fp16": to_fp16}


def share_weights(graphs: dict[str, onnx.ModelProto], state: dict[str, Tensor], folder: Path) -> None:
    """Write model.safetensors with every parameter once, then the graphs, their large weights pointing into it."""
    stored: dict[str, np.ndarray] = {}
    for graph in graphs.values():
        for initializer in graph.graph.initializer:
            if parameter_of(initializer.name) in state:
                stored[initializer.name] = np.ascontiguousarray(numpy_helper.to_array(initializer))
    have = {parameter_of(name) for name in stored}
    stored |= {name: tensor.numpy() for name, tensor in state.items() if name not in have}
    stored = {name: array for name, array in stored.items() if not name.endswith("_zero_point")}
    save_file(stored, folder / "model.safetensors")
    places = offsets(folder / "model.safetensors")
    for tower, graph in graphs.items():
        for initializer in graph.graph.initializer:
            if initializer.name in places and stored[initializer.name].nbytes > SHARED_BYTES:
                start, length = places[initializer.name]
                initializer.CopyFrom(numpy_helper.from_array(stored[initializer.name], initializer.name))
                external_data_helper.set_external_data(initializer, "model.safetensors", start, length)
                initializer.ClearField("raw_data")
        (folder / f"{tower}.onnx").write_bytes(graph.SerializeToString())


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
