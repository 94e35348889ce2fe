"""Step 3: the trained tower into the starter, weights as narrow as gives the same vectors.

python recipes/sound/export.py WORK
python recipes/starter/senses.py STARTER_WORK WORK      # then: what turns its scores into probabilities
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch
from prepare import TOWER
from train import Clips, embed, recalls

from samespace.assistant.audio_labels import NAMES
from samespace.models.starter.audio import AudioTransformer
from samespace.preprocess.mel import fit_frames
from samespace.spaces.export import add_audio
from samespace.spaces.hub import STARTER
from samespace.spaces.space import read_space_config
from samespace.train import checkpoint as state
from samespace.train.metrics import curves_of

LONGEST = 24
"""Letters of a name that a sound may be called by."""

BANK = 1500
"""Clips of people, and as many of espeak-ng, that tell what clips have in common. (Nothing takes its place: with 0.3, 0.6 or 0.8 of the
captions' mean validation is understood less well.)"""


def soup(clips: Clips, folder: Path) -> tuple[AudioTransformer, list[int]]:
    """The mean of the towers of several steps, and these steps: from the best on, each is added that helps validation.

    Wortsman et al. 2022, "Model soups", recipe 1. Validation: people and English words.
    """
    kept = {int(file.stem): state.load(file) for file in folder.glob("*.pt")}

    def mixed(steps: list[int]) -> AudioTransformer:
        tower = AudioTransformer(TOWER).eval()
        means = {name: sum(kept[step][name] for step in steps) / len(steps) for name in kept[steps[0]]}
        tower.load_state_dict({name: mean.to(kept[steps[0]][name].dtype) for name, mean in means.items()})
        return tower

    def good(steps: list[int]) -> float:
        found = recalls(mixed(steps), clips)
        print(*steps, found, flush=True)
        return found["person"] + found["word"]

    alone = {step: good([step]) for step in sorted(kept)}
    chosen, best = [], 0.0
    for step in sorted(alone, key=lambda step: -alone[step]):
        if (together := good([*chosen, step]) if chosen else alone[step]) > best:
            chosen, best = [*chosen, step], together
    return mixed(chosen), sorted(chosen)


@torch.no_grad()
def centre(tower: AudioTransformer, clips: Clips) -> None:
    """Take off what all clips have in common: a caption that is like it would be near to everything that is heard.

    The mean of tokens that is projected has weights that sum to one and do not depend on what is added to all, so the last
    norm's bias can hold it. Liang et al. 2022, "Mind the Gap", §3; Radovanović et al. 2010 on hubs.
    """
    rng = np.random.default_rng(0)
    chosen = [int(i) for kind in ("person", "espeak") for i in rng.choice(clips.of("train", kind), BANK)]
    pooled = torch.from_numpy(embed(lambda mels: tower.pooled(tower.tokens(mels)), clips, chosen))
    tower.norm.bias -= pooled.mean(dim=0)


def curves(work: Path) -> dict[str, list[list[float]]]:
    """The starter's, with those of its audio tower's training."""
    own = {f"sound: {name}": points for name, points in curves_of(work / "metrics.jsonl").items()}
    return read_space_config(STARTER).card.get("curves", {}) | own


def gate(clips: Clips) -> np.ndarray:
    """What narrower weights must hear as the exact ones do: some of validation's people, float32 (64, M, F)."""
    return np.stack([fit_frames(clips.mel(i).T, TOWER.frames) for i in clips.of("val", "person")[:64]])


def main(work: Path) -> None:
    clips = Clips(work)
    tower, steps = soup(clips, work / "towers")
    print("the mean of", steps)
    centre(tower, clips)
    print("and centred", recalls(tower, clips, centred=True))
    card = {"sound": {"data": "Tux Paint's recordings and espeak-ng, ten languages", "clips": len(clips.rows), "steps": steps}}
    config = add_audio(STARTER, tower, TOWER, gate(clips), card=card | {"curves": curves(work)})
    heard = sorted({row["caption"] for row in clips.rows if row["kind"] in ("person", "effect")})
    short = [name for name in heard if len(name) <= LONGEST and re.fullmatch("[a-z][a-z -]*", name)]
    NAMES.write_text("".join(f"{name}\n" for name in short), "utf-8")
    print(config.card["precision"]["audio"], f"{(STARTER / 'audio.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
