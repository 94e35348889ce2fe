"""Recompute the class vectors of the shipped starter's prior from the classes' texts; nothing is trained, and no text's vector changes.

python recipes/starter/prior.py WORK
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from common import read_lines
from export import write_gate
from train import read_class_texts, set_prior

from samespace.preprocess.tokens import Words
from samespace.spaces import registry
from samespace.spaces.checkpoints import checkpoint
from samespace.spaces.checkpoints.checkpoint import Checkpoint
from samespace.spaces.convert import export


@torch.no_grad()
def main(work: Path) -> None:
    shipped = checkpoint.load(registry.STARTER)
    model, prep = shipped.model.eval(), shipped.config.prep
    set_prior(model, read_class_texts(work, model, Words(shipped.tokenizer, prep)), model.text.keep.weight)
    towers = Checkpoint(model, replace(shipped.config, weights=""), shipped.tokenizer)
    pairs = export.held_out_pairs(towers, write_gate(work, read_lines(work / "pairs.jsonl")))
    config = export.export(towers, registry.STARTER, pairs, audio_from=registry.STARTER)
    print(json.dumps(config.card["precision"], indent=1), config.calibration)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
