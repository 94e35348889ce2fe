"""Embeddings over HTTP for many clients at once, each with one text at a time, against infinity with the same weights.

    python -m benchmarks serving

Both serve one ViT-B/32 of random weights on 127.0.0.1, ours in fp32 and int8, infinity by torch; an environment for infinity is made once.
"""

import random
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests

from . import WORK
from .load import WORDS
from .material import vit_b_32_checkpoint, vit_b_32_space
from .served import SAMESPACE, served

CLIENTS, SECONDS = 24, 20.0
INFINITY = "infinity-emb[torch,server]==0.0.78"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1"}


def infinity() -> Path:
    """infinity's command, in an environment of its own."""
    folder = WORK / "infinity"
    if not (command := folder / "bin" / "infinity_emb").exists():
        print("  making an environment for infinity (once)", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        constraints = Path(__file__).parents[1] / "constraints.txt"
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", INFINITY, "--constraint", str(constraints)]
        subprocess.run(pip, check=True)
    return command


def checkpoint() -> Path:
    """The checkpoint, with what transformers' processor needs beside it."""
    from transformers import CLIPImageProcessor, CLIPTokenizerFast

    folder = vit_b_32_checkpoint()
    if not (folder / "preprocessor_config.json").exists():
        CLIPTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")).save_pretrained(folder)
        CLIPImageProcessor(size={"shortest_edge": 256}, crop_size=256).save_pretrained(folder)
    return folder


def rate(url: str, model: str) -> tuple[float, float]:
    """Return embeddings a second of all clients, and the median seconds of a request."""
    latencies: list[float] = []

    def client(seed: int, end: float) -> None:
        rng = random.Random(seed)
        with requests.Session() as connection:
            while (begun := time.monotonic()) < end:
                body = {"model": model, "input": f"{rng.choice(WORDS)} {rng.randrange(99_999)}"}
                connection.post(url, json=body, timeout=120).raise_for_status()
                latencies.append(time.monotonic() - begun)

    for seconds in (3.0, SECONDS):  # the first, to warm up
        latencies.clear()
        with ThreadPoolExecutor(CLIENTS) as clients:
            end = time.monotonic() + seconds
            list(
                clients.map(client, range(CLIENTS), [end] * CLIENTS)
            )  # raises what a client met: its silence would lower the rate
    return len(latencies) / SECONDS, float(np.median(latencies))


def ours(precision: str) -> tuple[float, float]:
    """Measure samespace."""
    space = str(vit_b_32_space(precision))
    with tempfile.TemporaryDirectory() as library, served([SAMESPACE, "serve", "-l", library, "-s", space]) as server:
        return rate(f"{server.address}/v1/embeddings", "")


def run() -> list[dict[str, str]]:
    """Return the table's rows."""
    command = [infinity(), "v2", "--model-id", str(checkpoint()), "--device", "cpu", "--engine", "torch", "--host", "127.0.0.1"]
    with served([*command, "--served-model-name", "clip"], OFFLINE) as server:
        their_rate, their_median = rate(f"{server.address}/embeddings", "clip")
    rows = []
    for precision in ("fp32", "int8"):
        our_rate, our_median = ours(precision)
        rows.append({
            "what": f"one text each of {CLIENTS} clients, ViT-B/32 {precision}",
            "ours": f"{our_rate:.0f}/s, {1000 * our_median:.0f} ms",
            "peer": f"infinity, fp32: {their_rate:.0f}/s, {1000 * their_median:.0f} ms",
            "ratio": f"{our_rate / their_rate:.2f}",
        })  # fmt: skip
    return rows
