"""Memory of one step of ViT-B/32 with a batch of 4096 and cached gradients, from pictures in files to the optimizer's step.

python -m benchmarks.large_batch [4096] [chunk=32]        # 40 minutes on two cores; prints the largest memory
"""

import shutil
import sys
import time

from samespace.core.config import ImageTower, Prep, TextTower
from samespace.train.config import RunConfig, Source
from samespace.train.loop import Trainer, peak_memory
from samespace.train.space_run import SpaceRun

from . import WORK, material


def main(batch: int, chunk: int) -> None:
    pairs, out = material.drawn_pairs(), WORK / "large-batch"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    config = RunConfig(
        name="large", out=str(out), train=(Source(str(pairs / "train.tsv")),),
        image=ImageTower(image_size=224, patch=32, width=768, layers=12, heads=12, mlp=3072, dim=512),
        text=TextTower(context=77, width=512, layers=12, heads=8, mlp=2048, dim=512), prep=Prep(size=224),
        tokenizer=str(material.vit_b_32_checkpoint()), batch=batch, grad_cache_chunk=chunk, steps=1, lr=1e-4, warmup=1,
        save_every=10**9, device="cpu",
    )  # fmt: skip
    run, started = SpaceRun(config), time.monotonic()
    print(f"{sum(p.numel() for p in run.model.parameters()) / 1e6:.0f} M weights", flush=True)
    trainer = Trainer(config, run.training_model, run.loader, out, writes=False)
    trainer.train(run.backward, lambda p: print(f"loss {p.loss:.3f}, {p.peak_memory} MB at its largest", flush=True))
    print(f"batch {batch}, chunks of {chunk}: {peak_memory()} MB, {(time.monotonic() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096, int(sys.argv[2].removeprefix("chunk=")) if len(sys.argv) > 2 else 32)
