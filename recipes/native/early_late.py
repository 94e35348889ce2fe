"""Early against late fusion at equal compute: the same documents, words, transformer and floating-point operations, at three budgets.

    python recipes/native/early_late.py WORK [TERA-OPERATIONS …]        # default 12 36 108: about an hour and a half on two cores

Early: patches enter the one transformer as they are. Late: a vision encoder of ENCODER blocks reads each picture by itself, and a projector
of two layers brings it into the stream, LLaVA's way, trained from the start; a step of it costs more, and so it makes fewer. Operations
are counted by PyTorch over a step of each. What they have learnt is said by the losses of the last tenth of their steps, whose documents
hardly any run has seen before; and each model names held-out pictures among a hundred. Prints a table and draws WORK/native/early_late.png;
runs that were made are not made again.
"""

import json
import sys
from pathlib import Path

import matplotlib
import torch
from torch.utils.flop_counter import FlopCounterMode

from samespace.evaluate.drawing import different
from samespace.evaluate.native import CHOICES, NativeEvaluation
from samespace.generate.native import load_native
from samespace.train import runs
from samespace.train.config import RunConfig, read_config
from samespace.train.documents import picture_pairs
from samespace.train.metrics import read_rows
from samespace.train.native_run import NativeRun

matplotlib.use("agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
BUDGETS = (12.0, 36.0, 108.0)
"""10¹² operations, forwards and backwards."""
ENCODER = 4
VARIANTS = {"early": 0, "late": ENCODER}
"""Name → blocks of its vision encoder."""


def config_of(work: Path, variant: str, steps: int, out: Path) -> RunConfig:
    """Return a variant's run: the recipe's, of another length."""
    native = work / "native"
    train = [
        {"path": str(native / f"{name}.jsonl"), "weight": weight}
        for name, weight in (("captions", 5), ("questions", 1), ("stories", 1))
    ]
    said = {
        "train": "[" + ", ".join(f'{{path = "{one["path"]}", weight = {one["weight"]}}}' for one in train) + "]",
        "val": f'["{native / "val.jsonl"}"]', "tokenizer": str(native), "out": str(out), "steps": steps, "warmup": steps // 10,
        "evaluate_every": steps, "native.encoder": VARIANTS[variant], "compile": "false",
    }  # fmt: skip
    return read_config(HERE / "run.toml", [f"{key}={value}" for key, value in said.items()])


def operations(config: RunConfig) -> float:
    """Return how many floating-point operations a step takes, in 10¹²."""
    run = NativeRun(config)
    batch = next(iter(run.loader))
    with FlopCounterMode(display=False) as counted:
        run.backward(batch)
    return counted.get_total_flops() / 1e12


def measured(work: Path, out: Path) -> dict[str, float]:
    """Return the losses at a run's end, and how often its model finds the caption of a held-out picture among a hundred."""
    rows = [row for row in read_rows(out / "metrics.jsonl") if "words" in row]
    last = rows[-max(10, len(rows) // 10) :]
    losses = {name: round(sum(row[name] for row in last) / len(last), 4) for name in ("words", "drawn")}
    native = load_native(out / "native")
    found = picture_pairs(str(work / "draw" / "test.jsonl"), native.config.size)
    chosen = list(different([captions for _, captions in found]))[:CHOICES]
    pictures, words = [found[i][0] for i in chosen], [found[i][1][0] for i in chosen]
    return NativeEvaluation(native).names("caption", pictures, words) | losses


def main(work: Path, budgets: tuple[float, ...]) -> None:
    place, rows = work / "native" / "early_late", []
    place.mkdir(parents=True, exist_ok=True)
    cost = {variant: operations(config_of(work, variant, 10, place / "none")) for variant in VARIANTS}
    for budget in budgets:
        for variant, step in cost.items():
            out, steps = place / f"{variant}-{budget:g}", max(1, round(budget / step))
            if not (out / "native" / "native.json").exists():
                runs.train(NativeRun, config_of(work, variant, steps, out), (out / "checkpoint.pt").exists(), lambda *_: None)
            with torch.inference_mode():
                rows.append({"variant": variant, "budget": budget, "steps": steps} | measured(work, out))
            print(json.dumps(rows[-1]), flush=True)
    print(
        "\n| 10¹² operations | fusion | steps | loss of words | of what is drawn | caption R@1 | R@5 | blind R@5 |\n|---|---|---|---|---|---|---|---|"
    )
    for r in rows:
        found = " | ".join(f"{r[name]:.2f}" for name in ("caption_recall@1", "caption_recall@5", "caption_blind_recall@5"))
        print(f"| {r['budget']:g} | {r['variant']} | {r['steps']} | {r['words']:.3f} | {r['drawn']:.4f} | {found} |")
    draw(rows, place.with_suffix(".png"))


def draw(rows: list[dict], file: Path) -> None:
    """Draw both measures over the budgets."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    for axis, name, title in ((axes[0], "words", "loss of words"), (axes[1], "drawn", "loss of what is drawn")):
        for variant in VARIANTS:
            points = [(r["budget"], r[name]) for r in rows if r["variant"] == variant]
            axis.plot(*zip(*points), marker="o", label=variant)
        axis.set(xscale="log", xlabel="10¹² operations", title=title)
        axis.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), tuple(map(float, sys.argv[2:])) or BUDGETS)
