"""Step 2: train an audio tower to map clips to the starter's vectors of their captions.

    python recipes/sound/train.py WORK [steps=5500] [batch=128] [start=shipped]     # the same command resumes

`start=shipped` starts from the starter's audio tower, `start=FILE` from the moving average in another run's checkpoint.pt. WORK/towers
has the moving average of the weights at each evaluation, for export.py.

Three losses are added. *caption*: the clip's vector is contrasted with the vectors of all captions of the data (CLIP's loss, with the
captions' mean subtracted; the text tower is frozen). *picture*: the same with the pictures of the stamps, except held-out ones. *phones*:
each chunk of frames predicts the phone that is spoken (CTC, Graves et al. 2006, in the phonetic alphabet, one for all languages); this
transfers words from synthetic voices to people. Validation: people and a held-out voice, with captions that training does not have from
people; English words in that voice; effects.
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
from samespace.spaces.checkpoints.tensors import dequantize
from samespace.spaces.registry import STARTER
from samespace.train import checkpoint
from samespace.train.config import config_from
from samespace.train.data import Position, SkippedSamples
from samespace.train.loop import Progress, Trainer
from samespace.train.metrics import Metrics

SHARES = {"person": 0.38, "espeak": 0.22, "word": 0.34, "effect": 0.06}
"""Share of a batch that each kind of clip has."""
DEFAULTS = dict(
    steps=5_500, batch=128, optimizer="muon", lr=1.2e-3, warmup=300, weight_decay=0.05, ema_decay=0.998,
    save_every=250, evaluate_every=500,
)  # fmt: skip
LOG_EVERY = 50
"""Steps between two rows of losses."""
POOLED = 0.7
"""Share of a batch's chunks that is pooled, the rest dropped: against overfitting to the melody of a caption."""
STYLE_PROBABILITY, ECHO_PROBABILITY = 0.6, 0.6
"""Probability that an espeak-ng clip gets the style of a person's recording; and of these, an echo."""
TEMPO_STD = 0.12
"""Standard deviation of the log tempo within a clip."""
PHONES_AT = 4
"""Number of blocks after which phones are predicted; the blocks above are for the meaning."""
PHONES_WEIGHT = 2.0
"""Weight of the loss on phones, which are learned slowest, from people's recordings."""
ROUND = 16
"""Batches that are sampled together and sorted by length, for little padding."""
MAX_FRAMES = 12_800
"""Frames of a batch, at most, approximately: it has fewer clips if they are long."""
VALIDATION = {"person": ("person", 145, 5), "espeak": ("person", 145, 5), "word": ("word", 145, 1), "effect": ("effect", 18, 5)}
"""Kind of validation clips → (kind whose training captions fill up the candidates, number of candidates, k of recall@k)."""
SILENCE = 10 * np.log10(MIN_POWER)


class Clips:
    """All clips of WORK, and the vectors of their captions and pictures."""

    def __init__(self, work: Path):
        self.rows = [json.loads(line) for line in (work / "clips.jsonl").read_text("utf-8").splitlines()]
        self.mels = np.memmap(work / "mels.f16", np.float16, "r").reshape(-1, TOWER.mels)
        space = samespace.load("starter")
        self.captions = sorted({row["caption"] for row in self.rows})
        pictures = {row["picture"] for row in self.rows if split_of(row["caption"]) == "train"}
        self.pictures = sorted(picture for picture in pictures if Path(picture).is_file())  # some are drawn as SVG
        self.z_text, self.z_image = space.text(self.captions), space.image(self.pictures)
        self.alphabet = sorted({c for row in self.rows for c in row["phones"]})

    def of(self, split: str, kind: str = "") -> list[int]:
        """Return the numbers of the clips of a split, and of a kind."""
        return [i for i, row in enumerate(self.rows) if row["split"] == split and kind in ("", row["kind"])]

    def mel(self, i: int) -> np.ndarray:
        """Return a clip's spectrogram in decibels: float32 (F, M)."""
        row = self.rows[i]
        return self.mels[row["start"] : row["start"] + row["frames"]].astype(np.float32)


@dataclass(frozen=True)
class Batch:
    """Clips of similar length, and their targets."""

    mels: Tensor
    """Decibels, float32 (B, M, F)."""
    caption: Tensor
    """Number of the caption, int64 (B,)."""
    picture: Tensor
    """Number of the picture, int64 (B,); −100 where there is none."""
    phones: Tensor
    """int64, all clips' phones concatenated; 0 is CTC's blank."""
    lengths: Tensor
    """Number of phones of each clip, int64 (B,)."""
    random: torch.Generator
    """Draws what the model drops."""


class Batches:
    """The loader of this recipe: endless batches of at most `size` clips; a batch depends only on the number of its step."""

    def __init__(self, clips: Clips, size: int, seed: int = 0):
        self.clips, self.size, self.seed, self.position, self.skipped = clips, size, seed, Position(), SkippedSamples()
        self.pools = {kind: clips.of("train", kind) for kind in SHARES}
        self.caption = {caption: i for i, caption in enumerate(clips.captions)}
        self.picture = {picture: i for i, picture in enumerate(clips.pictures)}
        self.phone = {phone: i for i, phone in enumerate(clips.alphabet, 1)}

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches from `position` on; the next one is prepared in a thread."""
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(self.at, self.position.drawn)
            while True:
                batch, self.position = pending.result(), Position(drawn=self.position.drawn + 1)
                pending = pool.submit(self.at, self.position.drawn)
                yield batch

    def at(self, step: int) -> Batch:
        """Return the batch of a step."""
        chosen, rng = self.sample(step // ROUND)[step % ROUND], np.random.default_rng((2 * self.seed + 1, step))
        most = max(8, MAX_FRAMES // self.clips.rows[chosen[-1]]["frames"])
        chosen = chosen if len(chosen) <= most else np.sort(rng.choice(chosen, most, replace=False))
        rows = [self.clips.rows[i] for i in chosen]
        mels = [augment(self.clips.mel(i), self.style_clip(i, rng), rng) for i in chosen]
        longest = min(max(mel.shape[1] for mel in mels) + int(rng.integers(0, 40)), TOWER.frames)
        phones = [[self.phone[c] for c in row["phones"]] for row in rows]
        return Batch(
            torch.from_numpy(np.stack([fit_frames(mel, longest) for mel in mels])),
            torch.tensor([self.caption[row["caption"]] for row in rows]),
            torch.tensor([self.picture.get(row["picture"], -100) for row in rows]),
            torch.tensor([phone for of_clip in phones for phone in of_clip]),
            torch.tensor([len(of_clip) for of_clip in phones]),
            torch.Generator().manual_seed((self.seed << 32) + step),
        )

    def style_clip(self, i: int, rng: np.random.Generator) -> np.ndarray | None:
        """Return the spectrogram of a person's recording whose style an espeak-ng clip gets, if it gets one."""
        synthetic = self.clips.rows[i]["kind"] in ("espeak", "word") and rng.random() < STYLE_PROBABILITY
        return self.clips.mel(int(rng.choice(self.pools["person"]))) if synthetic else None

    def sample(self, number: int) -> np.ndarray:
        """Return the clips of a round, in batches of similar length in random order: int (ROUND, size)."""
        rng = np.random.default_rng((2 * self.seed, number))
        counts = {kind: round(self.size * ROUND * share) for kind, share in SHARES.items()}
        counts["espeak"] += self.size * ROUND - sum(counts.values())
        chosen = np.concatenate([rng.choice(self.pools[kind], count) for kind, count in counts.items()])
        by_length = chosen[np.argsort([self.clips.rows[i]["frames"] for i in chosen], kind="stable")]
        return rng.permutation(by_length.reshape(ROUND, self.size))  # of batches, not of clips


def augment(mel: np.ndarray, style: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Vary tempo, vocal tract length, microphone, noise and gaps at random; with a style clip also mix its style and add an echo.

    (F, M), (F″, M) → (M, F′)
    """
    vocal_tract = rng.uniform(0.9, 1.12)
    x = interpolate(mel, random_tempo(len(mel), rng))
    if style is not None:
        x = mix_style(x, style, rng.uniform(0.3, 1))
    x = interpolate(x.T, np.clip(np.arange(TOWER.mels) * vocal_tract, 0, TOWER.mels - 1.001))  # (M, F′)
    if style is not None and rng.random() < ECHO_PROBABILITY:
        x = add_echo(x, rng.uniform(0.1, 0.7), rng.uniform(-15, 0))
    x = np.pad(x, ((0, 0), (int(rng.integers(0, 12)), int(rng.integers(0, 12)))), constant_values=SILENCE)
    x = x + np.interp(np.arange(TOWER.mels), np.linspace(0, TOWER.mels, 6), rng.normal(0, 3, 6))[:, None]  # the microphone
    noise = x.max() - rng.uniform(30, 80) + np.linspace(*rng.normal(0, 6, 2), TOWER.mels)[:, None] + rng.normal(0, 3, x.shape)
    x = np.logaddexp(x * np.log(10) / 10, noise * np.log(10) / 10) * 10 / np.log(10)
    for axis, widest in ((0, 10), (0, 10), (1, x.shape[1] // 8)):  # SpecAugment (Park et al. 2019)
        start, wide = int(rng.integers(0, x.shape[axis])), int(rng.integers(0, widest + 1))
        x[(slice(None),) * axis + (slice(start, start + wide),)] = noise.mean()
    return x.astype(np.float32)


def add_echo(x: np.ndarray, decay: float, level: float) -> np.ndarray:
    """Add an echo that falls by 60 dB in `decay` seconds, from `level` dB (0 or less) relative to the signal: (M, F) → (M, F)."""
    remaining, power = 10 ** (-6 * TOWER.hop / TOWER.rate / decay), 10 ** (x / 10)
    echo = lfilter([0, 1 - remaining], [1, -remaining], power, axis=1)
    return 10 * np.log10(power + 10 ** (level / 10) * echo)


def random_tempo(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return where to read so many frames, for another tempo that changes every quarter of a second: float (F′,)."""
    tempo = rng.uniform(0.75, 1.2) * np.exp(rng.normal(0, TEMPO_STD, 2 + length // 25))
    positions = np.cumsum(np.interp(np.arange(2 * length), 25 * np.arange(len(tempo)), tempo))
    return positions[positions < length - 1]


def mix_style(x: np.ndarray, style: np.ndarray, weight: float) -> np.ndarray:
    """Mix each band's mean and deviation with those of another clip: (F, M), (F″, M) → (F, M).

    Freq-MixStyle: Kim et al. 2022, "Domain Generalization with Relaxed Instance Frequency-wise Normalization", §4; Schmid et al. 2022.
    """
    (mean, std), (style_mean, style_std) = ((rows.mean(axis=0), rows.std(axis=0) + 1) for rows in (x, style))
    return (x - mean) / std * (std + weight * (style_std - std)) + mean + weight * (style_mean - mean)


def interpolate(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return rows (N, …) at fractional positions (P,), interpolated linearly: (P, …)."""
    low = positions.astype(int)
    weight = (positions - low)[:, None].astype(np.float32)
    return rows[low] * (1 - weight) + rows[np.minimum(low + 1, len(rows) - 1)] * weight


class TrainingModel(nn.Module):
    """The tower, with the phone classifier and the temperature that only training needs."""

    def __init__(self, clips: Clips):
        super().__init__()
        self.tower = AudioTransformer(TOWER)
        self.phone_head = nn.Sequential(nn.LayerNorm(TOWER.width), nn.Linear(TOWER.width, 1 + len(clips.alphabet)))
        self.tower.blocks[PHONES_AT - 1].register_forward_hook(self._keep_tokens)
        self.scale = nn.Parameter(torch.tensor(20.0).log())
        for name, z in (("captions", clips.z_text), ("pictures", clips.z_image)):
            self.register_buffer(name, normalize(torch.from_numpy(z - z.mean(axis=0)), dim=-1), persistent=False)

    def _keep_tokens(self, block: nn.Module, inputs: tuple, tokens: Tensor) -> None:
        """Keep the tokens of the last forward pass: (B, N, D)."""
        self.phone_tokens = tokens

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the three losses of a batch, weighted."""
        with torch.autocast("cpu", torch.bfloat16):
            tokens = self.tower.tokens(batch.mels, {})  # with a tap, the backward pass of attention is faster on a CPU
            chosen = torch.randperm(tokens.shape[1], generator=batch.random)[: math.ceil(POOLED * tokens.shape[1])]
            z, phones = self.tower.proj(self.tower.pooled(tokens[:, chosen])), self.phone_head(self.phone_tokens)
        z, scale = normalize(z.float(), dim=-1), self.scale.exp().clamp(max=100)
        return {
            "caption": cross_entropy(scale * z @ self.captions.T, batch.caption),
            "picture": 0.3 * cross_entropy(scale * z @ self.pictures.T, batch.picture),
            "phones": PHONES_WEIGHT * phone_loss(phones.float(), batch),
        }


def phone_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return CTC's loss per phone: (B, N, A) → scalar. Texts with more phones than chunks are ignored."""
    log_p = logits.log_softmax(dim=-1).transpose(0, 1)
    chunks = torch.full((log_p.shape[1],), log_p.shape[0])
    return ctc_loss(log_p, batch.phones, chunks, batch.lengths, reduction="sum", zero_infinity=True) / len(batch.phones)


def embed(tower: AudioTransformer, clips: Clips, chosen: list[int]) -> np.ndarray:
    """Return z of clips, not augmented: float32 (B, E)."""
    with torch.inference_mode():
        batches = (
            np.stack([fit_frames(clips.mel(j).T, TOWER.frames) for j in chosen[i : i + 64]]) for i in range(0, len(chosen), 64)
        )
        return np.concatenate([tower(torch.from_numpy(mels)).numpy() for mels in batches])


def recalls(tower: AudioTransformer, clips: Clips, centred: bool = False) -> dict[str, float]:
    """Return recall of the validation clips' captions by kind; a tower that is not `centred` (export.py) is centred here."""
    training = tower.training
    tower.eval()
    z = {kind: embed(tower, clips, clips.of("val", kind)) for kind in VALIDATION}
    mean = 0 if centred else (z["person"].mean(axis=0) + z["espeak"].mean(axis=0)) / 2
    tower.train(training)
    return {kind: recall(z[kind] - mean, clips, kind) for kind in VALIDATION}


def recall(z: np.ndarray, clips: Clips, kind: str) -> float:
    """Return recall@k of the captions of validation clips of a kind, from the clips' vectors."""
    fill_kind, count, k = VALIDATION[kind]
    own = [clips.rows[i]["caption"] for i in clips.of("val", kind)]
    others = sorted({clips.rows[i]["caption"] for i in clips.of("train", fill_kind)} - set(own))
    missing = count - len(set(own))
    captions = np.array(sorted(set(own)) + others[:: len(others) // missing][:missing])
    z_text = clips.z_text[[clips.captions.index(c) for c in captions]]
    relevant = np.array([caption == captions for caption in own])
    return round(float(recall_at_k(z @ z_text.T, relevant, k)), 3)


def load_shipped() -> dict[str, Tensor]:
    """Return the weights of the starter's audio tower, without its Hopfield layer (hopfield.py)."""
    state = dequantize(load_file(STARTER / "audio.safetensors"))
    return {name: tensor for name, tensor in state.items() if not name.startswith("associate.")}


@torch.no_grad()
def start_from_shipped(tower: AudioTransformer, mels: Tensor) -> None:
    """Load the starter's tower in place, and restore its batch norms, which are folded, from the statistics of clips (B, M, F)."""
    tower.load_state_dict(load_shipped())
    x = tower.normalized(mels)
    for conv, norm, act in tower.chunk:
        y = conv(x)
        mean, var = y.mean(dim=(0, 2)), y.var(dim=(0, 2))
        norm.running_mean.copy_(mean), norm.running_var.copy_(var)
        norm.weight.copy_((var + norm.eps).sqrt()), norm.bias.add_(mean)
        x = act(norm.eval()(y))


def main(work: Path, overrides: list[str]) -> None:
    config = config_from(DEFAULTS, overrides)
    torch.manual_seed(config.seed)
    clips = Clips(work)
    model, batches = TrainingModel(clips), Batches(clips, config.batch, config.seed)
    if config.start == "shipped":
        start_from_shipped(model.tower, batches.at(0).mels)
    elif config.start:
        ema = checkpoint.load(Path(config.start))["ema"]
        weights = {name.removeprefix("module."): tensor for name, tensor in ema.items() if name.startswith("module.")}
        model.load_state_dict(weights, strict=False)
    trainer = Trainer(config, model, batches, work)
    if trainer.checkpoint.exists():
        trainer.resume()
    metrics, recent = Metrics(work, trainer.step), []

    def backward(batch: Batch, weight: float) -> Tensor:
        losses = model.losses(batch)
        (weight * sum(losses.values())).backward()
        recent.append({name: loss.item() for name, loss in losses.items()})
        return sum(losses.values()).detach()

    def on_step(progress: Progress) -> None:
        if progress.step % LOG_EVERY == 0:
            means = {name: round(sum(losses[name] for losses in recent) / len(recent), 3) for name in recent[0]}
            recent.clear()
            print(progress.step, means, f"{progress.samples_per_second:.0f} clips/s", flush=True)
            metrics.log(progress.step, {"loss": sum(means.values())} | means)
        if progress.step % config.evaluate_every == 0 or progress.step == config.steps:
            tower = trainer.ema.module.tower
            found = recalls(tower, clips)
            print(progress.step, "validation", found, flush=True)
            metrics.log(progress.step, {f"val/{kind}_recall@{VALIDATION[kind][2]}": value for kind, value in found.items()})
            (work / "towers").mkdir(exist_ok=True)
            checkpoint.save(work / "towers" / f"{progress.step}.pt", tower.state_dict())

    trainer.train(backward, on_step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
