"""The training loop against open_clip's: same tiny ViT, same 20,000 pairs, batch, steps and optimizer, on the CPU."""

import json
import sys
from pathlib import Path

from . import WORK, material
from .measured import measure

EPOCHS, LARGE, LARGE_STEPS = 3, 1024, 10


def run() -> list[dict[str, str]]:
    """Speed, loss and recall at batch 256; memory at batch 1024, ours with cached gradients."""
    pairs = material.drawn_pairs()
    steps = EPOCHS * (material.DRAWN // 256)
    ours, theirs = side("our", pairs, 256, steps), side("open_clip", pairs, 256, steps)
    rows = [
        compared("20,000 pairs, tiny ViT, batch 256", "pairs_s", ours, theirs, "{:.0f} pairs/s"),
        compared("  final loss", "loss", theirs, ours, "{:.3f}"),
        compared("  recall@5 of 500 new pairs", "recall", ours, theirs, "{:.3f}"),
        compared("  peak memory", "peak_mb", theirs, ours, "{:.0f} MB"),
    ]
    ours, theirs = side("our", pairs, LARGE, LARGE_STEPS, chunk=64), side("open_clip", pairs, LARGE, LARGE_STEPS)
    return [*rows, compared("  peak memory, batch 1024, chunks of 64", "peak_mb", theirs, ours, "{:.0f} MB")]


def side(name: str, pairs: Path, batch: int, steps: int, chunk: int = 0) -> dict:
    out = WORK / "training" / f"{name}-{batch}"
    module = {"our": "benchmarks.our_trainer", "open_clip": "benchmarks.open_clip_trainer"}[name]
    return measure(
        [
            sys.executable,
            "-m",
            module,
            json.dumps({"pairs": str(pairs), "out": str(out), "batch": batch, "steps": steps, "chunk": chunk}),
        ]
    )


def compared(what: str, key: str, over: dict, under: dict, form: str) -> dict[str, str]:
    """A row whose ratio is over / under; ours is shown first either way."""
    ours, theirs = (over, under) if over["side"] == "ours" else (under, over)
    return {
        "what": what, "ours": form.format(ours[key]), "peer": f"open_clip {form.format(theirs[key])}",
        "ratio": f"{over[key] / under[key]:.2f}",
    }  # fmt: skip
