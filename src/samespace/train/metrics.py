"""Metrics of a run while it goes on: metrics.jsonl, TensorBoard events, a curve."""

import json
import math
from pathlib import Path
from typing import Any

from ..core.files import write_text_atomically

MAX_POINTS = 100
"""Points of a curve in a training card, at most."""


class Metrics:
    """Writes metrics by step."""

    def __init__(self, folder: Path, first: int):
        """Write to a folder, from step `first` + 1 on; on a resume, rows after the checkpoint at `first` are removed."""
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.file = folder, folder / "metrics.jsonl"
        kept = [row for row in read_rows(self.file) if row["step"] <= first] if first else []
        write_text_atomically(self.file, "".join(json.dumps(row) + "\n" for row in kept))
        self.events = SummaryWriter(folder / "events", purge_step=first + 1 if first else None)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Append one row to metrics.jsonl, and its values as events."""
        with open(self.file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"step": step} | values) + "\n")
        for name, value in values.items():
            self.events.add_scalar(name, value, step)
        self.events.flush()

    def draw_curve(self) -> None:
        """Draw curve.png: the loss and the validation metrics, by step."""
        import matplotlib

        matplotlib.use("agg")
        from matplotlib.figure import Figure

        rows = read_rows(self.file)
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        loss = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        left.plot(*zip(*loss) if loss else ((), ()), linewidth=1)
        left.set(title="loss", xlabel="step")
        names = validation_metrics(rows)
        for name in names:
            points = [(row["step"], row[name]) for row in rows if name in row]
            right.plot(*zip(*points), marker="o", markersize=3, linewidth=1, label=name.removeprefix("val/"))
        right.set(title="validation", xlabel="step")
        if all(row.get(name, 0) <= 1 for row in rows for name in names):  # shares
            right.set(ylim=(0, 1))
        if names:
            right.legend(fontsize=8)
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(self.folder / "curve.png", dpi=110)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl; a last line that is cut short, by a kill, is left out."""
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def validation_metrics(rows: list[dict[str, Any]]) -> list[str]:
    """Return the names of the validation metrics in rows of metrics.jsonl, sorted."""
    return sorted({name for row in rows for name in row if name.startswith("val/")})


def read_curves(file: Path) -> dict[str, list[list[float]]]:
    """Return the curves in metrics.jsonl, of the loss and of each validation metric: [step, value] points."""
    rows = read_rows(file)
    names = ("loss", *validation_metrics(rows))
    return {name: downsample([(row["step"], row[name]) for row in rows if name in row]) for name in names}


def downsample(points: list[tuple[int, float]]) -> list[list[float]]:
    """Return at most MAX_POINTS points: the last step and the mean value of each group of points."""
    size = math.ceil(len(points) / MAX_POINTS)
    groups = (points[i : i + size] for i in range(0, len(points), size or 1))
    return [[group[-1][0], round(sum(value for _, value in group) / len(group), 5)] for group in groups]
