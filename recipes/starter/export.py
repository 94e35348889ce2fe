"""Step 4: the trained towers -> the space folder in the package, and the held-out pairs of the int8 gate.

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
from train import start

from samespace.core.config import SpaceConfig
from samespace.media.image import opaque
from samespace.preprocess.tokens import read_tokenizer
from samespace.spaces import export, registry
from samespace.spaces.checkpoint import Checkpoint
from samespace.train import checkpoint as state
from samespace.train.metrics import curves_of

PACKAGE = registry.STARTER.parent
PAIRS, SIDE = 256, 160
WAY = 0.5
"""Between two trainings' weights all of validation is better than at either end. Wortsman et al. 2022, "Robust fine-tuning"."""


def write_pairs(work: Path, pairs: list[dict]) -> None:
    """A few validation drawings (public domain), which no training saw, for the gate to measure on."""
    folder = PACKAGE / "held_out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    seen, lines = set(), ["filepath\ttitle"]
    for pair in pairs:
        title = pair["captions"][0]
        if pair["split"] == "val" and pair["source"] == "openclipart" and title not in seen and len(seen) < PAIRS:
            name = f"{len(seen):03}.webp"
            with Image.open(work / pair["file"]) as picture:
                picture.thumbnail((SIDE, SIDE))
                opaque(picture).save(folder / name, quality=70)
            seen.add(title)
            lines.append(f"{name}\t{title}")
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n", "utf-8")


def write_gate(work: Path, pairs: list[dict]) -> Path:
    """Every validation picture with a caption of its own: what the gate and the calibration are measured on here."""
    seen, lines = set(), ["filepath\ttitle"]
    for pair in pairs:
        title = pair["captions"][0]
        if pair["split"] == "val" and title not in seen:
            seen.add(title)
            lines.append(f"{pair['file']}\t{title}")
    (work / "gate.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return work / "gate.tsv"


def weights(average: dict[str, Tensor], start: Path) -> dict[str, Tensor]:
    """The running average; or, where the training went on from others, WAY of the way from those to it."""
    averaged = {name.removeprefix("module."): t for name, t in average.items() if name.startswith("module.")}
    if not start.exists():
        return averaged
    return {name: torch.lerp(t, averaged[name], WAY) for name, t in state.load(start)["model"].items()}


def main(work: Path) -> None:
    pairs = read_lines(work / "pairs.jsonl")
    write_pairs(work, pairs)
    model = start(work).eval()
    kept = state.load(work / "checkpoint.pt")
    model.load_state_dict(weights(kept["average"], work / "start.pt"))
    counts = {s: sum(p["split"] == "train" and p["source"] == s for p in pairs) for s in {p["source"] for p in pairs}}
    config = SpaceConfig(
        name="starter", image=image_tower(), text=text_tower(), prep=PREP, logit_scale=model.logit_scale.exp().item(),
        licence="Apache-2.0",
        origin="EfficientNet-Lite0 (Apache-2.0), all-MiniLM-L6-v2 (Apache-2.0); trained on emoji and Open Clip Art",
        card={"recipe": "recipes/starter", "steps": kept["step"], "way": WAY, "curves": curves_of(work / "metrics.jsonl"),
              "pictures": {s: n for s, n in sorted(counts.items()) if n}},
    )  # fmt: skip
    tokenizer = read_tokenizer(work / MINILM / "tokenizer.json")
    checkpoint = Checkpoint(model, config, tokenizer)
    written = export.export(checkpoint, registry.STARTER, export.held_out_pairs(checkpoint, write_gate(work, pairs)))
    print(json.dumps(written.card["precision"], indent=1), written.calibration)
    print({f.name: f.stat().st_size for f in registry.STARTER.iterdir()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
