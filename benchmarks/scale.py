"""Libraries of millions of segments, built and searched on this machine: time, disk, memory, latency and recall, with cost lines.

    SCALE_ROWS=1000000,3000000,10000000 python -m benchmarks scale

Vectors are synthetic, clustered, in half precision in a file, and never all in memory. Each stage is a process of its own, whose largest
memory is stated. Work files go to .bench/scale; they are 24 bytes for each number of a vector, and are removed afterwards.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from samespace.library.store.conditions import Compared, Condition
from samespace.library.store.filter import Filter
from samespace.library.store.lance import Store
from samespace.library.store.metadata import SpaceRecord
from samespace.library.store.records import SegmentWrite

from . import WORK
from .measured import measure
from .search import FINGERPRINT, picture, timed

ROWS = [int(n) for n in os.environ.get("SCALE_ROWS", "1000000,3000000,10000000").split(",")]
DIM, CHUNK, QUERIES, CLUSTERS = 512, 100_000, 50, 5_000
SELECTIVITIES = (0.001, 0.01, 0.1)
FOLDERS = 3
"""The pictures lie in so many folders, one after the other; the first is forgotten at the end."""
LAST_TIME = 10**12
"""Times are spread evenly below it."""


def chunk_of(number: int, rows: int) -> np.ndarray:
    """Return the vectors of a chunk: float16 (rows, DIM), unit length, each near one of CLUSTERS centres."""
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, DIM), np.float32) / DIM**0.5
    rng = np.random.default_rng([1, number])
    z = centres[rng.integers(0, CLUSTERS, rows)] + rng.standard_normal((rows, DIM), np.float32) * (0.7 / DIM**0.5)
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float16)


def queries() -> np.ndarray:
    """Return queries near vectors of the first chunk, none of them one of it: float32 (QUERIES, DIM)."""
    rng = np.random.default_rng(2)
    z = chunk_of(0, CHUNK)[rng.choice(CHUNK, QUERIES)] + rng.standard_normal((QUERIES, DIM), np.float32) * (0.4 / DIM**0.5)
    return np.asarray(z / np.linalg.norm(z, axis=1, keepdims=True), np.float32)


def time_of(i: int) -> int:
    """Return a picture's time: by the golden ratio, so that any part of them is spread over all times."""
    return int((i * 0.6180339887498949 % 1) * LAST_TIME)


def write(folder: Path, rows: int) -> dict[str, float]:
    """Write a library's rows, without indexes."""
    store, begun = Store(folder), time.perf_counter()
    with store.writing():
        store.add_space(FINGERPRINT, SpaceRecord("bench", DIM))
        schema = store.table.schema
        template = store._arrow([SegmentWrite(picture(0), {FINGERPRINT: np.zeros(DIM, np.float32)})], [FINGERPRINT])
        for first in range(0, rows, CHUNK):
            numbers = range(first, min(first + CHUNK, rows))
            store.table.add(table_of(template, numbers, rows, chunk_of(first // CHUNK, len(numbers))).select(schema.names))
    return {"write s": time.perf_counter() - begun}


def table_of(template: pa.Table, numbers: range, rows: int, z: np.ndarray) -> pa.Table:
    """Return pictures as rows; what is not given here is as in the template."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(z.reshape(-1)), DIM)
    paths = [f"/photos/{i * FOLDERS // rows}/{i}.jpg" for i in numbers]
    given: dict[str, Any] = {
        "id": [f"{i:032x}" for i in numbers], "path": paths, "hash": [f"{i:032x}" for i in numbers],
        "time": [time_of(i) for i in numbers], f"z_{FINGERPRINT}": vectors,
    }  # fmt: skip
    count = len(numbers)
    columns = [
        pa.array(given[field.name], field.type) if field.name in given else pa.repeat(template[field.name][0], count)
        for field in template.schema
    ]
    return pa.Table.from_arrays(columns, schema=template.schema)


def finish(folder: Path, rows: int) -> dict[str, float]:
    """Build the indexes and the copy of what hits show."""
    store, begun = Store(folder), time.perf_counter()
    with store.writing():
        store.finish(FINGERPRINT)
    return {"index s": time.perf_counter() - begun}


def search(folder: Path, rows: int) -> dict[str, float]:
    """Search: the first time, again, with conditions, and while pictures are added."""
    dropped = subprocess.run(["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"], capture_output=True).returncode == 0
    store, asked = Store(folder), queries()
    begun = time.perf_counter()
    store.search(asked[0], 10, FINGERPRINT, Filter())
    found: dict[str, float] = {"cold s" if dropped else "first s (nothing may drop the caches here)": time.perf_counter() - begun}
    filters = {share: Compared("time", "<", share * LAST_TIME) for share in SELECTIVITIES}
    right = exact(rows, asked, filters)
    for share, condition in ((1.0, None), *filters.items()):
        measured = timed(searcher(store, condition), asked, right[share])
        name = "" if share == 1 else f" {share:.1%}"
        found |= {f"{key}{name}": value for key, value in measured.items()}
    found |= {f"{key} while adding": value for key, value in while_adding(folder, rows, asked, right[1.0]).items()}
    return found


def searcher(store: Store, condition: Condition | None) -> Callable[[np.ndarray], list[int]]:
    """Return a search, under a condition or none, that gives numbers of pictures."""
    filter = Filter(where=condition) if condition else Filter()
    return lambda q: [int(Path(one.segment.path).stem) for one in store.search(q, 10, FINGERPRINT, filter, "file")]


def exact(rows: int, asked: np.ndarray, filters: dict[float, Compared]) -> dict[float, list[set[int]]]:
    """Return the ten nearest of all rows, and of those that meet each condition: share → for each query their numbers."""
    best = {share: [(np.empty(0), np.empty(0, int))] * len(asked) for share in (1.0, *filters)}
    for first in range(0, rows, CHUNK):
        numbers = np.arange(first, min(first + CHUNK, rows))
        scores = chunk_of(first // CHUNK, len(numbers)).astype(np.float32) @ asked.T
        times = np.array([time_of(int(i)) for i in numbers])
        for share in best:
            passing = np.flatnonzero(times < share * LAST_TIME) if share < 1 else np.arange(len(numbers))
            for n in range(len(asked)):
                values, ids = (np.concatenate(pair) for pair in zip(best[share][n], (scores[passing, n], numbers[passing])))
                top = np.argsort(-values)[:10]
                best[share][n] = values[top], ids[top]
    return {share: [set(ids.tolist()) for _, ids in found] for share, found in best.items()}


def while_adding(folder: Path, rows: int, asked: np.ndarray, right: list[set[int]]) -> dict[str, float]:
    """Search while another thread writes a hundred pictures at a time."""
    stop, store = threading.Event(), Store(folder)

    def add() -> None:
        writer, rng, first = Store(folder), np.random.default_rng(3), rows
        while not stop.is_set():
            z = rng.standard_normal((100, DIM), np.float32)
            z /= np.linalg.norm(z, axis=1, keepdims=True)
            writer.upsert(SegmentWrite(picture(first + i), {FINGERPRINT: z[i]}) for i in range(100))
            first += 100

    with ThreadPoolExecutor(1) as thread:
        adding = thread.submit(add)
        try:
            return timed(searcher(store, None), asked[:20], right)
        finally:
            stop.set()
            adding.result()  # raises what it met


def forget(folder: Path, rows: int) -> dict[str, float]:
    """Remove the first third, and search what is left."""
    store, begun, asked = Store(folder), time.perf_counter(), queries()
    with store.writing():
        store.remove_below(["/photos/0"])
        store.finish(FINGERPRINT)
    found = {"forget s": time.perf_counter() - begun}
    measured = timed(searcher(store, None), asked, [set(range(10))] * len(asked))
    assert all(int(n) >= rows // FOLDERS for q in asked for n in searcher(store, None)(q)), "what was removed is found"
    return found | {"p50 after": measured["p50"]}


STAGES = {stage.__name__: stage for stage in (write, finish, search, forget)}


def at_size(rows: int) -> dict[str, float]:
    """Return all that was measured of a library of so many segments."""
    folder = WORK / "scale" / str(rows)
    shutil.rmtree(folder, ignore_errors=True)
    figures: dict[str, float] = {}
    for stage in STAGES:
        command = [sys.executable, "-m", "benchmarks.scale", stage, str(folder), str(rows)]
        measured = measure(command)
        figures |= measured | {f"{stage} GB of memory": measured.pop("peak_mb") / 1024}
        if stage == "finish":
            figures["disk GB"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
    shutil.rmtree(folder)
    return figures


def run() -> list[dict[str, str]]:
    """Return the table's rows."""
    return [
        {"what": f"scale, {rows:>10,} segments: {name}", "ours": f"{value:.3g}"}
        for rows in ROWS
        for name, value in at_size(rows).items()
    ]


if __name__ == "__main__":
    stage, where, count = sys.argv[1:]
    Path(where).mkdir(parents=True, exist_ok=True)
    print(json.dumps(STAGES[stage](Path(where), int(count))))
