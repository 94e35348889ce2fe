"""Reading a long prompt: seconds and memory, against transformers on the same SmolLM2; each side in a process of its own."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import benchmarks.torchvision_on_cpu  # noqa: F401  before transformers
from samespace.assistant import registry as assistants
from samespace.core import wheels
from samespace.core.machine import usable_cpus

from .measured import measure

MODEL, LENGTHS = "SmolLM2-135M-Instruct", (2048, 8192)


def run() -> list[dict[str, str]]:
    rows = []
    for length in LENGTHS:
        ours, theirs = (measure([sys.executable, "-m", "benchmarks.context", side, length]) for side in ("ours", "theirs"))
        if ours["likeliest"] != theirs["likeliest"]:
            raise RuntimeError(
                f"after {length:,} tokens the likeliest next ones are {ours['likeliest']} and {theirs['likeliest']}: not the same was read"
            )
        rows += [
            {"what": f"SmolLM2-135M, {length:,} tokens read", "ours": f"{ours['seconds']:.1f} s",
             "peer": f"transformers {theirs['seconds']:.1f} s", "ratio": f"{theirs['seconds'] / ours['seconds']:.2f}"},
            {"what": "  memory for it, beside the weights", "ours": f"{ours['mb']:.0f} MB", "peer": f"{theirs['mb']:.0f} MB",
             "ratio": f"{theirs['mb'] / ours['mb']:.2f}"},
        ]  # fmt: skip
    return rows


def ours(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """Our language model, as the assistant reads a prompt."""
    from samespace.assistant.engine import CHUNK
    from samespace.assistant.language import read_language
    from samespace.models.lm import Cache

    model = read_language(path).model

    def read(ids: torch.Tensor) -> torch.Tensor:
        cache = Cache(model.c.layers)
        states = [model(model.embed(part), cache)[0, -1] for part in ids.split(CHUNK, dim=1)]
        return model.logits(states[-1])

    return read


def theirs(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """transformers, as its generate reads a prompt: in one piece, with logits for the last token."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    return lambda ids: model(ids, use_cache=True, logits_to_keep=1).logits[0, -1]


def peak_mb(reset: bool = False) -> float:
    """Return the most memory that this process has held since it was last reset, in MiB (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@torch.inference_mode()
def side(name: str, length: int) -> dict[str, Any]:
    """Read a prompt of so many tokens; seconds of the second time, the most memory beside what was held before, and the likeliest next tokens."""

    torch.set_num_threads(usable_cpus())
    wheels.fetch(assistants.LANGUAGE_MODELS[MODEL])
    read = {"ours": ours, "theirs": theirs}[name](assistants.LANGUAGE_MODELS[MODEL].path)
    ids = torch.randint(100, 40_000, (1, length), generator=torch.Generator().manual_seed(0))
    read(ids[:, :512])
    before = peak_mb(reset=True)
    started = time.perf_counter()
    logits = read(ids)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "mb": peak_mb() - before, "likeliest": logits.flatten().topk(3).indices.tolist()}


if __name__ == "__main__":
    print(json.dumps(side(sys.argv[1], int(sys.argv[2]))))
