"""A trained generator → its folder: a graph, its weights, and what they are worth."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..core.config import to_json
from ..core.errors import UnknownGenerator
from ..core.files import sha256, write_text_atomically
from ..core.generator_config import GeneratorConfig
from ..core.new_folder import new_folder
from ..models.generate.flow import CHANNELS, FlowTransformer
from ..spaces.convert.onnx import fp32_state, save_with_shared_weights, trace
from ..spaces.convert.quantize import to_int8_weights
from .generator import GENERATORS


class _Predict(nn.Module):
    """A generator as it is exported: with the mean attention of each patch to each token of the context."""

    def __init__(self, model: FlowTransformer):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, z: Tensor, words: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        tap: dict[str, Tensor] = {}
        picture = self.model(x, t, z, words, present, tap)
        weights = [tap[f"blocks.{i}.cross.weights"] for i in range(len(self.model.blocks))]  # (B, H, N, T)
        return picture, torch.stack(weights).mean(dim=(0, 2))


def export(model: FlowTransformer, config: GeneratorConfig, folder: Path, card: str = "") -> GeneratorConfig:
    """Write a generator's folder, weights as int8, and return its config. The folder appears whole or not at all.

    `card` is its README.md. Raises OSError, and UnknownGenerator where the folder holds something else.
    """
    with new_folder(folder, GENERATORS.file, UnknownGenerator) as (made, scratch):
        state = fp32_state(model)
        batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=2, max=config.words)
        example = {
            "x": torch.zeros(2, CHANNELS, config.size, config.size), "t": torch.zeros(2), "z": torch.zeros(2, config.dim),
            "words": torch.zeros(2, 3, config.word_width), "present": torch.ones(2, 3),
        }  # fmt: skip
        dims = [{0: batch}, {0: batch}, {0: batch}, {0: batch, 1: length}, {0: batch, 1: length}]
        graph = trace(_Predict(model), example, dims, ("picture", "attention"), state, scratch)
        save_with_shared_weights({"model": to_int8_weights(graph, scratch)}, state, made / "model.safetensors")
        if card:
            write_text_atomically(made / "README.md", card)
        config = replace(config, files={file.name: sha256(file) for file in sorted(made.iterdir())})
        write_text_atomically(made / GENERATORS.file, to_json(config))
    return config
