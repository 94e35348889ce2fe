"""The last step: what the runs learned beside the language model, as the package ships it: projectors, LoRA matrices, settings.

python recipes/assistant/export.py START RUN [rank=32]    # -> src/samespace/starter_assistant

START is the assistant that RUN began with. However many runs came before, all they changed of the language model's weights
is told by one pair of matrices each, the best of that rank (Eckart and Young 1936).
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from samespace import hub
from samespace.assistant import folder, shelf
from samespace.config import to_json

SCALE = 2.0  # what train.parts.Adapters multiplies a pair of matrices by: lora_alpha / r
KEPT = ("projector.", "z_projector.", "place")


def learned(start: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's weights, its LoRA matrices multiplied in: those that ship whole, and every changed matrix."""
    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    out = {name: tensor for name, tensor in state.items() if name.startswith(KEPT)}
    for name, a in state.items():
        base, found, rest = name.partition(".lora_A")
        if found:
            out[f"{base}.weight"] = start[f"{base}.weight"] + SCALE * state[f"{base}.lora_B{rest}"] @ a
    return out


def pair(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A change of a matrix (out, in) → A (rank, in) and B (out, rank), whose product is nearest to it."""
    u, s, v = torch.linalg.svd(change, full_matrices=False)
    root = s[:rank].sqrt()
    return root[:, None] * v[:rank], u[:, :rank] * root


def main(start: Path, run: Path, rank: int) -> None:
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    kept = {n.removeprefix("module."): t for n, t in state["average"].items()} or state["model"]
    made = folder.read_config(run / "assistant")
    before = shelf.put_together(made, hub.find(made.space), made.language_model)[0].state_dict()
    adapter = {}
    for name, tensor in learned(folder.read(start)[0].state_dict(), kept).items():
        if name.startswith(KEPT):
            adapter[name] = tensor.half()
        else:
            a, b = pair(tensor - before[name], rank)
            adapter |= {f"{name}.lora_a": a.half(), f"{name}.lora_b": b.half()}
    shelf.SHIPPED.mkdir(exist_ok=True)
    save_file({n: t.contiguous() for n, t in adapter.items()}, shelf.SHIPPED / shelf.ADAPTER)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (shelf.SHIPPED / name).write_bytes((run / "assistant" / name).read_bytes())
    card = {"recipe": "recipes/assistant"} | {k: made.card[k] for k in ("steps", "conversations_seen", "validation")}
    config = replace(made, name=shelf.STARTER, licence="Apache-2.0", files={}, card=card)
    (shelf.SHIPPED / folder.CONFIG).write_text(to_json(config), "utf-8")
    print(sum(f.stat().st_size for f in shelf.SHIPPED.iterdir()) / 1e6, "MB")


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[3:])
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(options.get("rank", 32)))
