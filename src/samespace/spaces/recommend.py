"""Which space suits this machine and these languages: published quality, beside what this machine would do with it.

The machine is measured for a few seconds: how fast it decodes 12-megapixel JPEGs, and how fast ONNX Runtime multiplies matrices of a
ViT's size. Pictures a second follow from a tower's number of operations; they are estimates.
"""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..core.machine import free_memory, usable_cpus
from ..media import image as image_media
from . import devices, registry
from .sessions import Tower, available_devices

TABLE = Path(__file__).with_name("recommended.tsv")
"""Spaces that people use, with where their numbers were published."""
PROBES = Path(__file__).with_name("probes")
"""Graphs that measure a machine; recipes/probe makes them."""
WIDTH, HIDDEN, ROWS = 768, 3072, 16 * 65
"""Sizes of the probes' product: a batch of 16 pictures of 65 tokens."""
SECONDS = 1.0
"""Each thing is measured for about this long."""
EFFICIENCY = 0.65
"""Of a product's speed, what a whole tower reaches beside decoding: with it, the 21.7 pictures a second at which `python -m benchmarks
indexing` indexes with ViT-B/32-256 are foretold on that machine."""
ENOUGH = 3.0
"""Pictures a second with which 100,000 take a working day; a slower space is not recommended."""
OVERHEAD_MB = 350
"""Memory of a process that indexes, beside the weights: the interpreter, the database, decoded pictures."""


@dataclass(frozen=True)
class Machine:
    """What was measured."""

    decoding: float
    """12-megapixel JPEGs a second, on all processors."""
    gflops: float
    """Billions of operations a second, of int8 products on the CPU or fp32 ones on an accelerator."""
    device: str
    """Where."""
    memory_mb: int
    """Memory that is free; 0 where the system does not say."""


@dataclass(frozen=True)
class Choice:
    """A space and what it would be here."""

    name: str
    languages: str
    """en, or how many."""
    download_mb: int
    memory_mb: int
    """While indexing, with int8 weights."""
    pictures: float
    """A second, here."""
    imagenet: float | None
    """Published zero-shot accuracy on ImageNet, in percent; None where nobody published one."""
    licence: str
    here: bool
    """Whether it is installed."""


def measure() -> Machine:
    """Return what this machine does, measured for a few seconds."""
    fastest, device = 0.0, "cpu"
    for name in available_devices():
        tower = Tower(PROBES / ("int8.onnx" if name == "cpu" else "fp32.onnx"), name)
        if tower.device == name and (rate := _products(tower)) > fastest:
            fastest, device = rate, name
    return Machine(_decoding(), fastest, device, free_memory() // 2**20)


def _products(tower: Tower) -> float:
    """Return billions of operations a second of a probe."""
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    return devices.calls_per_second(lambda: tower(x), SECONDS) * 2 * ROWS * WIDTH * HIDDEN / 1e9


def _decoding() -> float:
    """Return 12-megapixel JPEGs a second, decoded in threads as indexing does."""
    rng, out = np.random.default_rng(0), io.BytesIO()
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize((4000, 3000), Image.Resampling.BICUBIC)
    coarse.save(out, "JPEG", quality=90)
    data, cpus = out.getvalue(), usable_cpus()
    with ThreadPoolExecutor(cpus) as pool:

        def decode_all() -> None:
            list(pool.map(lambda _: image_media.read_named("probe.jpg", data, 256), range(cpus)))

        return devices.calls_per_second(decode_all, SECONDS) * cpus


def choices(machine: Machine, languages: set[str]) -> list[Choice]:
    """Return the spaces that know these languages, as two-letter codes, the best in published quality last."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    installed, found = registry.SPACES.installed(), []
    for row in rows:
        if row["languages"] == "en" and languages - {"en"}:
            continue
        mparams = float(row["image_mparams"]) + float(row["text_mparams"])
        encoding = machine.gflops * EFFICIENCY / float(row["gflops"]) if float(row["gflops"]) else _starter_rate()
        pictures = 1 / (1 / encoding + 1 / machine.decoding) if machine.device == "cpu" else min(encoding, machine.decoding)
        found.append(
            Choice(
                row["name"], row["languages"], round(4 * mparams), round(mparams) + OVERHEAD_MB, pictures,
                float(row["imagenet"]) if row["imagenet"] else None, row["licence"], row["name"] in installed,
            )
        )  # fmt: skip
    return found


def _starter_rate() -> float:
    """Return pictures a second of the starter's image tower here."""
    starter = registry.load("starter")
    return max(devices.measure(starter.folder, starter.config).values())


def best(machine: Machine, found: list[Choice]) -> Choice | None:
    """Return the best in published quality that is fast enough here, fits into memory and is free to use; None where none is."""
    fits = [
        c
        for c in found
        if c.imagenet is not None
        and c.pictures >= ENOUGH
        and (not machine.memory_mb or c.memory_mb < machine.memory_mb)
        and "restricted" not in c.licence
    ]
    return max(fits, key=lambda c: c.imagenet or 0.0, default=None)
