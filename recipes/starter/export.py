"""Step 4: write the trained towers as the package's space folder, and the held-out pairs of the int8 gate.

python recipes/starter/export.py WORK
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from common import MINILM, PREP, image_tower, read_lines, text_tower
from PIL import Image
from torch import Tensor
from train import load_pretrained

from samespace.core.config import SpaceConfig
from samespace.media.image import opaque
from samespace.preprocess.tokens import read_tokenizer
from samespace.spaces import registry
from samespace.spaces.checkpoints.checkpoint import Checkpoint
from samespace.spaces.convert import export
from samespace.spaces.space import read_space_config
from samespace.train import checkpoint
from samespace.train.metrics import read_curves

PACKAGE = registry.STARTER.parent
N_PAIRS, SIDE = 256, 160
"""Held-out pairs in the package, and the longer side of their pictures."""
INTERPOLATION = 0.5
"""Weight of the fine-tuned weights against those before. Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"."""


def write_pairs(work: Path, pairs: list[dict]) -> None:
    """Write a few validation drawings (public domain), which no training uses, for the exporter's gate."""
    folder = PACKAGE / "convert" / "held_out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    titles, lines = set(), ["filepath\ttitle"]
    for pair in pairs:
        title = pair["captions"][0]
        if pair["split"] == "val" and pair["source"] == "openclipart" and title not in titles and len(titles) < N_PAIRS:
            name = f"{len(titles):03}.webp"
            with Image.open(work / pair["file"]) as picture:
                picture.thumbnail((SIDE, SIDE))
                opaque(picture).save(folder / name, quality=70)
            titles.add(title)
            lines.append(f"{name}\t{title}")
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n", "utf-8")


def write_gate(work: Path, pairs: list[dict]) -> Path:
    """Write a table of validation pictures with different captions, for the gate and the calibration; return its path."""
    titles, lines = set(), ["filepath\ttitle"]
    for pair in pairs:
        title = pair["captions"][0]
        if pair["split"] == "val" and title not in titles:
            titles.add(title)
            lines.append(f"{pair['file']}\t{title}")
    (work / "gate.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return work / "gate.tsv"


def interpolated_weights(ema: dict[str, Tensor], start: Path) -> dict[str, Tensor]:
    """Return the moving average of the weights, interpolated with those that training started from, if it fine-tuned."""
    trained = {name.removeprefix("module."): t for name, t in ema.items() if name.startswith("module.")}
    if not start.exists():
        return trained
    return {name: torch.lerp(t, trained[name], INTERPOLATION) for name, t in checkpoint.load(start)["model"].items()}


def main(work: Path) -> None:
    pairs = read_lines(work / "pairs.jsonl")
    write_pairs(work, pairs)
    model = load_pretrained(work).eval()
    state = checkpoint.load(work / "checkpoint.pt")
    model.load_state_dict(interpolated_weights(state["ema"], work / "start.pt"))
    counts = {s: sum(p["split"] == "train" and p["source"] == s for p in pairs) for s in {p["source"] for p in pairs}}
    earlier = read_space_config(registry.STARTER)  # its audio tower listens into the same space, and stays
    config = SpaceConfig(
        audio=earlier.audio, audio_weights=earlier.audio_weights,
        name="starter", image=image_tower(), text=text_tower(), prep=PREP, logit_scale=model.logit_scale.exp().item(),
        licence="Apache-2.0",
        origin="EfficientNet-Lite0 (Apache-2.0), all-MiniLM-L6-v2 (Apache-2.0); trained on emoji and Open Clip Art",
        card={"recipe": "recipes/starter", "steps": state["step"], "interpolation": INTERPOLATION, "curves": read_curves(work / "metrics.jsonl"),
              "pictures": {s: n for s, n in sorted(counts.items()) if n}},
    )  # fmt: skip
    tokenizer = read_tokenizer(work / MINILM / "tokenizer.json")
    towers = Checkpoint(model, config, tokenizer)
    config = export.export(
        towers, registry.STARTER, export.held_out_pairs(towers, write_gate(work, pairs)), audio_from=registry.STARTER
    )
    print(json.dumps(config.card["precision"], indent=1), config.calibration)
    print({f.name: f.stat().st_size for f in registry.STARTER.iterdir()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
