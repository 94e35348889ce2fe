"""Step 3: add the trained tower to the starter, with quantized weights where they give the same vectors.

python recipes/sound/export.py WORK
python recipes/starter/calibrate.py STARTER_WORK WORK      # then: calibrate its scores
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch
from prepare import TOWER
from train import Clips, embed, recalls

from samespace.assistant.audio_labels import LABELS
from samespace.models.starter.audio import AudioTransformer
from samespace.preprocess.mel import fit_frames
from samespace.spaces.convert.export import add_audio_tower
from samespace.spaces.registry import STARTER
from samespace.spaces.space import read_space_config
from samespace.train import checkpoint
from samespace.train.metrics import read_curves

LONGEST = 24
"""Letters of a label for sounds, at most."""

N_CENTRING = 1500
"""Clips of people, and as many of espeak-ng, whose mean is subtracted. (Adding 0.3, 0.6 or 0.8 of the captions' mean instead was
worse on validation.)"""


def soup(clips: Clips, folder: Path) -> tuple[AudioTransformer, list[int]]:
    """Return the mean of the towers of several steps, and these steps: from the best on, each is added that helps validation.

    Wortsman et al. 2022, "Model soups", recipe 1. Validation: people and English words.
    """
    states = {int(file.stem): checkpoint.load(file) for file in folder.glob("*.pt")}

    def mean(steps: list[int]) -> AudioTransformer:
        tower = AudioTransformer(TOWER).eval()
        first = states[steps[0]]
        means = {name: sum(states[step][name] for step in steps) / len(steps) for name in first}
        tower.load_state_dict({name: tensor.to(first[name].dtype) for name, tensor in means.items()})
        return tower

    def score(steps: list[int]) -> float:
        recall_of = recalls(mean(steps), clips)
        print(*steps, recall_of, flush=True)
        return recall_of["person"] + recall_of["word"]

    single = {step: score([step]) for step in sorted(states)}
    chosen, best = [], 0.0
    for step in sorted(single, key=lambda step: -single[step]):
        if (joint := score([*chosen, step]) if chosen else single[step]) > best:
            chosen, best = [*chosen, step], joint
    return mean(chosen), sorted(chosen)


@torch.no_grad()
def centre(tower: AudioTransformer, clips: Clips) -> None:
    """Subtract the clips' mean before the projection, in place: captions near it would be near every clip.

    The pooled mean of tokens has weights that sum to one and do not change when all tokens are shifted, so the last norm's bias can
    do it. Liang et al. 2022, "Mind the Gap", §3; Radovanović et al. 2010 on hubs.
    """
    rng = np.random.default_rng(0)
    chosen = [int(i) for kind in ("person", "espeak") for i in rng.choice(clips.of("train", kind), N_CENTRING)]
    pooled = torch.from_numpy(embed(lambda mels: tower.pooled(tower.tokens(mels)), clips, chosen))
    tower.norm.bias -= pooled.mean(dim=0)


def curves(work: Path) -> dict[str, list[list[float]]]:
    """Return the starter's curves, with those of its audio tower's training."""
    audio = {f"audio: {name}": points for name, points in read_curves(work / "metrics.jsonl").items()}
    return read_space_config(STARTER).card.get("curves", {}) | audio


def gate(clips: Clips) -> np.ndarray:
    """Return some validation clips of people, on which quantized weights must give the same vectors: float32 (64, M, F)."""
    return np.stack([fit_frames(clips.mel(i).T, TOWER.frames) for i in clips.of("val", "person")[:64]])


def main(work: Path) -> None:
    clips = Clips(work)
    tower, steps = soup(clips, work / "towers")
    print("the mean of", steps)
    centre(tower, clips)
    print("and centred", recalls(tower, clips, centred=True))
    card = {"audio": {"data": "Tux Paint's recordings and espeak-ng, ten languages", "clips": len(clips.rows), "steps": steps}}
    config = add_audio_tower(STARTER, tower, TOWER, gate(clips), card=card | {"curves": curves(work)})
    captions = sorted({row["caption"] for row in clips.rows if row["kind"] in ("person", "effect")})
    labels = [name for name in captions if len(name) <= LONGEST and re.fullmatch("[a-z][a-z -]*", name)]
    LABELS.write_text("".join(f"{name}\n" for name in labels), "utf-8")
    print(config.card["precision"]["audio"], f"{(STARTER / 'audio.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
