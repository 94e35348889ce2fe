"""Step 2: an audio tower learns to land where the starter puts the caption's words.

    python recipes/sound/train.py WORK [steps=3000] [batch=64]     # checkpointed; the same command goes on

The text tower rests, so captions are vectors from the start: each clip is told apart from all other captions (CLIP's loss
with every caption of the data as a negative, their mean taken off). Beside it the tower learns which pairs of letters were
said, whatever the language: without that, it hears nothing for the first thousand steps. Validation: people and a voice not heard in training, captions not heard from people.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from prepare import share
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

import samespace
from samespace.config import AudioTower
from samespace.eval.retrieval import recall_at_k
from samespace.model.audio import AudioTransformer
from samespace.prep.mel import MELS, fitted

TOWER = AudioTower(frames=400, layers=6)
SHARES = {"person": 0.42, "espeak": 0.54, "effect": 0.04}
"""Of a batch."""
RATE, WARMUP, DECAY = 4e-4, 100, 0.05
LETTERS = 1024
"""Pairs of letters are counted in so many bins."""


class Clips:
    """All clips of WORK."""

    def __init__(self, work: Path):
        self.rows = [json.loads(line) for line in (work / "clips.jsonl").read_text("utf-8").splitlines()]
        said = {(row["caption"], row["language"]): row["said"] for row in self.rows if row["said"]}
        self.letters = [pairs_of(said.get((row["caption"], row["language"]), "")) for row in self.rows]
        self.mels = np.memmap(work / "mels.f16", np.float16, "r").reshape(-1, MELS)

    def of(self, split: str, kind: str = "") -> list[int]:
        return [i for i, row in enumerate(self.rows) if row["split"] == split and kind in ("", row["kind"])]

    def mel(self, i: int) -> np.ndarray:
        """float32 (F, MELS)"""
        row = self.rows[i]
        return self.mels[row["start"] : row["start"] + row["frames"]].astype(np.float32)


def pairs_of(said: str) -> list[int]:
    """The bins of a text's pairs of letters."""
    text = "".join(c for c in f" {said.lower()} " if c.isalpha() or c == " ")
    return sorted({int(share(a + b) * LETTERS) for a, b in zip(text, text[1:])})


def varied(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another take of the same: faster or slower, a larger or smaller throat, another microphone, noise, gaps.

    (F, MELS) → (MELS, TOWER.frames)
    """
    pace, throat = rng.uniform(0.85, 1.2), rng.uniform(0.92, 1.1)
    t = np.arange(0, len(mel) - 1, pace)
    f = np.clip(np.arange(MELS) * throat, 0, MELS - 1.001)
    x = blended(blended(mel, t).T, f)  # (MELS, F)
    x = x + np.interp(np.arange(MELS), np.linspace(0, MELS, 6), rng.normal(0, 3, 6))[:, None]  # the microphone
    top, floor = x.max(), rng.uniform(35, 80)
    hiss = top - floor + np.interp(np.arange(MELS), (0, MELS), rng.normal(0, 6, 2))[:, None] + rng.normal(0, 3, x.shape)
    x = fitted(
        np.pad(x, ((0, 0), (int(rng.integers(0, max(1, TOWER.frames - x.shape[1]))), 0)), constant_values=-100), TOWER.frames
    )
    hiss = np.resize(hiss, x.shape)
    x = np.logaddexp(x * np.log(10) / 10, hiss * np.log(10) / 10) * 10 / np.log(10)
    start, wide = int(rng.integers(0, TOWER.frames)), int(rng.integers(0, 12))
    x[:, start : start + wide] = top - floor
    start, wide = int(rng.integers(0, MELS)), int(rng.integers(0, 7))
    x[start : start + wide] = top - floor
    return x.astype(np.float32)


def blended(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows at fractional places."""
    low = places.astype(int)
    share = (places - low)[:, None].astype(np.float32)
    return rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share


def embed(model: AudioTransformer, clips: Clips, chosen: list[int]) -> np.ndarray:
    """z of clips as they are."""
    found = []
    with torch.inference_mode():
        for i in range(0, len(chosen), 128):
            mels = np.stack([fitted(clips.mel(j).T, TOWER.frames) for j in chosen[i : i + 128]])
            found.append(model(torch.from_numpy(mels)).numpy())
    return np.concatenate(found)


def recall(model: AudioTransformer, clips: Clips, chosen: list[int], vectors: dict[str, np.ndarray], k: int) -> float:
    """The right caption among those of the chosen clips."""
    captions = sorted({clips.rows[i]["caption"] for i in chosen})
    scores = embed(model, clips, chosen) @ np.stack([vectors[c] for c in captions]).T
    right = np.array([[clips.rows[i]["caption"] == c for c in captions] for i in chosen])
    return float(recall_at_k(scores, right, k))


def main(work: Path, steps: int, batch: int) -> None:
    clips = Clips(work)
    captions = sorted({row["caption"] for row in clips.rows})
    z = samespace.load("starter").text(captions)
    vectors, number = dict(zip(captions, z)), {c: i for i, c in enumerate(captions)}
    z_text = torch.nn.functional.normalize(torch.from_numpy(z - z.mean(axis=0)), dim=-1)
    torch.manual_seed(0)
    model, scale = AudioTransformer(TOWER), torch.nn.Parameter(torch.tensor(20.0).log())
    spell = torch.nn.Linear(TOWER.width, LETTERS)
    matrices = [p for p in [*model.parameters(), *spell.parameters()] if p.ndim > 1]
    others = [p for p in [*model.parameters(), *spell.parameters()] if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": [*others, scale]}], RATE, (0.9, 0.98), weight_decay=0.0
    )
    step, kept = 0, work / "checkpoint.pt"
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        model.load_state_dict(state["model"])
        spell.load_state_dict(state["spell"])
        optimizer.load_state_dict(state["optimizer"])
        scale.data, step = state["scale"], state["step"]
    pools = {kind: clips.of("train", kind) for kind in SHARES}
    groups = {f"{kind} {split}": clips.of(split, kind) for split in ("val",) for kind in ("person", "espeak")}
    print({k: len(v) for k, v in (pools | groups).items()}, len(captions), "captions", flush=True)
    started = time.monotonic()

    def drawn(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The batch of a step: decibels (B, MELS, frames), the numbers of their captions (B,), their letters (B, LETTERS)."""
        rng = np.random.default_rng(step)
        chosen = [int(i) for kind, share in SHARES.items() for i in rng.choice(pools[kind], round(batch * share))]
        x = np.stack([varied(clips.mel(i), rng) for i in chosen])
        letters = torch.zeros(len(chosen), LETTERS)
        for row, i in enumerate(chosen):
            letters[row, clips.letters[i]] = 1
        return torch.from_numpy(x), torch.tensor([number[clips.rows[i]["caption"]] for i in chosen]), letters

    ahead = ThreadPoolExecutor(1)
    coming = ahead.submit(drawn, step)
    while step < steps:
        (x, y, letters), coming = coming.result(), ahead.submit(drawn, step + 1)
        with torch.autocast("cpu", torch.bfloat16):
            tap: dict[str, torch.Tensor] = {}
            hidden = model.read(
                x, tap
            )  # where intermediates are kept, attention is plain, whose backward is the faster one on a CPU
            out = model.proj(hidden)
            guessed = spell(hidden)
        named = cross_entropy(scale.exp().clamp(max=100) * torch.nn.functional.normalize(out.float(), dim=-1) @ z_text.T, y)
        spoken = letters.any(dim=1)
        spelled = binary_cross_entropy_with_logits(guessed.float()[spoken], letters[spoken], pos_weight=torch.tensor(10.0))
        loss = named + spelled
        rate = RATE * min(1, (step + 1) / WARMUP) * 0.5 * (1 + np.cos(np.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 20 == 0:
            print(step, round(named.item(), 3), round(spelled.item(), 3), f"{time.monotonic() - started:.0f}s", flush=True)
        if step % 300 == 0 or step == steps:
            model.eval()
            found = {name: round(recall(model, clips, some, vectors, 5), 3) for name, some in groups.items()}
            model.train()
            print(step, "validation recall@5", found, flush=True)
            state = {
                "model": model.state_dict(),
                "spell": spell.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scale": scale.data,
                "step": step,
            }
            torch.save(state, work / "checkpoint.part")
            os.replace(work / "checkpoint.part", kept)


if __name__ == "__main__":
    options = {k: int(v) for k, v in (option.split("=") for option in sys.argv[2:])}
    main(Path(sys.argv[1]), options.get("steps", 3000), options.get("batch", 64))
