"""Which device runs a space's image tower, the one that SAMESPACE_DEVICE names or the one that was the fastest when measured here; and
how many pictures at once.

What was measured is kept in the user's data, in devices.json: an accelerator that is there need not be the faster one.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..core.config import SpaceConfig
from ..core.files import write_text_atomically
from ..core.machine import free_memory
from ..core.paths import data_folder
from .sessions import ACCELERATORS, BATCH, Tower, available_devices, open_tower, wanted_device

FILE = "devices.json"
SECONDS = 0.5
"""A device is measured for about this long, after one batch that is not counted."""
ROWS = 16
"""Pictures of a measured batch."""
ACCELERATED_BATCH, MEMORY_SHARE = 64, 0.25
"""Pictures at once on an accelerator; share of a machine's free memory that a batch may take on its CPU."""


def device_for(folder: Path, config: SpaceConfig) -> str:
    """Return the device for a space's image tower; where there are several, they are measured once.

    Raises QueryError on one that SAMESPACE_DEVICE names and that there is not.
    """
    if (device := wanted_device()) != "auto":
        return device
    there = available_devices()
    if len(there) == 1:
        return there[0]
    measured = _measured().get(_key(config), {})
    if not set(there) <= set(measured):
        measured = measure(folder, config)
    return max(there, key=lambda device: measured.get(device, 0.0))


def fitting_batch(config: SpaceConfig, device: str) -> int:
    """Return how many pictures are encoded at once: on a CPU as many as fit into a share of the free memory, by the tower's size."""
    if device in ACCELERATORS:
        return ACCELERATED_BATCH
    c, free = config.image, free_memory()
    if not free or c.arch not in ("vit", "flex_vit"):
        return BATCH
    tokens = config.prep.patches or (c.image_size // c.patch) ** 2
    floats = tokens * (8 * c.width + 2 * c.mlp) + c.heads * tokens**2
    return max(1, min(BATCH, int(free * MEMORY_SHARE) // (4 * floats)))


def measure(folder: Path, config: SpaceConfig) -> dict[str, float]:
    """Return pictures a second of a space's image tower on each device of this machine, and keep them for `device_for`."""
    from PIL import Image

    from ..preprocess.pixels import batches, square

    side = config.prep.size
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    prepared = square(Image.fromarray(noise), config.prep)
    pixels, found = next(batches(np.stack([prepared] * ROWS), config.prep, ROWS)), {}
    for device in available_devices():
        tower = open_tower(folder, "image", device)
        found[device] = _rate(tower, pixels) if tower.device == device else 0.0
    path = data_folder("SAMESPACE_DEVICES", FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(_measured() | {_key(config): found}, indent=2) + "\n")
    return found


def _rate(tower: Tower, pixels: np.ndarray) -> float:
    """Return pictures a second."""
    return round(len(pixels) * calls_per_second(lambda: tower(pixels), SECONDS), 1)


def calls_per_second(call: Callable[[], object], seconds: float) -> float:
    """Return how often something can be done in a second, measured for about so many, after once that is not counted."""
    call()
    start, done = time.perf_counter(), 0
    while not done or time.perf_counter() - start < seconds:
        call()
        done += 1
    return done / (time.perf_counter() - start)


def _measured() -> dict[str, dict[str, float]]:
    """Return what was measured on this machine: space → device → pictures a second."""
    try:
        values = json.loads(data_folder("SAMESPACE_DEVICES", FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _key(config: SpaceConfig) -> str:
    """Return what names a space's image tower and its precision."""
    precision = config.card.get("precision", {}).get("image", {}).get("chosen", "")
    return f"{config.fingerprint} {precision}".strip()
