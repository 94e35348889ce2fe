"""Step 2: an audio tower learns to land where the starter puts the caption's words.

    python recipes/sound/train.py WORK [steps=5500] [batch=128] [start=shipped]     # checkpointed; the same command goes on

With `start=shipped` it begins from the tower that the starter has, with `start=FILE` from the running average in another run's
checkpoint.pt. WORK/towers keeps what the running average of the weights was at each evaluation, for export.py.

Three losses, added. *Named*: the clip's vector is told apart from the vectors of all other captions (CLIP's loss with every
caption of the data as a negative, their mean taken off; the text tower rests). *Shown*: the same against the pictures of the
stamps, but those of captions that are held out. *Spelled*: each chunk tells which sound of speech is heard (CTC, Graves et al.
2006, in the phonetic alphabet, one for all languages); it is what carries a word from a synthetic voice over to people.
Validation: people and a voice not heard in training, captions not heard from people; English words from that voice; effects.
"""

import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from prepare import TOWER, split_of
from safetensors.torch import load_file
from scipy.signal import lfilter
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss, normalize

import samespace
from samespace.core.metrics import recall_at_k
from samespace.models.starter.audio import AudioTransformer
from samespace.preprocess.mel import MIN_POWER, fit_frames
from samespace.spaces.tensors import dequantize
from samespace.spaces import checkpoint
from samespace.spaces.hub import STARTER
from samespace.train import checkpoint as state
from samespace.train.config import card_of
from samespace.train.data import Bad
from samespace.train.loop import Progress, Trainer
from samespace.train.metrics import Watch

SHARES = {"person": 0.38, "espeak": 0.22, "word": 0.34, "effect": 0.06}
"""Of a batch."""
DEFAULTS = dict(
    steps=5_500, batch=128, optimizer="muon", lr=1.2e-3, warmup=300, weight_decay=0.05, average=0.998,
    save_every=250, evaluate_every=500,
)  # fmt: skip
NOTED = 50
"""Steps between two rows of losses."""
POOLED = 0.7
"""Of a batch's chunks, as many make up the clips' vectors: who hears a part only learns no caption by its tune."""
STYLES, ROOMS = 0.6, 0.6
"""Share of espeak-ng's takes that sound as if taken where a person's was; and of these, that are heard in a room."""
PACES = 0.12
"""How much the pace changes within a take."""
SPELLED_AT = 4
"""Block, of the tower's, after which the sounds of speech are told: what is said is to be known there, whoever says it, and the blocks
above are left to what it means."""
SPELLED = 2.0
"""Weight of the sounds of speech: of people's recordings they are learnt slowest."""
ROUND = 16
"""Batches that are drawn at once and sorted by length, so that little of a batch is padding."""
FRAMES = 12_800
"""About as many frames has a batch at most: of long clips it has fewer."""
LOOKED = {"person": ("person", 145, 5), "espeak": ("person", 145, 5), "word": ("word", 145, 1), "effect": ("effect", 18, 5)}
"""For each kind of validation's clips: among how many captions the right one is looked for, as many as are held out for the test;
whose captions of training fill these up; and among how many first it is to be."""
SILENCE = 10 * np.log10(MIN_POWER)


class Clips:
    """All clips of WORK, and the vectors of what they are about."""

    def __init__(self, work: Path):
        self.rows = [json.loads(line) for line in (work / "clips.jsonl").read_text("utf-8").splitlines()]
        self.mels = np.memmap(work / "mels.f16", np.float16, "r").reshape(-1, TOWER.mels)
        space = samespace.load("starter")
        self.captions = sorted({row["caption"] for row in self.rows})
        named = {row["picture"] for row in self.rows if split_of(row["caption"]) == "train"}
        self.pictures = sorted(picture for picture in named if Path(picture).is_file())  # some are drawn as SVG
        self.z_text, self.z_image = space.text(self.captions), space.image(self.pictures)
        self.alphabet = sorted({c for row in self.rows for c in row["phones"]})

    def of(self, split: str, kind: str = "") -> list[int]:
        return [i for i, row in enumerate(self.rows) if row["split"] == split and kind in ("", row["kind"])]

    def mel(self, i: int) -> np.ndarray:
        """float32 (F, M)"""
        row = self.rows[i]
        return self.mels[row["start"] : row["start"] + row["frames"]].astype(np.float32)


@dataclass(frozen=True)
class Batch:
    """Clips of about one length, and what is to be said of each."""

    mels: Tensor
    """Decibels, float32 (B, M, F)."""
    caption: Tensor
    """int64 (B,)"""
    picture: Tensor
    """int64 (B,); −100 where there is none."""
    phones: Tensor
    """int64, all clips' sounds one after the other; 0 stays free for CTC's blank."""
    lengths: Tensor
    """int64 (B,): how many of them each clip has."""


class Batches:
    """The loader of this recipe: batches without an end, of at most `size` clips; what a step sees follows from its number."""

    def __init__(self, clips: Clips, size: int):
        self.clips, self.size, self.place, self.bad = clips, size, {"drawn": 0}, Bad()
        self.pools = {kind: clips.of("train", kind) for kind in SHARES}
        self.caption = {caption: i for i, caption in enumerate(clips.captions)}
        self.picture = {picture: i for i, picture in enumerate(clips.pictures)}
        self.phone = {phone: i for i, phone in enumerate(clips.alphabet, 1)}

    def __iter__(self) -> Iterator[Batch]:
        """From where the run stands on, the next one made while one is used."""
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.at, self.place["drawn"])
            while True:
                batch, self.place = coming.result(), {"drawn": self.place["drawn"] + 1}
                coming = ahead.submit(self.at, self.place["drawn"])
                yield batch

    def at(self, step: int) -> Batch:
        chosen, rng = self.drawn(step // ROUND)[step % ROUND], np.random.default_rng((1, step))
        chosen = chosen[: max(8, FRAMES // self.clips.rows[chosen[-1]]["frames"])]
        rows = [self.clips.rows[i] for i in chosen]
        takes = [varied(self.clips.mel(i), self.partner(i, rng), rng) for i in chosen]
        longest = min(max(take.shape[1] for take in takes) + int(rng.integers(0, 40)), TOWER.frames)
        phones = [[self.phone[c] for c in row["phones"]] for row in rows]
        return Batch(
            torch.from_numpy(np.stack([fit_frames(take, longest) for take in takes])),
            torch.tensor([self.caption[row["caption"]] for row in rows]),
            torch.tensor([self.picture.get(row["picture"], -100) for row in rows]),
            torch.tensor([phone for word in phones for phone in word]),
            torch.tensor([len(word) for word in phones]),
        )

    def partner(self, i: int, rng: np.random.Generator) -> np.ndarray | None:
        """What espeak-ng says is now and then given the sound of a recording by people: that one's spectrogram."""
        synthetic = self.clips.rows[i]["kind"] in ("espeak", "word") and rng.random() < STYLES
        return self.clips.mel(int(rng.choice(self.pools["person"]))) if synthetic else None

    def drawn(self, number: int) -> np.ndarray:
        """The clips of a round, in batches of like length, these in no order: int (ROUND, size)."""
        rng = np.random.default_rng((0, number))
        counts = {kind: round(self.size * ROUND * share) for kind, share in SHARES.items()}
        counts["espeak"] += self.size * ROUND - sum(counts.values())
        chosen = np.concatenate([rng.choice(self.pools[kind], count) for kind, count in counts.items()])
        by_length = chosen[np.argsort([self.clips.rows[i]["frames"] for i in chosen], kind="stable")]
        return rng.permutation(by_length.reshape(ROUND, self.size))  # whole batches change places, not the clips in them


def varied(mel: np.ndarray, other: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Another take of the same: now faster now slower, a larger or smaller throat, another microphone, noise, gaps; where there is
    another clip, as if taken where that was, and perhaps in a room.

    (F, M), (F″, M) → (M, F′)
    """
    throat = rng.uniform(0.9, 1.12)
    x = blended(mel, paced(len(mel), rng))
    if other is not None:
        x = in_style(x, other, rng.uniform(0.3, 1))
    x = blended(x.T, np.clip(np.arange(TOWER.mels) * throat, 0, TOWER.mels - 1.001))  # (M, F′)
    if other is not None and rng.random() < ROOMS:
        x = in_a_room(x, rng.uniform(0.1, 0.7), rng.uniform(-15, 0))
    x = np.pad(x, ((0, 0), (int(rng.integers(0, 12)), int(rng.integers(0, 12)))), constant_values=SILENCE)
    x = x + np.interp(np.arange(TOWER.mels), np.linspace(0, TOWER.mels, 6), rng.normal(0, 3, 6))[:, None]  # the microphone
    hiss = x.max() - rng.uniform(30, 80) + np.linspace(*rng.normal(0, 6, 2), TOWER.mels)[:, None] + rng.normal(0, 3, x.shape)
    x = np.logaddexp(x * np.log(10) / 10, hiss * np.log(10) / 10) * 10 / np.log(10)
    for axis, widest in ((0, 10), (0, 10), (1, x.shape[1] // 8)):  # SpecAugment (Park et al. 2019)
        start, wide = int(rng.integers(0, x.shape[axis])), int(rng.integers(0, widest + 1))
        x[(slice(None),) * axis + (slice(start, start + wide),)] = hiss.mean()
    return x.astype(np.float32)


def in_a_room(x: np.ndarray, decay: float, level: float) -> np.ndarray:
    """With the echo of walls: it falls by 60 dB in `decay` seconds, and begins at `level` dB (0 or less) of what is said. (M, F)"""
    kept, power = 10 ** (-6 * TOWER.hop / TOWER.rate / decay), 10 ** (x / 10)
    echo = lfilter([0, 1 - kept], [1, -kept], power, axis=1)
    return 10 * np.log10(power + 10 ** (level / 10) * echo)


def paced(length: int, rng: np.random.Generator) -> np.ndarray:
    """Where to read that many frames, so that they are heard faster or slower as a whole, and from one quarter of a second to the
    next: float (F′,)"""
    paces = rng.uniform(0.75, 1.2) * np.exp(rng.normal(0, PACES, 2 + length // 25))
    places = np.cumsum(np.interp(np.arange(2 * length), 25 * np.arange(len(paces)), paces))
    return places[places < length - 1]


def in_style(x: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """With each band as loud and as lively as in another clip, by a share: Freq-MixStyle (Kim et al. 2022, "Domain Generalization
    with Relaxed Instance Frequency-wise Normalization", §4; Schmid et al. 2022). (F, M), (F″, M) → (F, M)"""
    (mean, spread), (their_mean, their_spread) = ((rows.mean(axis=0), rows.std(axis=0) + 1) for rows in (x, other))
    return (x - mean) / spread * (spread + share * (their_spread - spread)) + mean + share * (their_mean - mean)


def blended(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows at fractional places."""
    low = places.astype(int)
    share = (places - low)[:, None].astype(np.float32)
    return rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share


class Pupil(nn.Module):
    """The tower, and what only training needs."""

    def __init__(self, clips: Clips):
        super().__init__()
        self.tower = AudioTransformer(TOWER)
        self.spell = nn.Sequential(nn.LayerNorm(TOWER.width), nn.Linear(TOWER.width, 1 + len(clips.alphabet)))
        self.tower.blocks[SPELLED_AT - 1].register_forward_hook(self.hear)
        self.scale = nn.Parameter(torch.tensor(20.0).log())
        for name, z in (("captions", clips.z_text), ("pictures", clips.z_image)):
            self.register_buffer(name, normalize(torch.from_numpy(z - z.mean(axis=0)), dim=-1), persistent=False)

    def hear(self, block: nn.Module, given: tuple, tokens: Tensor) -> None:
        """Keep what the last pass made of each chunk on its way: (B, N, D)."""
        self.said = tokens

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            tokens = self.tower.tokens(batch.mels, {})  # where intermediates are kept, attention's backward is faster on a CPU
            chosen = torch.randperm(tokens.shape[1])[: math.ceil(POOLED * tokens.shape[1])]
            z, sounds = self.tower.proj(self.tower.pooled(tokens[:, chosen])), self.spell(self.said)
        z, scale = normalize(z.float(), dim=-1), self.scale.exp().clamp(max=100)
        return {
            "named": cross_entropy(scale * z @ self.captions.T, batch.caption),
            "shown": 0.3 * cross_entropy(scale * z @ self.pictures.T, batch.picture),
            "spelled": SPELLED * spelled(sounds.float(), batch),
        }


def spelled(sounds: Tensor, batch: Batch) -> Tensor:
    """CTC, for each sound of speech: (B, N, A) → (). Words too long for their chunks say nothing."""
    scores = sounds.log_softmax(dim=-1).transpose(0, 1)
    heard = torch.full((scores.shape[1],), scores.shape[0])
    return ctc_loss(scores, batch.phones, heard, batch.lengths, reduction="sum", zero_infinity=True) / len(batch.phones)


def embed(tower: AudioTransformer, clips: Clips, chosen: list[int]) -> np.ndarray:
    """z of clips as they are."""
    with torch.inference_mode():
        mels = (np.stack([fit_frames(clips.mel(j).T, TOWER.frames) for j in chosen[i : i + 64]]) for i in range(0, len(chosen), 64))
        return np.concatenate([tower(torch.from_numpy(some)).numpy() for some in mels])


def recalls(tower: AudioTransformer, clips: Clips, centred: bool = False) -> dict[str, float]:
    """Recall of validation's captions among themselves and enough of training's, by kind; of a tower that is not centred, as if it
    were (export.py)."""
    training = tower.training
    tower.eval()
    z = {kind: embed(tower, clips, clips.of("val", kind)) for kind in LOOKED}
    common = 0 if centred else (z["person"].mean(axis=0) + z["espeak"].mean(axis=0)) / 2
    tower.train(training)
    return {kind: recall(z[kind] - common, clips, kind) for kind in LOOKED}


def recall(z: np.ndarray, clips: Clips, kind: str) -> float:
    """Of validation's clips of a kind, these being their vectors."""
    whose, among, k = LOOKED[kind]
    said = [clips.rows[i]["caption"] for i in clips.of("val", kind)]
    others = sorted({clips.rows[i]["caption"] for i in clips.of("train", whose)} - set(said))
    missing = among - len(set(said))
    captions = np.array(sorted(set(said)) + others[:: len(others) // missing][:missing])
    z_text = clips.z_text[[clips.captions.index(c) for c in captions]]
    right = np.array([caption == captions for caption in said])
    return round(float(recall_at_k(z @ z_text.T, right, k)), 3)


def shipped() -> dict[str, Tensor]:
    """The weights of the starter's tower, without its associations (associate.py)."""
    state = dequantize(load_file(STARTER / "audio.safetensors"))
    return {name: tensor for name, tensor in state.items() if not name.startswith("associate.")}


@torch.no_grad()
def read_shipped(tower: AudioTransformer, mels: Tensor) -> None:
    """The starter's tower, whose batch norms rest, folded; what they rest at is set to what they see in these clips (B, M, F),
    so that they go on from there."""
    tower.load_state_dict(shipped())
    x = tower.scaled(mels)
    for conv, norm, act in tower.chunk:
        seen = conv(x)
        mean, var = seen.mean(dim=(0, 2)), seen.var(dim=(0, 2))
        norm.running_mean.copy_(mean), norm.running_var.copy_(var)
        norm.weight.copy_((var + norm.eps).sqrt()), norm.bias.add_(mean)
        x = act(norm.eval()(seen))


def main(work: Path, overrides: list[str]) -> None:
    card = card_of(DEFAULTS, overrides)
    torch.manual_seed(card.seed)
    clips = Clips(work)
    pupil, batches = Pupil(clips), Batches(clips, card.batch)
    if card.start == "shipped":
        read_shipped(pupil.tower, batches.at(0).mels)
    elif card.start:
        kept = state.load(Path(card.start))["average"]
        pupil.load_state_dict({k.removeprefix("module."): v for k, v in kept.items() if k.startswith("module.")}, strict=False)
    trainer = Trainer(card, pupil, batches, work)
    if trainer.checkpoint.exists():
        trainer.resume()
    watch, shown = Watch(work, trainer.step), []

    def backward(batch: Batch, share: float) -> Tensor:
        losses = pupil.losses(batch)
        (share * sum(losses.values())).backward()
        shown.append({name: loss.item() for name, loss in losses.items()})
        return sum(losses.values()).detach()

    def on_step(progress: Progress) -> None:
        if progress.step % NOTED == 0:
            means = {name: round(sum(losses[name] for losses in shown) / len(shown), 3) for name in shown[0]}
            shown.clear()
            print(progress.step, means, f"{progress.rate:.0f} clips/s", flush=True)
            watch.note(progress.step, loss=sum(means.values()), **means)
        if progress.step % card.evaluate_every == 0 or progress.step == card.steps:
            tower = trainer.average.module.tower
            found = recalls(tower, clips)
            print(progress.step, "validation", found, flush=True)
            watch.note(progress.step, **{f"val/{kind}_recall@{LOOKED[kind][2]}": recall for kind, recall in found.items()})
            (work / "towers").mkdir(exist_ok=True)
            state.save(work / "towers" / f"{progress.step}.pt", tower.state_dict())

    trainer.train(backward, on_step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
