"""`--dry-run`: what a run would do, shown before hours are spent on it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..core.config import Prep
from ..generate.sampler import on_white
from ..models.llava import IMAGE_TOKEN
from ..preprocess.pixels import picture_of
from .adapters import parameter_counts
from .assistant_run import AssistantRun
from .config import RunConfig
from .conversations import IGNORE
from .data import Batch
from .drawing_run import DrawingRun
from .native_run import NativeRun
from .runs import Run
from .space_run import SpaceRun

MEASURED_PAIRS = 4
"""Pairs whose activations are measured, to estimate those of a batch."""


def report(config: RunConfig) -> Iterator[str]:
    """Yield lines to print: the first batch, parameters, and for a space the memory; a batch of pictures is drawn to OUT/batch.png."""
    if config.task == "space":
        yield from _report_space(SpaceRun(config))
    elif config.task == "draw":
        yield from _report_drawing(DrawingRun(config))
    elif config.task == "native":
        yield from _report_native(NativeRun(config))
    else:
        yield from _report_assistant(AssistantRun(config))


def _report_space(run: SpaceRun) -> Iterator[str]:
    batch = next(iter(run.loader))
    pixels, ids, dim = tuple(batch.pixels.shape), tuple(batch.ids.shape), run.space_config.dim
    yield f"a batch: {len(batch)} pairs, pixels uint8 {pixels}, ids int64 {ids}, {dim}-d space"
    yield from _parameter_lines(run)
    yield f"memory: about {estimate_memory(run, batch) / 1e9:.1f} GB (weights, gradients, AdamW, activations)"
    folder = Path(run.config.out)
    folder.mkdir(parents=True, exist_ok=True)
    contact_sheet(batch, run.space_config.prep, folder / "batch.png")
    yield f"first batch: {folder / 'batch.png'}"
    yield from _skipped_lines(run)


def _report_drawing(run: DrawingRun) -> Iterator[str]:
    batch = next(iter(run.loader))
    yield f"a batch: {len(batch)} pictures, pixels uint8 {tuple(batch.pixels.shape)}, {run.generator_config.dim}-d space"
    yield from _parameter_lines(run)
    folder = Path(run.config.out)
    folder.mkdir(parents=True, exist_ok=True)
    batch.pixels = torch.from_numpy(on_white(batch.pixels.numpy()))
    contact_sheet(batch, run.prep, folder / "batch.png")
    yield f"first batch: {folder / 'batch.png'}"
    yield from _skipped_lines(run)


def _report_native(run: NativeRun) -> Iterator[str]:
    batch = next(iter(run.loader))
    rows, length = batch.stream.ids.shape
    drawn, learnt = int(batch.drawn.sum()), int((batch.targets != IGNORE).sum())
    yield f"a batch: {run.config.batch} documents in {rows} rows of {length} tokens; {learnt} words learned, {drawn} patches and chunks drawn"
    yield from _parameter_lines(run)
    ids = batch.stream.ids[0][(batch.stream.kinds[0] == 0) & (batch.stream.documents[0] == 1)]
    yield f"the first: {run.words.tokenizer.decode(ids.tolist(), skip_special_tokens=False)!r}"
    yield from _skipped_lines(run)


def _report_assistant(run: AssistantRun) -> Iterator[str]:
    batch = next(iter(run.loader))
    shape, learned, views = tuple(batch.ids.shape), int((batch.targets != IGNORE).sum()), sum(batch.views)
    yield f"a batch: {len(batch)} conversations, ids int64 {shape}, {learned} tokens learned, {views} views"
    yield from _parameter_lines(run)
    ids = [i if i != IMAGE_TOKEN else 0 for i in batch.ids[0].tolist()]
    yield f"the first: {run.chat.tokenizer.decode(ids, skip_special_tokens=False)!r}"
    yield from _skipped_lines(run)


def _parameter_lines(run: Run[Any, Any]) -> Iterator[str]:
    for part, (total, trained) in parameter_counts(run.model).items():
        yield f"  {part:24} {total / 1e6:9.2f} M parameters, {trained / 1e6:9.2f} M trained"


def _skipped_lines(run: Run[Any, Any]) -> Iterator[str]:
    for name, reason in run.loader.skipped.reasons.items():
        yield f"skipped {name}: {reason}"


def estimate_memory(run: SpaceRun, batch: Batch) -> int:
    """Return the bytes of a step at its peak, extrapolated from the activations of a few pairs and of twice as many."""
    few = max(1, min(MEASURED_PAIRS, len(batch) // 2))
    activations = (activation_bytes(run, batch.rows(0, 2 * few)) - activation_bytes(run, batch.rows(0, few))) / few
    at_a_time = min(run.config.grad_cache_chunk or len(batch), len(batch))
    total, trained = (sum(counts[i] for counts in parameter_counts(run.model).values()) for i in (0, 1))
    weights = 4 * (total * (2 if run.config.ema_decay else 1) + 3 * trained)
    return int(weights + activations * at_a_time + 3 * batch.pixels.nbytes)  # of this batch, and the next while it is decoded


def activation_bytes(run: SpaceRun, batch: Batch) -> int:
    """Return the bytes that a forward pass keeps for the backward pass."""
    sizes: dict[int, int] = {}

    def measure(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(measure, lambda x: x):
        out = run.training_model(batch.pixels.to(run.device), batch.ids.to(run.device))
    del out
    return sum(sizes.values())


def contact_sheet(batch: Batch, prep: Prep, path: Path, most: int = 48, side: int = 112) -> None:
    """Draw a batch's first pictures with their captions to a file, as the towers get them."""
    count = min(most, len(batch))
    across = min(8, count)
    sheet = Image.new("RGB", (across * (side + 8), math.ceil(count / across) * (side + 34)), "white")
    pen = ImageDraw.Draw(sheet)
    for i in range(count):
        x, y = i % across * (side + 8) + 4, i // across * (side + 34) + 4
        sheet.paste(picture_of(batch.pixels[i].numpy(), prep).resize((side, side)), (x, y))
        text = batch.captions[i].encode("latin-1", "replace").decode("latin-1")
        pen.text((x, y + side + 1), text[:19], fill="black")
        pen.text((x, y + side + 13), text[19:38], fill="black")
    sheet.save(path)
