"""Encoder throughput: our ONNX towers against transformers in eager PyTorch, same weights, batch 16."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from samespace.core.machine import usable_cpus
from samespace.preprocess.pixels import normalize_pixels
from samespace.spaces import registry
from samespace.spaces.space import Space

from . import material
from .indexing import chosen

BATCH, ROUNDS = 16, 12


def run() -> list[dict[str, str]]:
    torch.set_num_threads(usable_cpus())
    return [against_transformers("fp32"), against_transformers("int8"), starter_alone()]


def against_transformers(precision: str) -> dict[str, str]:
    space, eager = Space(material.vit_b_32_space(precision)), transformers_eager()
    squares = np.random.default_rng(0).integers(0, 256, (BATCH, 256, 256, 3), np.uint8)
    ours, peer = alternating(
        lambda: space.pixels(squares), lambda: eager(torch.from_numpy(normalize_pixels(squares, space.config.prep)))
    )
    return {
        "what": f"ViT-B/32-256 {chosen(space.folder)}, batch {BATCH}", "ours": f"{ours:.1f} img/s",
        "peer": f"transformers {peer:.1f} img/s", "ratio": f"{ours / peer:.2f}",
    }  # fmt: skip


def starter_alone() -> dict[str, str]:
    space = registry.load("starter")
    squares = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), np.uint8)
    speed, _ = alternating(lambda: space.pixels(squares), lambda: None)
    return {"what": f"starter, batch {BATCH}", "ours": f"{speed:.1f} img/s"}


def transformers_eager() -> Callable[[torch.Tensor], torch.Tensor]:
    """The same weights in transformers' CLIP vision tower."""
    from transformers import CLIPVisionModelWithProjection, logging

    logging.set_verbosity_error()  # the text tower's weights are not wanted, and it would list them
    logging.disable_progress_bar()
    theirs = CLIPVisionModelWithProjection.from_pretrained(material.vit_b_32_checkpoint()).eval()

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return theirs(pixel_values=pixels).image_embeds

    return encode


def alternating(a, b) -> tuple[float, float]:
    """Images a second of both, measured in turn so that a drifting machine hurts both alike; medians."""
    times = {a: [], b: []}
    for i in range(ROUNDS + 2):
        for side, seconds in times.items():
            started = time.perf_counter()
            side()
            if i >= 2:
                seconds.append(time.perf_counter() - started)
    return tuple(BATCH / statistics.median(times[side]) for side in (a, b))
