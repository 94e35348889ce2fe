"""ONNX graphs, opened where this machine runs them best, and called the same way whatever their inputs and outputs are called."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import QueryError, UnknownSpace, error_summary
from ..core.machine import usable_cpus

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_LOG = logging.getLogger("samespace")
DEVICE = "SAMESPACE_DEVICE"
"""Environment variable that names a device; `auto` or nothing is what was measured to be the fastest."""
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""Device → ONNX Runtime's execution provider."""
ACCELERATORS, HALF = {"cuda", "tensorrt", "coreml", "directml"}, ".half"
"""Devices that compute fastest in fp16, and what the names of graphs for them end in."""
BATCH = 16
"""Inputs per call of a tower: large enough for the cores, small enough for the caches."""
NO_MEMORY = ("allocat", "out of memory")
"""What the runtime says where memory is missing: "Failed to allocate memory", "bad allocation", "CUDA out of memory"."""
OUTPUTS = ("z", "image_embeds", "text_embeds", "sentence_embedding", "pooler_output", "embedding", "output", "last_hidden_state")
"""Names of a graph's vectors, the first that it has: ours, transformers', sentence-transformers', Immich's."""
GRAPH = "model.onnx"
"""Name of a tower's graph in a folder of its own, where its weights lie beside it."""
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
"""ONNX Runtime's name of an input's type → numpy's."""


def available_devices() -> list[str]:
    """Return the devices that the installed ONNX Runtime has."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    return [device for device, provider in PROVIDERS.items() if provider in there]


def wanted_device(name: str | None = None) -> str:
    """Return the device that `name` or SAMESPACE_DEVICE names, or `auto`. Raises QueryError on one that there is not."""
    device = (name or os.environ.get(DEVICE, "")).strip().lower() or "auto"
    if device != "auto" and device not in PROVIDERS:
        raise QueryError(f"there is no device {device!r}; use auto, {', '.join(PROVIDERS)}")
    return device


def shortened(z: np.ndarray, dim: int) -> np.ndarray:
    """Return the first numbers of vectors: float32 (B, E) → (B, dim), unit length. After Kusupati et al. 2022, "Matryoshka"."""
    if z.shape[1] == dim:
        return z
    cut: np.ndarray = z[:, :dim] / np.linalg.norm(z[:, :dim], axis=1, keepdims=True).clip(1e-12)
    return cut


def checked_length(short: int, dim: int) -> int:
    """Return how many numbers of vectors of `dim` are used, 0 being all. Raises QueryError where they have fewer."""
    if short and not 8 <= short <= dim:
        raise QueryError(f"vectors of {dim} numbers cannot be cut to {short}; use 8 to {dim}")
    return short if short < dim else 0


def graph_of(folder: Path, tower: str, device: str = "cpu") -> Path:
    """Return the graph of a space's tower: TOWER.onnx, or TOWER/model.onnx; for an accelerator the one in fp16, where there is one."""
    alone, half = folder / f"{tower}.onnx", folder / f"{tower}{HALF}.onnx"
    if device in ACCELERATORS and half.exists():
        return half
    return alone if alone.exists() else folder / tower / GRAPH


def accelerates() -> bool:
    """Whether an accelerator is there or wanted, so that a space gets a graph for it. Raises QueryError."""
    return bool(ACCELERATORS & {wanted_device(), *available_devices()})


def open_tower(folder: Path, tower: str, device: str = "cpu", most: int = BATCH) -> "Tower":
    """Open the graph of a space's tower that suits a device, for `most` inputs at once. Raises UnknownSpace."""
    return Tower(graph_of(folder, tower, device), device, graph_of(folder, tower), most)


class Tower:
    """A graph that makes vectors: pixels, token ids or spectrograms → z."""

    def __init__(self, path: Path, device: str = "cpu", for_cpu: Path | None = None, most: int = BATCH):
        """Open a graph. On a device that cannot run it, the CPU does, `for_cpu` if there is one, and a warning says so.

        most: inputs that are run at once. Raises UnknownSpace.
        """
        self.path, self.device, self.for_cpu = path, device, for_cpu or path
        try:
            self.session = open_graph(path, device)
        except Exception as error:  # the runtime's own exceptions share no useful base
            if device == "cpu":
                raise UnknownSpace(f"{path} cannot be opened ({str(error)[:200]}); pull the space again") from None
            self._fall_back(error)
        inputs = sorted(self.session.get_inputs(), key=lambda i: "mask" in i.name)
        outputs = [output.name for output in self.session.get_outputs()]
        if strange := [i.name for i in inputs if i.type not in TYPES]:
            raise UnknownSpace(f"{path} takes {strange[0]!r} in a type that is not known here; choose another model")
        self.takes: dict[str, Any] = {i.name: TYPES[i.type] for i in inputs}
        self.gives = next((name for name in OUTPUTS if name in outputs), outputs[0])
        if self.gives not in OUTPUTS and len(outputs) > 1:
            raise UnknownSpace(
                f"{path} gives {', '.join(outputs[:4])}, of which none is known to be its vector; choose another model"
            )
        rows, *sides = inputs[0].shape
        self.any_length = bool(sides) and not isinstance(sides[0], int)
        """Whether texts of any length can be run, not only such as are padded to one."""
        self.fixed = isinstance(rows, int)
        self.most: int = rows if self.fixed else most
        """Inputs that are run at once: as many as a graph of a fixed size takes, fewer where the memory does not suffice for them."""

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Return z of inputs (B, …), in the order in which the graph names them: float32 (B, dim), unit length."""
        feed = {name: x.astype(kind, copy=False) for (name, kind), x in zip(self.takes.items(), inputs)}
        parts = [{name: x[i : i + self.most] for name, x in feed.items()} for i in range(0, len(inputs[0]), self.most)]
        try:
            z = np.concatenate([self.session.run([self.gives], part)[0] for part in parts]).astype(np.float32)
        except Exception as error:  # the runtime's own exceptions share no useful base
            if self.most > 1 and not self.fixed and any(words in str(error).lower() for words in NO_MEMORY):
                self.most //= 2
            elif self.device == "cpu":
                raise
            else:
                self._fall_back(error)
            return self(*inputs)
        if self.gives != "z" or HALF in self.path.name:  # in fp16 a unit vector's length is 1 to 1e-3
            z /= np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12)
        return z

    def output(self, name: str, *inputs: np.ndarray) -> np.ndarray:
        """Return another output of the graph than z, of all inputs at once. Raises UnknownSpace where it has none of that name."""
        if name not in [output.name for output in self.session.get_outputs()]:
            raise UnknownSpace(f"{self.path} does not give {name}; export or pull the space again")
        result: np.ndarray = self.session.run(
            [name], {key: x.astype(kind, copy=False) for (key, kind), x in zip(self.takes.items(), inputs)}
        )[0]
        return result

    def _fall_back(self, error: Exception) -> None:
        """Go on on the CPU, and say why. Raises UnknownSpace where that cannot, either."""
        _LOG.warning("%s cannot run %s (%s); the CPU does", self.device, self.path.name, error_summary(error))
        try:
            self.session, self.device = open_graph(self.for_cpu), "cpu"
        except Exception as wrong:  # the runtime's own exceptions share no useful base
            raise UnknownSpace(f"{self.for_cpu} cannot be opened ({str(wrong)[:200]}); pull the space again") from None

    def all(self, batches: Iterable[tuple[np.ndarray, ...]], dim: int) -> np.ndarray:
        """Return z of batches, its first `dim` numbers: float32 (B, dim), unit length."""
        return np.concatenate([np.empty((0, dim), np.float32), *(shortened(self(*batch), dim) for batch in batches)])


def open_graph(path: Path, device: str = "cpu") -> "InferenceSession":
    """Open a graph in ONNX Runtime, with as many threads as this process may use CPUs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cpus()
    options.log_severity_level = 3 if device == "cpu" else 4
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise RuntimeError("the installed ONNX Runtime has no such provider")
    session = onnxruntime.InferenceSession(path, options, providers=list(dict.fromkeys([provider, PROVIDERS["cpu"]])))
    if provider not in session.get_providers():  # what could not be loaded is left out without an error
        raise RuntimeError("its libraries cannot be loaded")
    return session
