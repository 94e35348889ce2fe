"""Zero-shot classification: labels become vectors, and the nearest one names the picture."""

from collections.abc import Sequence

import numpy as np

from ..core.errors import QueryError
from ..spaces.space import Space
from .retrieval import Encoder

TEMPLATES = ("{}", "a photo of a {}", "a picture of a {}", "a drawing of a {}", "a close-up photo of a {}")


def label_vectors(space: Encoder, labels: Sequence[str], templates: Sequence[str] = TEMPLATES) -> np.ndarray:
    """One vector a label, the mean over its sentences: float32 (labels, dim), unit length.

    After Radford et al. 2021, §3.1.4 (prompt ensembling). Raises QueryError.
    """
    if not labels or not all(label.strip() for label in labels):
        raise QueryError("give at least one label, separated by commas: --labels cat,dog")
    if bad := [t for t in templates if "{}" not in t]:
        raise QueryError(f"template {bad[0]!r} has no {{}} where the label goes; write one such as: a photo of a {{}}")
    z = space.text([t.replace("{}", label) for label in labels for t in templates])
    z = z.reshape(len(labels), len(templates), -1).mean(axis=1)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def accuracy(
    encoder: Encoder, squares: np.ndarray, right: Sequence[int], labels: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> dict[str, float]:
    """Zero-shot top-1, top-5 and mean per-class recall, under CLIP_benchmark's names.

    squares: uint8 (B, S, S, 3). right: for each picture the number of its label.
    """
    right = np.asarray(right)
    scores = encoder.pixels(squares) @ label_vectors(encoder, labels, templates).T
    order = scores.argsort(axis=1)[:, ::-1]
    first = order[:, 0] == right
    per_class = [float(first[right == label].mean()) for label in np.unique(right)]
    top5 = float((order[:, :5] == right[:, None]).any(axis=1).mean())
    return {"acc1": float(first.mean()), "acc5": top5, "mean_per_class_recall": float(np.mean(per_class))}


def probabilities(space: Space, z_image: np.ndarray, z_labels: np.ndarray) -> np.ndarray:
    """softmax(scale · cosine) over the labels, or SigLIP's independent sigmoids: float32 (pictures, labels)."""
    logits = space.config.logit_scale * z_image @ z_labels.T
    if space.config.logit_bias is not None:
        return 1 / (1 + np.exp(-(logits + space.config.logit_bias)))
    logits -= logits.max(axis=1, keepdims=True)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
