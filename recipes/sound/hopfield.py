"""Step 4: add a Hopfield layer to the starter's audio tower, which looks its output up among the captions of the stamps.

    python recipes/sound/hopfield.py WORK

A clip's vector approximates that of its caption, and a picture's vector differs a little from its caption's. So the last layer
attends over the captions that clips were contrasted with, and adds an estimate of the vector of each one's picture: by a ridge
regression from captions to pictures, fitted on the stamps of the training split. Nothing else is trained; SCALE, WEIGHT and RIDGE
were chosen on validation.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from export import gate
from prepare import TOWER
from train import Clips, embed, load_shipped, recalls

import samespace
from samespace.core.metrics import recall_at_k
from samespace.models.starter.audio import AudioTransformer
from samespace.spaces.convert.export import add_audio_tower
from samespace.spaces.registry import STARTER

SCALE = 40.0
"""Scale of a clip's cosines with the captions before the softmax; its cosine with its own caption is hardly above 0.2."""
WEIGHT = 0.15
"""Length of what a certain caption adds to a unit vector."""
RIDGE = 2.0
"""Added to the eigenvalues of 588 captions' unit vectors."""
N_PICTURES = 156
"""Pictures that the validation pictures are ranked among, as many as the test has; filled up with pictures of training."""


def unit(z: np.ndarray) -> np.ndarray:
    """Scale vectors (N, E) to unit length."""
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def hopfield_pairs(clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and values, float32 (R, E): the stamps' captions, and the estimated vectors of their pictures."""
    z_text = dict(zip(clips.captions, unit(clips.z_text - clips.z_text.mean(axis=0))))
    caption_of = {row["picture"]: row["caption"] for row in clips.rows}
    x = np.stack([z_text[caption_of[picture]] for picture in clips.pictures])
    y = unit(clips.z_image - clips.z_image.mean(axis=0))
    regression = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)  # (E, E)
    keys = np.stack([z_text[caption] for caption in sorted({row["caption"] for row in clips.rows if row["picture"]})])
    return SCALE * keys, WEIGHT * unit(keys @ regression)


@torch.no_grad()
def with_hopfield_layer(tower: AudioTransformer, keys: np.ndarray, values: np.ndarray) -> AudioTransformer:
    """Return the same tower with a Hopfield layer of these keys and values (R, E)."""
    extended = AudioTransformer(replace(TOWER, hopfield_pairs=len(keys))).eval()
    stored = {"associate.keys.weight": torch.from_numpy(keys), "associate.values.weight": torch.from_numpy(values.T)}
    extended.load_state_dict(tower.state_dict() | stored)
    return extended


def picture_recall(tower: AudioTransformer, clips: Clips, kind: str) -> float:
    """Return recall@10 of the pictures of validation clips of a kind."""
    chosen = [i for i in clips.of("val", kind) if Path(clips.rows[i]["picture"]).is_file()]
    pictures = sorted({clips.rows[i]["picture"] for i in chosen})
    others = clips.z_image[:: len(clips.z_image) // (N_PICTURES - len(pictures))][: N_PICTURES - len(pictures)]
    z_image = np.concatenate([samespace.load("starter").image(pictures), others])
    relevant = np.array([[clips.rows[i]["picture"] == picture for picture in pictures] + [False] * len(others) for i in chosen])
    return round(float(recall_at_k(embed(tower, clips, chosen) @ z_image.T, relevant, 10)), 3)


def report(name: str, tower: AudioTransformer, clips: Clips) -> None:
    """Print a tower's validation recalls."""
    pictures = {kind: picture_recall(tower, clips, kind) for kind in ("person", "espeak")}
    print(name, recalls(tower, clips, centred=True), "pictures", pictures, flush=True)


def main(work: Path) -> None:
    clips = Clips(work)
    plain = AudioTransformer(TOWER).eval()
    plain.load_state_dict(load_shipped())
    report("without", plain, clips)
    keys, values = hopfield_pairs(clips)
    tower = with_hopfield_layer(plain, keys, values)
    report(f"with {len(keys)} captions", tower, clips)
    card = add_audio_tower(STARTER, tower, replace(TOWER, hopfield_pairs=len(keys)), gate(clips)).card
    print(card["precision"]["audio"], f"{(STARTER / 'audio.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
