"""Search over 10k, 100k and 1M clustered vectors: latency and recall@10, against rclip's method and NumPy."""

import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from samespace.library.store.filter import Filter
from samespace.library.store.lance import Store
from samespace.library.store.metadata import SpaceRecord
from samespace.library.store.records import Segment, SegmentWrite

from . import WORK, material

SIZES = [int(n) for n in os.environ.get("BENCH_ROWS", "10000,100000,1000000").split(",")]
QUERIES, FINGERPRINT, RCLIP_MOST = 50, "bench", 100_000


def run() -> list[dict[str, str]]:
    return [row for size in SIZES for row in at_size(size)]


def at_size(size: int) -> list[dict[str, str]]:
    """Our search, NumPy's and (where it is bearable) rclip's, over so many vectors."""
    z = material.clustered(size)
    queries = queries_for(z)
    exact = [set(np.argsort(-(z @ q))[:10].tolist()) for q in queries]
    store, built = library(z)
    way = "exact" if store.exact_index(FINGERPRINT) else f"HNSW, built in {built:.0f} s" if built else "HNSW"
    ours = timed(lambda q: [int(Path(c.segment.path).stem) for c in store.search(q, 10, FINGERPRINT, Filter())], queries, exact)
    peers = {"NumPy": timed(lambda q: numpy_search(z, q), queries, exact)}
    if size <= RCLIP_MOST:
        peers["rclip"] = timed(rclip_search(z), queries[:5], exact)
    return [
        {"what": f"{size:>9,} vectors ({way})", "ours": described(ours), "peer": f"{name} {described(peer)}",
         "ratio": f"{peer['p50'] / ours['p50']:.2f}"}
        for name, peer in peers.items()
    ]  # fmt: skip


def described(measured: dict[str, float]) -> str:
    return f"{measured['p50']:.1f}/{measured['p95']:.1f} ms @{measured['recall']:.3f}"


def queries_for(z: np.ndarray) -> np.ndarray:
    """Points near stored ones, as a query is near its answers but never one of them."""
    rng = np.random.default_rng(1)
    picked = z[rng.choice(len(z), QUERIES)] + rng.normal(size=(QUERIES, z.shape[1])).astype(np.float32) * (
        0.4 / z.shape[1] ** 0.5
    )
    return picked / np.linalg.norm(picked, axis=1, keepdims=True)


def timed(search: Callable[[np.ndarray], list[int]], queries: np.ndarray, exact: list[set[int]]) -> dict[str, float]:
    """p50 and p95 in ms and recall@10, after two warm-up searches."""
    for q in queries[:2]:
        search(q)
    times, found = [], []
    for q, right in zip(queries, exact):
        started = time.perf_counter()
        hits = search(q)
        times.append(1000 * (time.perf_counter() - started))
        found.append(len(right & set(hits)) / len(right))
    return {"p50": statistics.median(times), "p95": float(np.percentile(times, 95)), "recall": statistics.mean(found)}


def library(z: np.ndarray) -> tuple[Store, float]:
    """A library of these vectors, and the seconds that finishing it (index or exact index) took; kept between runs."""
    path = WORK / f"library-{len(z)}"
    store = Store(path)
    if (path / "done").exists():
        return store, 0.0
    shutil.rmtree(path, ignore_errors=True)
    with store.writing():
        store.add_space(FINGERPRINT, SpaceRecord("bench", z.shape[1]))
        for start in range(0, len(z), 20_000):
            store.upsert(SegmentWrite(picture(i), {FINGERPRINT: z[i]}) for i in range(start, min(start + 20_000, len(z))))
        started = time.perf_counter()
        store.finish(FINGERPRINT)
        seconds = time.perf_counter() - started
    (path / "done").touch()
    return store, seconds


def picture(i: int) -> Segment:
    """Return the i-th picture of a library that has no files."""
    return Segment(f"/photos/{i}.jpg", "image", size=1, time=1, root="/photos", hash=f"{i:032x}", mtime=1)


def numpy_search(z: np.ndarray, q: np.ndarray) -> list[int]:
    """All vectors in memory as fp32, one product, the ten best."""
    scores = z @ q
    best = np.argpartition(-scores, 10)[:10]
    return best[np.argsort(-scores[best])].tolist()


def rclip_search(z: np.ndarray) -> Callable[[np.ndarray], list[int]]:
    """rclip's way: every vector out of SQLite for every query, one product, all rows sorted in Python."""
    path = WORK / f"rclip-{len(z)}.sqlite3"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE images (id INTEGER PRIMARY KEY, deleted BOOLEAN, filepath TEXT NOT NULL UNIQUE, vector BLOB NOT NULL)"
    )
    database.executemany(
        "INSERT INTO images (filepath, vector) VALUES (?, ?)", ((f"/photos/{i}.jpg", v.tobytes()) for i, v in enumerate(z))
    )
    database.commit()

    def search(q: np.ndarray) -> list[int]:
        rows = database.execute(
            "SELECT filepath, vector FROM images WHERE filepath LIKE ? AND deleted IS NULL", ("/photos/%",)
        ).fetchall()
        features = np.stack([np.frombuffer(vector, np.float32) for _, vector in rows])
        ranked = sorted(zip((q @ features.T).tolist(), range(len(rows))), key=lambda pair: pair[0], reverse=True)
        return [int(Path(rows[i][0]).stem) for _, i in ranked[:10]]

    return search
