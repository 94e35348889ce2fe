"""Our side of the training benchmark, in a process of its own: prints one line of JSON."""

import json
import shutil
import sys
import time
from pathlib import Path

from samespace.core.config import ImageTower, Prep, TextTower
from samespace.train.config import RunConfig, Source
from samespace.train.loop import Progress, Trainer, peak_memory
from samespace.train.space_run import SpaceRun

from . import material


def main(job: dict) -> None:
    pairs, out = Path(job["pairs"]), Path(job["out"])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    config = RunConfig(
        name="tiny", out=str(out), train=(Source(str(pairs / "train.tsv")),), val=(Source(str(pairs / "val.tsv")),),
        image=ImageTower(image_size=64, patch=16, width=128, layers=4, heads=4, mlp=512, dim=128),
        text=TextTower(context=24, width=128, layers=2, heads=4, mlp=512, dim=128), prep=Prep(size=64),
        tokenizer=str(material.vit_b_32_checkpoint()), batch=job["batch"], grad_cache_chunk=job["chunk"], steps=job["steps"], lr=1e-3,
        warmup=50, grad_clip=0.0, save_every=10**9, device="cpu",
    )  # fmt: skip
    run, times, losses = SpaceRun(config), [], []
    trainer = Trainer(config, run.training_model, run.loader, out, writes=False)

    def on_step(progress: Progress) -> None:
        times.append(time.monotonic())
        losses.append(progress.loss)

    trainer.train(run.backward, on_step)
    speed = config.batch * (len(times) - 1) / (times[-1] - times[0])
    peak = peak_memory()
    recall = run.measure(run.model)["image_retrieval_recall@5"]
    print(
        json.dumps(
            {"side": "ours", "pairs_s": speed, "loss": sum(losses[-20:]) / len(losses[-20:]), "recall": recall, "peak_mb": peak}
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
