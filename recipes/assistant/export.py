"""The last step: what was trained beside the language model, as the package ships it: projector, labels, LoRA matrices, settings.

python recipes/assistant/export.py ASSISTANT [rank=64]    # -> src/samespace/assistant/starter

Whatever the number of runs before, their total change of a matrix of the language model is approximated by one low-rank product, the
best of that rank (Eckart and Young 1936).
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from samespace.assistant import checkpoint, registry
from samespace.core.config import to_json
from samespace.spaces import registry as space_registry

SHIPPED_IN_FULL = ("projector.", "memory.", "place")
"""Beginnings of the names of weights that ship as they are; of the language model's blocks, the changes ship."""


def low_rank(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return A (rank, in) and B (out, rank), whose product BA is nearest to a change of a matrix (out, in)."""
    u, s, v = torch.linalg.svd(change, full_matrices=False)
    root = s[:rank].sqrt()
    return root[:, None] * v[:rank], u[:, :rank] * root


def adapter_weights(trained: dict[str, Tensor], start: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Return what turns an assistant's start weights into its trained ones, fp16."""
    out = {}
    for name, tensor in trained.items():
        if name.startswith(SHIPPED_IN_FULL):
            out[name] = tensor
        elif name.startswith("lm.blocks.") and tensor.ndim == 2:
            out[f"{name}.lora_a"], out[f"{name}.lora_b"] = low_rank(tensor - start[name], rank)
    return {n: (t.half() if t.is_floating_point() else t).contiguous() for n, t in out.items()}


def main(folder: Path, rank: int) -> None:
    (model, _), config = checkpoint.read(folder), checkpoint.read_config(folder)
    start, _ = registry.assemble(config, space_registry.find(config.space), config.language_model)
    registry.SHIPPED.mkdir(exist_ok=True)
    save_file(adapter_weights(model.state_dict(), start.state_dict(), rank), registry.SHIPPED / registry.ADAPTER)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (registry.SHIPPED / name).write_bytes((folder / name).read_bytes())
    card = {"recipe": "recipes/assistant"} | {k: config.card[k] for k in ("steps", "conversations_seen", "validation", "curves")}
    config = replace(config, name=registry.STARTER, licence="Apache-2.0", files={}, card=card)
    (registry.SHIPPED / checkpoint.CONFIG).write_text(to_json(config), "utf-8")
    print(sum(f.stat().st_size for f in registry.SHIPPED.iterdir()) / 1e6, "MB")


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[2:])
    main(Path(sys.argv[1]), int(options.get("rank", 64)))
