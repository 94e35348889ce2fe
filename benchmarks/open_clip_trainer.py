"""open_clip's side of the training benchmark: its own training program, as its users start it. Prints one line of JSON."""

import json
import re
import shutil
import sys
from pathlib import Path

import torch

from samespace.core.config import ImageTower, Prep, SpaceConfig, TextTower
from samespace.evaluate.retrieval import retrieval
from samespace.spaces.checkpoints.checkpoint import Checkpoint
from samespace.spaces.checkpoints.tensors import fill
from samespace.spaces.checkpoints.towers import dual_encoder
from samespace.spaces.checkpoints.weight_maps import OPEN_CLIP, renamed
from samespace.train.config import Source
from samespace.train.data import SkippedSamples, read_pairs
from samespace.train.loop import peak_memory

from . import (
    material,
    torchvision_on_cpu,  # noqa: F401  before open_clip
)

MODEL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}


def main(job: dict) -> None:
    import open_clip
    from open_clip_train.main import main as train

    pairs, out, batch = Path(job["pairs"]), Path(job["out"]), job["batch"]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "tiny.json").write_text(json.dumps(MODEL))
    open_clip.add_model_config(out / "tiny.json")
    epochs = max(1, job["steps"] // (material.DRAWN // batch))
    train([
        "--train-data", str(few(pairs, out, batch, job["steps"])), "--dataset-type", "csv", "--csv-separator", "\t",
        "--model", "tiny", "--batch-size", str(batch), "--epochs", str(epochs), "--lr", "1e-3", "--wd", "0.1",
        "--warmup", "50", "--beta1", "0.9", "--beta2", "0.98", "--eps", "1e-6", "--workers", "2", "--precision", "fp32",
        "--device", "cpu", "--logs", str(out), "--name", "run", "--log-every-n-steps", "1", "--seed", "0",
    ])  # fmt: skip
    peak = peak_memory()
    log = (out / "run" / "out.log").read_text()
    times = [float(t) for t in re.findall(r"Batch \(t\): ([\d.]+)", log)]
    losses = [float(t) for t in re.findall(r" Loss: ([\d.]+)", log)]
    speed = batch * (len(times) - 1) / sum(times[1:])
    state = torch.load(sorted((out / "run" / "checkpoints").glob("*.pt"))[-1], map_location="cpu", weights_only=True)
    recall = recall_of(state["state_dict"], pairs)
    print(
        json.dumps(
            {"side": "theirs", "pairs_s": speed, "loss": sum(losses[-20:]) / len(losses[-20:]), "recall": recall, "peak_mb": peak}
        )
    )


def few(pairs: Path, out: Path, batch: int, steps: int) -> Path:
    """The training table, cut to what the steps need where that is less than an epoch."""
    lines = (pairs / "train.tsv").read_text("utf-8").splitlines()[: 1 + batch * steps]
    rows = [lines[0], *(f"{pairs}/{line}" for line in lines[1:])]
    (out / "train.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return out / "train.tsv"


def recall_of(state: dict[str, torch.Tensor], pairs: Path) -> float:
    """Our measure on their weights, with their own ids for words."""
    import open_clip

    image = ImageTower(image_size=64, patch=16, width=128, layers=4, heads=4, mlp=512, dim=128)
    text = TextTower(context=24, width=128, layers=2, heads=4, mlp=512, dim=128)
    model = dual_encoder(image, text).eval()
    fill(model, renamed({k.removeprefix("module."): v for k, v in state.items()}, OPEN_CLIP))
    prep = Prep(size=64, context=24)
    tokenizer = open_clip.get_tokenizer("tiny")
    towers = Towers(model, SpaceConfig(image=image, text=text, prep=prep), None)
    towers.ids = Ids(tokenizer)
    squares, captions = read_pairs((Source(str(pairs / "val.tsv")),), prep, SkippedSamples())
    found = retrieval(towers, towers.pixels(squares), captions)
    return found["image_retrieval_recall@5"]


class Towers(Checkpoint):
    """A checkpoint with open_clip's tokenizer."""

    @property
    def words(self):
        return self.ids


class Ids:
    """open_clip's tokenizer in the shape of prep.tokens.Words."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def ids(self, texts: list[str]):
        return self.tokenizer(texts).numpy()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
