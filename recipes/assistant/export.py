"""The last step: what a run learned beside its language model, as the package ships it: projector, LoRA matrices, settings.

python recipes/assistant/export.py RUN    # -> src/samespace/starter_assistant
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from samespace.assistant import folder, shelf
from samespace.config import to_json

SCALE = 2.0  # what train.parts.Adapters multiplies a pair of matrices by: lora_alpha / r


def adapter_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A checkpoint's weights → the adapter: `projector.*`, `place`, and `X.lora_a`, `X.lora_b` for each changed weight X."""
    out = {}
    for name, tensor in state.items():
        name = name.removeprefix("model.")
        if name.startswith(("projector.", "place")):
            out[name] = tensor.half()
        elif ".lora_" in name:
            base, _, rest = name.partition(".lora_")
            out[f"{base}.weight.lora_{rest[0].lower()}"] = (tensor * (SCALE if rest[0] == "B" else 1.0)).half()
    return out


def main(run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    kept = {n.removeprefix("module."): t for n, t in state["average"].items()} or state["model"]
    shelf.SHIPPED.mkdir(exist_ok=True)
    save_file({n: t.contiguous() for n, t in adapter_of(kept).items()}, shelf.SHIPPED / shelf.ADAPTER)
    made = run / "assistant"
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (shelf.SHIPPED / name).write_bytes((made / name).read_bytes())
    config = folder.read_config(made)
    card = {"recipe": "recipes/assistant"} | {k: config.card[k] for k in ("steps", "conversations_seen", "validation")}
    config = replace(config, name=shelf.STARTER, licence="Apache-2.0", files={}, card=card)
    (shelf.SHIPPED / folder.CONFIG).write_text(to_json(config), "utf-8")
    print(sum(f.stat().st_size for f in shelf.SHIPPED.iterdir()) / 1e6, "MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
