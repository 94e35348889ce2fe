"""What a run tells while it goes on: metrics.jsonl, TensorBoard events, a curve, a contact sheet."""

import json
import math
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from .data import Batch

POINTS = 100
"""Of a curve that is kept in a card, at most."""


class Watch:
    """Writes numbers by step. On a resume, what was written after the checkpoint is taken back."""

    def __init__(self, folder: Path, first: int):
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.file = folder, folder / "metrics.jsonl"
        kept = [row for row in read_rows(self.file) if row["step"] <= first] if first else []
        self.file.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
        self.events = SummaryWriter(folder / "events", purge_step=first + 1 if first else None)

    def note(self, step: int, **values: Any) -> None:
        """One row of metrics, its numbers as events too."""
        with open(self.file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"step": step} | values) + "\n")
        for name, value in values.items():
            self.events.add_scalar(name, value, step)
        self.events.flush()

    def draw(self) -> None:
        """curve.png: the loss, and recall on the validation pairs, by step."""
        import matplotlib

        matplotlib.use("agg")
        from matplotlib.figure import Figure

        rows = read_rows(self.file)
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        loss = [(r["step"], r["loss"]) for r in rows if "loss" in r]
        left.plot(*zip(*loss) if loss else ((), ()), linewidth=1)
        left.set(title="loss", xlabel="step")
        names = sorted({k for r in rows for k in r if k.startswith("val/")})
        for name in names:
            points = [(r["step"], r[name]) for r in rows if name in r]
            right.plot(*zip(*points), marker="o", markersize=3, linewidth=1, label=name.removeprefix("val/"))
        right.set(title="validation", xlabel="step", ylim=(0, 1))
        if names:
            right.legend(fontsize=8)
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(self.folder / "curve.png", dpi=110)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line that a kill cut short is left out."""
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def curves_of(file: Path) -> dict[str, list[list[float]]]:
    """The loss, and each number of validation: [step, value] pairs, each the mean of the steps up to it since the last."""
    rows = read_rows(file)
    names = sorted({name for row in rows for name in row if name.startswith("val/")})
    return {name: thinned([(r["step"], r[name]) for r in rows if name in r]) for name in ("loss", *names)}


def thinned(points: list[tuple[int, float]]) -> list[list[float]]:
    """At most POINTS of them: the last step and the mean value of each bunch."""
    bunch = math.ceil(len(points) / POINTS)
    some = (points[i : i + bunch] for i in range(0, len(points), bunch or 1))
    return [[steps[-1], round(sum(values) / len(values), 5)] for steps, values in (zip(*s) for s in some)]


def contact_sheet(batch: Batch, path: Path, most: int = 48, side: int = 112) -> None:
    """The first pictures of a batch with their captions, as the towers get them."""
    count = min(most, len(batch))
    across = min(8, count)
    sheet = Image.new("RGB", (across * (side + 8), math.ceil(count / across) * (side + 34)), "white")
    pen = ImageDraw.Draw(sheet)
    for i in range(count):
        x, y = i % across * (side + 8) + 4, i // across * (side + 34) + 4
        sheet.paste(Image.fromarray(batch.pixels[i].numpy()).resize((side, side)), (x, y))
        words = batch.captions[i].encode("latin-1", "replace").decode("latin-1")
        pen.text((x, y + side + 1), words[:19], fill="black")
        pen.text((x, y + side + 13), words[19:38], fill="black")
    sheet.save(path)
