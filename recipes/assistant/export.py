"""The last step: what was learned beside the language model, as the package ships it: projectors, LoRA matrices, settings.

python recipes/assistant/export.py ASSISTANT [rank=64]    # -> src/samespace/assistant/starter

However many runs came before, all they changed of a matrix of the language model is told by one pair of smaller ones, the best
of that rank (Eckart and Young 1936).
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from samespace.assistant import checkpoint as folder
from samespace.assistant import registry as shelf
from samespace.core.config import to_json
from samespace.spaces import registry

WHOLE = ("projector.", "memory.", "place")
"""Weights that ship as they are; of the language model's blocks, the changes ship."""


def pair(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A change of a matrix (out, in) → A (rank, in) and B (out, rank), whose product is nearest to it."""
    u, s, v = torch.linalg.svd(change, full_matrices=False)
    root = s[:rank].sqrt()
    return root[:, None] * v[:rank], u[:, :rank] * root


def adapter_of(after: dict[str, Tensor], before: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """An assistant's weights, and those it is put together from → what lies between them, fp16."""
    out = {}
    for name, tensor in after.items():
        if name.startswith(WHOLE):
            out[name] = tensor
        elif name.startswith("lm.blocks.") and tensor.ndim == 2:
            out[f"{name}.lora_a"], out[f"{name}.lora_b"] = pair(tensor - before[name], rank)
    return {n: (t.half() if t.is_floating_point() else t).contiguous() for n, t in out.items()}


def main(made: Path, rank: int) -> None:
    (model, _), config = folder.read(made), folder.read_config(made)
    before, _ = shelf.put_together(config, registry.find(config.space), config.language_model)
    shelf.SHIPPED.mkdir(exist_ok=True)
    save_file(adapter_of(model.state_dict(), before.state_dict(), rank), shelf.SHIPPED / shelf.ADAPTER)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (shelf.SHIPPED / name).write_bytes((made / name).read_bytes())
    card = {"recipe": "recipes/assistant"} | {k: config.card[k] for k in ("steps", "conversations_seen", "validation", "curves")}
    config = replace(config, name=shelf.STARTER, licence="Apache-2.0", files={}, card=card)
    (shelf.SHIPPED / folder.CONFIG).write_text(to_json(config), "utf-8")
    print(sum(f.stat().st_size for f in shelf.SHIPPED.iterdir()) / 1e6, "MB")


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[2:])
    main(Path(sys.argv[1]), int(options.get("rank", 64)))
