"""Step 4: the starter's audio tower is given an associative memory: what it hears is looked up among the captions of the stamps.

    python recipes/sound/associate.py WORK

A clip's vector is a guess at its caption's, and a picture lies a little off from its caption. So the last layer attends over the
captions that clips were told apart from, and adds where each one's picture is to be expected: what a ridge regression makes of the
caption, fitted on the stamps that training may see. Nothing is trained; SCALE, SHARE and RIDGE were chosen on validation.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from export import gate
from prepare import TOWER
from train import Clips, embed, recalls, shipped

import samespace
from samespace.core.metrics import recall_at_k
from samespace.models.starter.audio import AudioTransformer
from samespace.spaces.export import add_audio
from samespace.spaces.hub import STARTER

SCALE = 40.0
"""Of a clip's cosines with the captions, before the softmax: a clip's with its own is hardly above 0.2."""
SHARE = 0.15
"""How much is added to a unit vector by a caption that is certain."""
RIDGE = 2.0
"""Added to the eigenvalues of 588 captions' unit vectors."""
AMONG = 156
"""Pictures that validation's are looked for among, as many as are held out for the test; training's fill them up."""


def unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def hopfield_pairs(clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values, float32 (R, E): the stamps' captions, and where their pictures are to be expected."""
    z_text = dict(zip(clips.captions, unit(clips.z_text - clips.z_text.mean(axis=0))))
    caption_of = {row["picture"]: row["caption"] for row in clips.rows}
    x = np.stack([z_text[caption_of[picture]] for picture in clips.pictures])
    y = unit(clips.z_image - clips.z_image.mean(axis=0))
    expected = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)  # (E, E)
    keys = np.stack([z_text[caption] for caption in sorted({row["caption"] for row in clips.rows if row["picture"]})])
    return SCALE * keys, SHARE * unit(keys @ expected)


@torch.no_grad()
def associating(tower: AudioTransformer, keys: np.ndarray, values: np.ndarray) -> AudioTransformer:
    """The same tower, and after it what it knows by heart: keys, values (R, E)."""
    other = AudioTransformer(replace(TOWER, hopfield_pairs=len(keys))).eval()
    state = {"associate.keys.weight": torch.from_numpy(keys), "associate.values.weight": torch.from_numpy(values.T)}
    other.load_state_dict(tower.state_dict() | state)
    return other


def pictured(tower: AudioTransformer, clips: Clips, kind: str) -> float:
    """Recall@10 of the pictures of validation's clips of a kind."""
    seen = [i for i in clips.of("val", kind) if Path(clips.rows[i]["picture"]).is_file()]
    pictures = sorted({clips.rows[i]["picture"] for i in seen})
    others = clips.z_image[:: len(clips.z_image) // (AMONG - len(pictures))][: AMONG - len(pictures)]
    z_image = np.concatenate([samespace.load("starter").image(pictures), others])
    right = np.array([[clips.rows[i]["picture"] == picture for picture in pictures] + [False] * len(others) for i in seen])
    return round(float(recall_at_k(embed(tower, clips, seen) @ z_image.T, right, 10)), 3)


def report(name: str, tower: AudioTransformer, clips: Clips) -> None:
    pictures = {kind: pictured(tower, clips, kind) for kind in ("person", "espeak")}
    print(name, recalls(tower, clips, centred=True), "pictures", pictures, flush=True)


def main(work: Path) -> None:
    clips = Clips(work)
    plain = AudioTransformer(TOWER).eval()
    plain.load_state_dict(shipped())
    report("without", plain, clips)
    keys, values = hopfield_pairs(clips)
    tower = associating(plain, keys, values)
    report(f"with {len(keys)} captions", tower, clips)
    card = add_audio(STARTER, tower, replace(TOWER, hopfield_pairs=len(keys)), gate(clips)).card
    print(card["precision"]["audio"], f"{(STARTER / 'audio.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
