"""A cold search: process start to printed result over 10,000 pictures; against rclip's command, and against bare imports."""

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from samespace.library.store.lance import Store
from samespace.library.store.metadata import SpaceRecord
from samespace.library.store.records import SegmentWrite
from samespace.spaces import registry

from . import material
from .served import SAMESPACE

ROWS, RUNS = 10_000, 9
BARE_IMPORTS = "import numpy, PIL, onnxruntime, pyarrow, typer, rich, tokenizers"


def run() -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as scratch:
        ours = [str(SAMESPACE), "search", "a cat", "--library", str(library(Path(scratch)))]
        peer, env = rclip_command(Path(scratch))
        bare = [sys.executable, "-c", BARE_IMPORTS]
        times: dict[str, list[float]] = {"ours": [], "rclip": [], "bare": []}
        for i in range(RUNS + 1):
            for name, command, environment in (("ours", ours, {}), ("rclip", peer, env), ("bare", bare, {})):
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=os.environ | environment, cwd=scratch)
                if i:
                    times[name].append(time.perf_counter() - started)
    a, b, imports = (statistics.median(some) for some in times.values())
    return [
        {"what": f"cold search over {ROWS:,} pictures (starter)", "ours": f"{a:.2f} s", "peer": f"rclip (ViT-B/32) {b:.2f} s",
         "ratio": f"{b / a:.2f}"},
        {"what": f"  the same against: {BARE_IMPORTS}", "ours": f"{a:.2f} s", "peer": f"{imports:.2f} s", "ratio": f"{imports / a:.2f}"},
    ]  # fmt: skip


def library(scratch: Path) -> Path:
    """10,000 clustered vectors in the starter's space."""
    space, z = registry.load("starter"), material.clustered(ROWS)
    store = Store(scratch / "library")
    from .search import picture

    with store.writing():
        store.add_space(space.fingerprint, SpaceRecord("starter", space.dim))
        store.upsert(SegmentWrite(picture(i), {space.fingerprint: v}) for i, v in enumerate(z))
        store.finish(space.fingerprint)
    return store.location.folder


def rclip_command(scratch: Path) -> tuple[list[str], dict[str, str]]:
    """rclip's command over a database of as many vectors, without indexing."""
    home = scratch / "rclip"
    shutil.copytree(material.rclip_home(), home, copy_function=os.link)
    rclip = str(material.rclip_python().with_name("rclip"))
    env = {"RCLIP_DATADIR": str(home)}
    subprocess.run([rclip, "-n", "warm-up"], env=os.environ | env, cwd=scratch, capture_output=True)  # makes the database
    database = sqlite3.connect(home / "db.sqlite3")
    rows = ((f"{scratch}/{i}.jpg", v.tobytes(), str(i)) for i, v in enumerate(material.clustered(ROWS)))
    database.executemany("INSERT INTO images (filepath, modified_at, size, vector, hash) VALUES (?, 0, 1, ?, ?)", rows)
    database.commit()
    return [rclip, "-n", "a cat"], env
