"""A server under load: many clients that search, embed, look at pages and thumbnails and ask, while files are indexed beside.

    LOAD_SECONDS=3600 LOAD_CLIENTS=64 python -m benchmarks load

Everything is on 127.0.0.1 and in a folder that is removed. Latencies are of whole requests; memory, threads and descriptors are the
server's own, looked at every two seconds.
"""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from samespace.library.demo import photographs

from .served import SAMESPACE, served

SECONDS = float(os.environ.get("LOAD_SECONDS", "3600"))
CLIENTS = int(os.environ.get("LOAD_CLIENTS", "64"))
PICTURES = 400
WORDS = (
    "a cat",
    "coffee",
    "rocket launch",
    "galaxies",
    "a motorcycle",
    "an astronaut smiling",
    "night sky",
    "engine",
    "something to drink",
)
ANSWERED, TOKENS = 1, 8
"""Clients that ask the assistant, one after the other; tokens of an answer."""


@dataclass
class Seen:
    """What clients and the watcher of the server have seen."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    """Resident MB, threads, descriptors; in order of time."""


def write_pictures(folder: Path, count: int, first: int = 0) -> None:
    """Write pictures that differ: photographs, turned and coloured."""
    sources = [Image.open(path).convert("RGB").resize((320, 240)) for path in sorted(photographs())]
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        pixels = np.asarray(sources[i % len(sources)].rotate(float(rng.uniform(-20, 20))), np.float32) * rng.uniform(0.6, 1.2, 3)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.jpg", quality=85)


def kinds_of(base: str, ids: list[str]) -> dict[str, Callable[..., requests.Response]]:
    """Return what clients do, by name."""
    one = {"model": "", "input": ""}
    return {
        "search": lambda c, r, **o: c.post(
            f"{base}/v1/search", **o, json={"query": f"{r.choice(WORDS)} {r.randrange(999)}", "top": 20}
        ),
        "embed": lambda c, r, **o: c.post(
            f"{base}/v1/embeddings", **o, json=one | {"input": f"{r.choice(WORDS)} {r.randrange(9999)}"}
        ),
        "embed 16": lambda c, r, **o: c.post(
            f"{base}/v1/embeddings", **o, json=one | {"input": [f"{w} {r.randrange(99)}" for w in r.choices(WORDS, k=16)]}
        ),
        "page": lambda c, r, **o: c.get(f"{base}/", **o),
        "thumbnail": lambda c, r, **o: c.get(f"{base}/pictures/{r.choice(ids)}/small", **o),
    }


WEIGHTS = {"search": 5, "embed": 5, "embed 16": 1, "page": 1, "thumbnail": 8}
"""How often a client does each."""


def client(base: str, ids: list[str], end: float, seed: int, seen: Seen) -> None:
    """Send one request after the other until `end`, with a pause between them as a person or a program makes."""
    rng, kinds = random.Random(seed), kinds_of(base, ids)
    with requests.Session() as connection:
        while time.monotonic() < end:
            (name,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
            ask(name, seen, kinds[name], connection, rng)
            time.sleep(rng.uniform(0, 0.2))


def asking_client(base: str, end: float, seen: Seen) -> None:
    """Ask the assistant, one question after the other."""
    name = requests.get(f"{base}/v1/models", timeout=60).json()["data"][-1]["id"]
    body = {"model": name, "max_tokens": TOKENS, "messages": [{"role": "user", "content": "Say something about the sea."}]}
    with requests.Session() as connection:
        while time.monotonic() < end:
            ask("chat", seen, connection.post, f"{base}/v1/chat/completions", json=body)
            time.sleep(1)


def ask(name: str, seen: Seen, send: Callable[..., requests.Response], *arguments: object, **options: object) -> None:
    """Send a request and note how long it took, or what went wrong."""
    begun = time.monotonic()
    try:
        send(*arguments, **{"timeout": 120} | options).raise_for_status()
        seen.latencies[name].append(time.monotonic() - begun)
    except requests.RequestException as error:
        seen.errors[f"{name}: {str(error)[:60]}"] += 1


def look_at(process: int, end: float, seen: Seen) -> None:
    """Note the memory, threads and descriptors of a process until `end`."""
    while time.monotonic() < end:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":" in line)
        resident = int(status["VmRSS"].split()[0]) / 1024
        seen.samples.append((resident, int(status["Threads"]), len(os.listdir(f"/proc/{process}/fd"))))
        time.sleep(2)


def index_beside(base: str, folder: Path, end: float, seen: Seen) -> None:
    """Add pictures and have the server index them, every half minute, unless it still does."""
    added = PICTURES
    while time.monotonic() < end - 30:
        requests.get(f"{base}/app/index", timeout=600)  # ends when nothing is being indexed any more
        write_pictures(folder, 10, added)
        added += 10
        ask("index", seen, requests.post, f"{base}/app/index", json={"folder": str(folder)}, timeout=600)
        time.sleep(30)


def load(seconds: float, clients: int) -> Seen:
    """Serve a new library to so many clients for so long."""
    seen = Seen()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (pictures := folder / "pictures").mkdir()
        write_pictures(pictures, PICTURES)
        library = ["--library", str(folder / "library")]
        subprocess.run([SAMESPACE, "assistants", "pull", "starter"], check=True, capture_output=True)
        subprocess.run([SAMESPACE, "index", str(pictures), *library], check=True, capture_output=True)
        with served([SAMESPACE, "serve", *library]) as server:
            base = server.address
            hits = requests.post(f"{base}/v1/search", json={"query": "a cat", "top": 100}, timeout=60).json()["data"]
            end = time.monotonic() + seconds
            work: list[tuple[Callable[..., None], tuple]] = [
                *((client, (base, [hit["id"] for hit in hits], end, seed, seen)) for seed in range(clients - ANSWERED)),
                *((asking_client, (base, end, seen)) for _ in range(ANSWERED)),
                (look_at, (server.process, end, seen)),
                (index_beside, (base, pictures, end, seen)),
            ]
            with ThreadPoolExecutor(len(work)) as threads:
                for running in [threads.submit(does, *arguments) for does, arguments in work]:
                    running.result()  # raises what it met
        shutil.rmtree(pictures)
    return seen


def growth(values: list[float]) -> float:
    """Return how much more the last quarter of a run had than its second one, as a share."""
    quarter = max(1, len(values) // 4)
    return float(np.mean(values[-quarter:]) / np.mean(values[quarter : 2 * quarter]) - 1)


def run() -> list[dict[str, str]]:
    """Return the table's rows."""
    seen = load(SECONDS, CLIENTS)
    rows = []
    for name, latencies in seen.latencies.items():
        p50, p95, p99 = np.percentile(latencies, [50, 95, 99])
        figures = f"{p50 * 1000:.0f} / {p95 * 1000:.0f} / {p99 * 1000:.0f} ms"
        rows.append({"what": f"load, {name}: p50 / p95 / p99 of {len(latencies):,}", "ours": figures})
    rows.append({"what": f"load, errors, of {CLIENTS} clients in {SECONDS:.0f} s", "ours": str(sum(seen.errors.values()))})
    for (what, unit), values in zip((("memory", " MB"), ("threads", ""), ("descriptors", "")), zip(*seen.samples)):
        rows.append(
            {
                "what": f"load, {what}: at the end, and against the second quarter",
                "ours": f"{values[-1]:.0f}{unit}, {growth(list(values)):+.1%}",
            }
        )
    return rows + [{"what": f"  {what}", "ours": str(count)} for what, count in seen.errors.most_common(5)]
