"""What an accelerator does: encoding in fp16, indexing end to end, a training step; against open_clip on the same machine.

    python -m benchmarks.gpu            # on a machine with CUDA and onnxruntime-gpu: under four minutes
    python -m benchmarks.gpu --small    # tiny towers on the CPU, to see that the script works

Weights are random: speed does not depend on them. A part that cannot run says why, and the others go on.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from samespace.core.config import ImageTower, Prep, SpaceConfig, TextTower, to_json
from samespace.core.files import write_text_atomically
from samespace.core.machine import usable_cpus
from samespace.library.library import Library
from samespace.models.clip import DualEncoder
from samespace.models.losses import clip_loss
from samespace.preprocess.pixels import normalize_pixels
from samespace.spaces.checkpoints.checkpoint import Checkpoint
from samespace.spaces.checkpoints.towers import dual_encoder
from samespace.spaces.convert import export
from samespace.spaces.convert.onnx import fp32_state, save_with_shared_weights, weights_of
from samespace.spaces.convert.quantize import to_half
from samespace.spaces.space import Space

from . import (
    WORK,
    torchvision_on_cpu,  # noqa: F401  before open_clip
)

ROUNDS, SECONDS = 5, 4.0


@dataclass(frozen=True)
class Size:
    """What is measured: our towers, and the same in open_clip's config."""

    name: str
    image: ImageTower
    text: TextTower
    batch: int
    theirs: dict


def sizes(small: bool) -> tuple[Size, ...]:
    """ViT-B/32 and SO400M/14 at 384 pixels, or a tiny one."""
    if small:
        vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
        words = {"context_length": 77, "vocab_size": 512, "width": 64, "heads": 2, "layers": 2}
        image = ImageTower(image_size=64, patch=16, width=64, layers=2, heads=2, mlp=256, dim=32)
        text = TextTower(vocab=512, width=64, layers=2, heads=2, mlp=256, dim=32, end=511)
        return (Size("tiny", image, text, 8, {"embed_dim": 32, "vision_cfg": vision, "text_cfg": words}),)
    words = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
    b32 = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}
    so400m = {"image_size": 378, "layers": 27, "width": 1152, "head_width": 72, "mlp_ratio": 3.7362, "patch_size": 14}
    large = ImageTower(image_size=378, patch=14, width=1152, layers=27, heads=16, mlp=4304, dim=512)
    return (
        Size("ViT-B/32", ImageTower(), TextTower(), 256, {"embed_dim": 512, "vision_cfg": b32, "text_cfg": words}),
        Size("SO400M/14-378", large, TextTower(), 64, {"embed_dim": 512, "vision_cfg": so400m, "text_cfg": words}),
    )


def main(small: bool) -> None:
    if not small and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device here; install a CUDA build of torch, or try: python -m benchmarks.gpu --small")
    device = "cpu" if small else "cuda"
    name = torch.cuda.get_device_name() if not small else "the CPU, tiny towers"
    print(f"{name}, {usable_cpus()} CPUs, torch {torch.__version__}", flush=True)
    parts: list[tuple[str, Callable[[], str]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes(small):
            space = written(size, Path(scratch))
            parts.append((f"{size.name}, fp16, batch {size.batch}", lambda s=size, f=space: encoding(s, f, device)))
        parts.append(("indexing JPEGs end to end", lambda: indexing(Path(scratch) / "0", 8 if small else 400)))
        parts.append(
            (
                f"a training step of {64 if small else 1024} pairs",
                lambda: training(sizes(small)[0], device, 64 if small else 1024),
            )
        )
        for what, part in parts:
            started = time.perf_counter()
            try:
                found = part()
            except Exception as error:  # whatever a driver raises; the other parts are still worth having
                found = f"not measured: {type(error).__name__}: {str(error)[:200]}"
            print(f"  {what:36} {found}   [{time.perf_counter() - started:.0f} s]", flush=True)


def written(size: Size, scratch: Path) -> Path:
    """Write a space of random weights, with a graph in fp16 for the device."""
    model = dual_encoder(size.image, size.text).eval()
    config = SpaceConfig(image=size.image, text=size.text, prep=Prep(size=size.image.image_size))
    checkpoint, folder = Checkpoint(model, replace(config, name=size.name), None), scratch / str(len(list(scratch.iterdir())))
    state = fp32_state(model)
    graph = export.traced_tower(checkpoint, "image", state, scratch)
    folder.mkdir()
    for name, made in (("image.half", to_half(graph)), ("image", graph)):
        save_with_shared_weights({name: made}, weights_of(made, state), folder / f"{name}.safetensors")
    write_text_atomically(folder / "space.json", to_json(checkpoint.config))
    return folder


def encoding(size: Size, folder: Path, device: str) -> str:
    """Pictures a second from uint8 on the host to vectors on the host: ONNX Runtime against open_clip."""
    import open_clip

    space = Space(folder)
    squares = np.random.default_rng(0).integers(0, 256, (size.batch, *space.config.prep.shape), np.uint8)
    theirs: nn.Module = open_clip.CLIP(**size.theirs).to(device, torch.float32 if device == "cpu" else torch.float16).eval()
    space_tower = space._image_tower
    if device != "cpu" and space_tower.device == "cpu":
        raise RuntimeError("ONNX Runtime has no accelerator here; install onnxruntime-gpu")

    @torch.inference_mode()
    def peer() -> None:
        pixels = torch.from_numpy(normalize_pixels(squares, space.config.prep)).to(device, next(theirs.parameters()).dtype)
        theirs.encode_image(pixels, normalize=True).float().cpu()

    ours, other = in_turn(lambda: space_tower(normalize_pixels(squares, space.config.prep)), peer)
    return f"{size.batch / ours:.0f} img/s on {space_tower.device}, open_clip {size.batch / other:.0f} img/s: {other / ours:.2f}"


def indexing(folder: Path, count: int) -> str:
    """JPEGs a second of `samespace index`."""
    from . import material

    photographs = material.photographs(count)
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        started = time.perf_counter()
        report = Library(Path(scratch) / "library", Space(folder)).add([photographs])
        seconds = time.perf_counter() - started
    return f"{report.added / seconds:.1f} img/s of {report.added} JPEGs of 12 MP"


def training(size: Size, device: str, batch: int) -> str:
    """Pairs a second of forward, loss, backward and AdamW in bf16, all pairs at once."""
    import open_clip

    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn(batch, 3, size.image.image_size, size.image.image_size, generator=rng).to(device)
    ids = torch.randint(1, size.text.vocab - 2, (batch, size.text.context), generator=rng).to(device)
    ids[:, -1] = size.text.end
    ours: DualEncoder = dual_encoder(size.image, size.text).to(device).train()
    theirs: nn.Module = open_clip.CLIP(**size.theirs).to(device).train()
    their_loss = open_clip.ClipLoss()

    def our_loss() -> torch.Tensor:
        z_image, z_text = ours(pixels, ids)
        return clip_loss(z_image, z_text, ours.logit_scale.exp())

    def peer_loss() -> torch.Tensor:
        image, text, scale = theirs(pixels, ids)[:3]
        return their_loss(image, text, scale)

    steps = [stepping(model, loss, device) for model, loss in ((ours, our_loss), (theirs, peer_loss))]
    mine, other = in_turn(*steps)
    return f"{batch / mine:.0f} pairs/s, open_clip {batch / other:.0f} pairs/s: {other / mine:.2f}"


def stepping(model: nn.Module, loss: Callable[[], torch.Tensor], device: str) -> Callable[[], None]:
    """Return what does one step of training."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device != "cpu")

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device != "cpu":
            torch.cuda.synchronize()

    return step


def in_turn(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a call of each, in turn; medians of rounds after two that are not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(ROUNDS + 2):
        for seconds, call in zip(times, (ours, peer)):
            started, calls = time.perf_counter(), 0
            while not calls or (i >= 2 and time.perf_counter() - started < SECONDS / ROUNDS):
                call()
                calls += 1
            if i >= 2:
                seconds.append((time.perf_counter() - started) / calls)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main("--small" in sys.argv[1:])
