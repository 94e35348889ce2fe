"""Step 5: evaluate the shipped space on held-out data.

    python recipes/starter/evaluate.py WORK [SPACE]

Prints one JSON object: text → image retrieval on Tux Paint stamps and on the held-out emoji design, and the six demo photographs
by their labels and by paraphrases that avoid the label's word. Everything runs in ONNX Runtime, as users' pictures do.
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
from samespace.spaces.calibration import fit, measure
from samespace.spaces.checkpoints import checkpoint

MEAN_FEATURE = 0.45
"""The backbone's mean feature, approximately."""
SAME = 0.999
"""Cosine of a caption with itself, after fp16."""
N_SPLITS = 8
"""Random halves of the validation pairs; the results of single ones differ by 0.02."""
PARAPHRASES = (
    ("a furry pet with whiskers", "a kitty looking at you", "a feline animal"),
    ("a hot drink", "espresso in a mug", "a warm beverage on a saucer"),
    ("a person in a space suit", "a member of a NASA crew", "a smiling woman who flies in space"),
    ("a spacecraft taking off", "a shuttle lifting off from its pad", "a missile rising with fire and smoke"),
    ("a two-wheeled vehicle", "a bike with an engine", "a scooter parked in a garage"),
    ("stars in the night sky", "the distant universe", "what a telescope sees of the cosmos"),
)


def retrieval(space: samespace.Space, work: Path, pairs: list[dict]) -> dict[str, float]:
    """Return text → image recall, and the calibration's error; equal captions are one query with several relevant images."""
    queries, relevant = queries_of([p["captions"][:1] for p in pairs])
    z_text, z_image = space.text(queries), space.image([work / p["file"] for p in pairs])
    metrics = {f"R@{k}": recall_at_k(z_text @ z_image.T, relevant, k) for k in (1, 5, 10)}
    metrics |= measure(space.calibration(), z_image, z_text, relevant) if space.calibration() else {}
    return {name: round(value, 4) for name, value in metrics.items()}


def cross_validate_calibration(space: samespace.Space, work: Path, pairs: list[dict]) -> dict[str, float]:
    """Return AUC and calibration error on validation pairs: fitted on one half and measured on the other, for several random halves.

    Captions that are among the background captions are left out.
    """
    pairs = list({p["captions"][0]: p for p in pairs}.values())
    z_text, z_image = space.text([p["captions"][0] for p in pairs]), space.image([work / p["file"] for p in pairs])
    not_background = (z_text @ space.background.T).max(axis=1) < SAME
    z_text, z_image, results = z_text[not_background], z_image[not_background], []
    for seed in range(N_SPLITS):
        halves = np.array_split(np.random.default_rng(seed).permutation(len(z_text)), 2)
        for a, b in (halves, halves[::-1]):
            calibration = fit(z_image[a], z_text[a], np.eye(len(a), dtype=bool), space.background)
            results.append(measure(calibration, z_image[b], z_text[b], np.eye(len(b), dtype=bool)))
    return {name: round(float(np.mean([result[name] for result in results])), 4) for name in ("auc", "ece")}


def classes_by_name(space: samespace.Space, work: Path) -> float:
    """Return zero-shot top-1 accuracy on the backbone's 1000 classes, by their first names; classifier rows replace pictures."""
    image = checkpoint.load(space.folder).model.image
    rows = image.prior.classifier.weight.detach()
    features = 6 * normalize(rows - rows.mean(dim=0), dim=-1)
    top = (MEAN_FEATURE + features).clamp(0, 6)[:, :, None, None].expand(-1, -1, 7, 7)
    middle, grey = torch.zeros(0), torch.zeros(len(top), 3, 14, 14)
    with torch.inference_mode():
        z_image = normalize(image.embedding([top, top, middle, grey]), dim=-1).numpy()
    z_text = space.text([c["names"][0] for c in json.loads((work / "classes.json").read_text())])
    return round(float(((z_image @ z_text.T).argmax(axis=1) == np.arange(len(z_text))).mean()), 4)


def people(space: samespace.Space) -> dict[str, float]:
    """Return for each phrase the AUC of the cosine, for 100 faces against 100 other crops of photographs."""
    crops = np.load(Path(skimage.data.__file__).parent / "lfw_subset.npy")  # the faces come first
    z = space.image([Image.fromarray((255 * crop).astype(np.uint8)) for crop in crops])
    phrases = ("a face", "a person", "a man", "a woman")
    return {p: round(auc(s, np.arange(len(crops)) < 100), 3) for p, s in zip(phrases, space.text(list(phrases)) @ z.T)}


def photograph_phrases(space: samespace.Space) -> dict:
    """Return how many phrases rank their photograph first."""
    z = space.image(photographs())
    results = {}
    for name, phrases in (("plain", [(p,) for p in PHRASES[:6]]), ("paraphrases", PARAPHRASES)):
        missed = [t for i, texts in enumerate(phrases) for t in texts if int((space.text([t]) @ z.T).argmax()) != i]
        results[name] = {"first": sum(map(len, phrases)) - len(missed), "of": sum(map(len, phrases)), "missed": missed}
    return results


def main(work: Path, name: str) -> None:
    space, pairs = samespace.load(name), read_lines(work / "pairs.jsonl")
    result = {split: retrieval(space, work, [p for p in pairs if p["split"] == split]) for split in ("stamps", "google")}
    result |= {"validation": cross_validate_calibration(space, work, [p for p in pairs if p["split"] == "val"])}
    result |= {"classes_by_name": classes_by_name(space, work), "people": people(space)} | photograph_phrases(space)
    print(json.dumps({"space": name, "fingerprint": space.fingerprint} | result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "starter")
