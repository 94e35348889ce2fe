"""Towers → ONNX graphs, and one weights file that both runtimes read.

Graphs hold no large weights: these are ONNX external data that points into a safetensors file, where torch finds the same bytes
under the parameters' own names.
"""

import errno
import hashlib
import json
import logging
import struct
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
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

from ...core.errors import error_summary
from .quantize import LARGE

MOST_BYTES = 2**31 - 2**24
"""A protobuf holds less than 2 GiB; this much of it may be weights."""
State = dict[str, Tensor]
"""fp32 parameters by name."""


def fp32_state(model: nn.Module) -> State:
    """Return a module's parameters and buffers in fp32."""
    return {name: tensor.detach().float() for name, tensor in model.state_dict().items()}


def trace(
    model: nn.Module,
    examples: Mapping[str, Tensor],
    dynamic: Sequence[dict[int, Any]],
    outputs: Sequence[str],
    state: State,
    scratch: Path,
) -> onnx.ModelProto:
    """Export a module as an fp32 ONNX model; initializers have the names that `state` has for them.

    examples: inputs by name, in order; dynamic: for each, which of its dimensions vary.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(), tuple(examples.values()), dynamo=True, dynamic_shapes=tuple(dynamic), input_names=list(examples),
            output_names=list(outputs), verbose=False,
        )  # fmt: skip
    assert program is not None  # it is None without `dynamo`
    program.save(scratch / "traced.onnx", external_data=True)
    graph = onnx.load(scratch / "traced.onnx")
    _simplify(graph)
    _name_weights(graph, state)
    return graph


def _simplify(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes, and transpose the weights of `Gemm(transB=1)` so that every product reads (in, out)."""
    del model.graph.value_info[:]
    initializers = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            if node.op_type == "Gemm" and attribute.name == "transB" and attribute.i:
                attribute.i = 0
                weight = initializers[node.input[1]]
                transposed = np.ascontiguousarray(numpy_helper.to_array(weight).T)
                weight.CopyFrom(numpy_helper.from_array(transposed, weight.name))


def _name_weights(model: onnx.ModelProto, state: State) -> None:
    """Rename initializers after the parameters they equal, each after its own; `X.T` where the exporter has transposed one.

    Parameters may have equal contents, such as biases of zeros.
    """
    by_content: dict[bytes, list[str]] = defaultdict(list)
    for name, tensor in state.items():
        by_content[_digest(tensor.numpy())].append(name)
    for name, tensor in state.items():
        if tensor.ndim == 2:
            by_content[_digest(tensor.T.numpy())].append(f"{name}.T")
    taken, renamed = {initializer.name for initializer in model.graph.initializer}, dict[str, str]()
    for initializer in model.graph.initializer:
        equal = by_content[_digest(numpy_helper.to_array(initializer))]
        found = next((name for name in equal if name not in taken), None)
        if initializer.name not in equal and found:
            taken.add(found)
            renamed[initializer.name] = found
            initializer.name = found
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)


def run(model: onnx.ModelProto, x: np.ndarray, scratch: Path) -> np.ndarray:
    """Return z for inputs x, in batches of 32."""
    path = scratch / "run.onnx"
    save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i : i + 32]})[0] for i in range(0, len(x), 32)])


def is_large(model: onnx.ModelProto) -> bool:
    """Whether a graph with its weights is more than a protobuf can hold, as a file or when it is copied."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) > MOST_BYTES


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph with its weights: in a file beside it where they are too large for one."""
    if not is_large(model):
        onnx.save(model, path)
        return
    weights = f"{path.name}.weights"
    path.with_name(weights).unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=weights, size_threshold=LARGE)
    external_data_helper.load_external_data_for_model(model, str(path.parent))


def save_with_shared_weights(graphs: dict[str, onnx.ModelProto], state: State, file: Path) -> None:
    """Write a safetensors file with every parameter once, then TOWER.onnx beside it, whose large weights point into it.

    Raises OSError.
    """
    tensors = [tensor for graph in graphs.values() for tensor in graph.graph.initializer if _parameter_of(tensor.name) in state]
    stored = {tensor.name: np.ascontiguousarray(numpy_helper.to_array(tensor)) for tensor in tensors}
    in_graphs = {_parameter_of(name) for name in stored}
    stored |= {name: tensor.numpy() for name, tensor in state.items() if name not in in_graphs}
    stored = {name: array for name, array in stored.items() if not name.endswith("_zero_point")}
    try:
        save_file(stored, file)
    except SafetensorError as error:  # a full disk, which is no OSError to it
        raise OSError(errno.EIO, error_summary(error), str(file)) from None
    offsets = _offsets(file)
    for tower, graph in graphs.items():
        for initializer in graph.graph.initializer:
            if initializer.name in offsets and stored[initializer.name].nbytes > LARGE:
                start, length = offsets[initializer.name]
                initializer.CopyFrom(numpy_helper.from_array(stored[initializer.name], initializer.name))
                external_data_helper.set_external_data(initializer, file.name, start, length)
                initializer.ClearField("raw_data")
        file.with_name(f"{tower}.onnx").write_bytes(graph.SerializeToString())


def weights_of(model: onnx.ModelProto, state: State) -> State:
    """Return the parameters that a graph uses."""
    used = {_parameter_of(tensor.name) for tensor in model.graph.initializer}
    return {name: tensor for name, tensor in state.items() if name in used}


def _parameter_of(name: str) -> str:
    """Return the parameter that a stored tensor belongs to."""
    for ending in ("_quantized", "_scale", "_zero_point"):
        name = name.removesuffix(ending)
    return name.removesuffix(".T")


def _offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Return where each tensor of a safetensors file lies: name → (byte offset in the file, length)."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {n: (8 + size + v["data_offsets"][0], v["data_offsets"][1] - v["data_offsets"][0]) for n, v in header.items()}


def _digest(array: np.ndarray) -> bytes:
    shape = str(array.shape).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(array, np.float32).tobytes()).digest()


def digest_of_state(state: State) -> str:
    """Return the SHA-256 over all fp32 parameters, by name."""
    whole = hashlib.sha256()
    for name in sorted(state):
        whole.update(name.encode() + _digest(state[name].numpy()))
    return whole.hexdigest()
