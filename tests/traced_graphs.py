"""Graphs of towers that were traced before, with the weights of another tower of the same architecture."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from samespace.spaces.convert import onnx as graphs
from samespace.spaces.convert.onnx import State

TOLERANCE = 1e-4
"""Largest difference from the torch module, relative to its largest number, with which a graph is used again."""


class TracedGraphs:
    """`trace` of spaces.convert.onnx, which traces each architecture once: of the next one only the weights are put in."""

    def __init__(self, folder: Path):
        """`folder` keeps the graphs, also for other processes."""
        self.folder, self.known = folder, dict[str, bytes]()
        folder.mkdir(exist_ok=True)

    def trace(
        self,
        model: nn.Module,
        examples: Mapping[str, Tensor],
        dynamic: Sequence[dict[int, Any]],
        outputs: Sequence[str],
        state: State,
        scratch: Path,
    ) -> onnx.ModelProto:
        """Return what `trace` returns."""
        model.eval()
        key = hashlib.sha256(_architecture(model, examples, dynamic, outputs, state).encode()).hexdigest()
        file = self.folder / f"{key}.onnx"
        if key not in self.known and file.exists():
            self.known[key] = file.read_bytes()
        if key in self.known:
            graph = with_weights(onnx.ModelProto.FromString(self.known[key]), state)
            if graph is not None and agrees(graph, model, examples, scratch):
                return graph
        graph = graphs.trace(model, examples, dynamic, outputs, state, scratch)
        self.known[key] = graph.SerializeToString()
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(self.known[key])
        part.replace(file)
        return graph


def _architecture(model: nn.Module, examples: Mapping, dynamic: Sequence, outputs: Sequence[str], state: State) -> str:
    """Return everything that decides how a graph looks, but for the weights."""
    shapes = [(name, tuple(x.shape), str(x.dtype)) for name, x in examples.items()]
    weights = [(name, tuple(tensor.shape)) for name, tensor in state.items()]
    settings = [[(k, v) for k, v in vars(part).items() if isinstance(v, bool | int | float)] for part in model.modules()]
    return repr((type(model), model, settings, shapes, dynamic, outputs, weights))


def with_weights(graph: onnx.ModelProto, state: State) -> onnx.ModelProto | None:
    """Put the weights that `state` has into the initializers of their names; None where one does not fit."""
    for initializer in graph.graph.initializer:
        weight = state.get(initializer.name.removesuffix(".T"))
        if weight is None:
            continue
        array = weight.numpy().T if initializer.name.endswith(".T") else weight.numpy()
        if array.shape != tuple(initializer.dims):
            return None
        kind = onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type)
        initializer.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array, kind), initializer.name))
    return graph


@torch.no_grad()
def agrees(graph: onnx.ModelProto, model: nn.Module, examples: Mapping[str, Tensor], scratch: Path) -> bool:
    """Whether a graph gives what the module gives: a norm that was folded, and a constant that was computed from weights, do not."""
    given = {name: _like(x, model) for name, x in examples.items()}
    graphs.save(graph, scratch / "again.onnx")
    try:
        session = onnxruntime.InferenceSession(scratch / "again.onnx", providers=["CPUExecutionProvider"])
        ours = session.run(None, {name: x.numpy() for name, x in given.items()})
        theirs = model(*given.values())
    except Exception:  # the runtime's own exceptions share no useful base; random inputs are none that this model takes
        return False
    wanted = [x.numpy() for x in (theirs if isinstance(theirs, tuple) else (theirs,))]
    return len(ours) == len(wanted) and all(
        one.shape == other.shape and np.abs(one - other).max() < TOLERANCE * max(1.0, np.abs(other).max())
        for one, other in zip(ours, wanted)
    )


def _like(x: Tensor, model: nn.Module) -> Tensor:
    """Return random numbers in a tensor of the same shape: token ids with the last one, which ends texts, where there are embeddings."""
    generator = torch.Generator().manual_seed(0)
    if x.is_floating_point():
        return torch.rand(x.shape, generator=generator)
    vocab = max((part.num_embeddings for part in model.modules() if isinstance(part, nn.Embedding)), default=2)
    ids = torch.randint(1, vocab, x.shape, generator=generator)
    ids[:, -1] = vocab - 1
    return ids
