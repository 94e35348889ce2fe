"""Step 5: the shipped space on what no training saw.

    python recipes/starter/evaluate.py WORK [SPACE]

Prints the bars' numbers as one JSON object: Tux Paint stamps and the held-out emoji design, text → image, and the six
demo photographs by their plain phrases and by paraphrases that avoid the label's word. Everything goes through the
ONNX runtime and the space's own preprocessing, as a user's pictures do.
"""

import json
import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from common import read_lines
from PIL import Image
from torch.nn.functional import normalize

import samespace
from samespace.core.metrics import auc, recall_at_k
from samespace.evaluate.retrieval import queries_of
from samespace.library.demo import PHRASES, photographs
from samespace.spaces import checkpoint
from samespace.spaces.calibration import fit, measure

MEAN = 0.45  # the trunk's mean feature, about
SAME = 0.999  # cosine of a caption with itself, after fp16
HALVINGS = 8  # of the validation pairs; one alone is off by 0.02
PARAPHRASES = (
    ("a furry pet with whiskers", "a kitty looking at you", "a feline animal"),
    ("a hot drink", "espresso in a mug", "a warm beverage on a saucer"),
    ("a person in a space suit", "a member of a NASA crew", "a smiling woman who flies in space"),
    ("a spacecraft taking off", "a shuttle lifting off from its pad", "a missile rising with fire and smoke"),
    ("a two-wheeled vehicle", "a bike with an engine", "a scooter parked in a garage"),
    ("stars in the night sky", "the distant universe", "what a telescope sees of the cosmos"),
)


def retrieval(space: samespace.Space, work: Path, pairs: list[dict]) -> dict[str, float]:
    """Text → image recall; equal captions are one query with several right answers."""
    queries, right = queries_of([p["captions"][:1] for p in pairs])
    z_text, z_image = space.text(queries), space.image([work / p["file"] for p in pairs])
    found = {f"R@{k}": recall_at_k(z_text @ z_image.T, right, k) for k in (1, 5, 10)}
    found |= measure(space.calibration(), z_image, z_text, right) if space.calibration() else {}
    return {name: round(value, 4) for name, value in found.items()}


def crossed(space: samespace.Space, work: Path, pairs: list[dict]) -> dict[str, float]:
    """Relevance among validation pairs: a calibration fitted on one half and measured on the other, and the other way round,
    of several halvings. Captions that are in the background are no strangers to it, and are left out."""
    pairs = list({p["captions"][0]: p for p in pairs}.values())
    z_text, z_image = space.text([p["captions"][0] for p in pairs]), space.image([work / p["file"] for p in pairs])
    strange = (z_text @ space.background.T).max(axis=1) < SAME
    z_text, z_image, found = z_text[strange], z_image[strange], []
    for seed in range(HALVINGS):
        halves = np.array_split(np.random.default_rng(seed).permutation(len(z_text)), 2)
        for a, b in (halves, halves[::-1]):
            calibration = fit(z_image[a], z_text[a], np.eye(len(a), dtype=bool), space.background)
            found.append(measure(calibration, z_image[b], z_text[b], np.eye(len(b), dtype=bool)))
    return {name: round(float(np.mean([f[name] for f in found])), 4) for name in ("auc", "ece")}


def prototypes(space: samespace.Space, work: Path) -> float:
    """Zero-shot top-1 of the trunk's 1000 classes by their first name alone; a class's row stands for its picture."""
    image = checkpoint.load(space.folder).model.image
    rows = image.prior.classifier.weight.detach()
    along = 6 * normalize(rows - rows.mean(dim=0), dim=-1)
    top = (MEAN + along).clamp(0, 6)[:, :, None, None].expand(-1, -1, 7, 7)
    middle, grey = torch.zeros(0), torch.zeros(len(top), 3, 14, 14)
    with torch.inference_mode():
        z_image = normalize(image.embedding([top, top, middle, grey]), dim=-1).numpy()
    z_text = space.text([c["names"][0] for c in json.loads((work / "classes.json").read_text())])
    return round(float(((z_image @ z_text.T).argmax(axis=1) == np.arange(len(z_text))).mean()), 4)


def people(space: samespace.Space) -> dict[str, float]:
    """How well a phrase tells 100 faces from 100 other small cut-outs of photographs: AUC of the cosine."""
    cuts = np.load(Path(skimage.data.__file__).parent / "lfw_subset.npy")  # the faces come first
    z = space.image([Image.fromarray((255 * cut).astype(np.uint8)) for cut in cuts])
    phrases = ("a face", "a person", "a man", "a woman")
    return {p: round(auc(s, np.arange(len(cuts)) < 100), 3) for p, s in zip(phrases, space.text(list(phrases)) @ z.T)}


def photograph_phrases(space: samespace.Space) -> dict:
    """How many phrases find their photograph first."""
    z = space.image(photographs())
    out = {}
    for name, phrases in (("plain", [(p,) for p in PHRASES[:6]]), ("paraphrases", PARAPHRASES)):
        missed = [t for i, texts in enumerate(phrases) for t in texts if int((space.text([t]) @ z.T).argmax()) != i]
        out[name] = {"first": sum(map(len, phrases)) - len(missed), "of": sum(map(len, phrases)), "missed": missed}
    return out


def main(work: Path, name: str) -> None:
    space, pairs = samespace.load(name), read_lines(work / "pairs.jsonl")
    result = {split: retrieval(space, work, [p for p in pairs if p["split"] == split]) for split in ("stamps", "google")}
    result |= {"validation": crossed(space, work, [p for p in pairs if p["split"] == "val"])}
    result |= {"prototypes": prototypes(space, work), "people": people(space)} | photograph_phrases(space)
    print(json.dumps({"space": name, "fingerprint": space.fingerprint} | result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "starter")
