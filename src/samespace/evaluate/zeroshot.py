"""Zero-shot classification: an image gets the label whose vector is nearest."""

from collections.abc import Sequence

import numpy as np

from ..core.errors import QueryError
from ..spaces.space import Space
from .retrieval import Encoder

TEMPLATES = ("{}", "a photo of a {}", "a picture of a {}", "a drawing of a {}", "a close-up photo of a {}")
"""Sentences that a label is put into, at {}."""


def label_vectors(encoder: Encoder, labels: Sequence[str], templates: Sequence[str] = TEMPLATES) -> np.ndarray:
    """Return one vector per label, the mean over its sentences: float32 (K, E), unit length.

    After Radford et al. 2021, §3.1.4 (prompt ensembling). Raises QueryError where a label is empty or a template has no {}.
    """
    if not labels or not all(label.strip() for label in labels):
        raise QueryError("give at least one label, separated by commas: --labels cat,dog")
    if bad := [t for t in templates if "{}" not in t]:
        raise QueryError(f"template {bad[0]!r} has no {{}} where the label goes; write one such as: a photo of a {{}}")
    z = encoder.text([t.replace("{}", label) for label in labels for t in templates])
    mean = z.reshape(len(labels), len(templates), -1).mean(axis=1)
    unit: np.ndarray = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit


def accuracy(
    encoder: Encoder, z_images: np.ndarray, targets: Sequence[int], labels: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> dict[str, float]:
    """Return zero-shot top-1 and top-5 accuracy and mean per-class recall, under CLIP_benchmark's names.

    z_images: float32 (B, E), unit length, the encoder's own. targets: the index of each image's label. Raises QueryError, as `label_vectors`.
    """
    y = np.asarray(targets)
    scores = z_images @ label_vectors(encoder, labels, templates).T  # (B, K)
    right = scores[np.arange(len(y)), y][:, None]
    above = (~(scores < right)).sum(axis=1) - 1  # a label that ties with the right one, or is no number, is above it
    correct = above == 0
    per_class = [float(correct[y == label].mean()) for label in np.unique(y)]
    top5 = float((above < 5).mean())
    return {"acc1": float(correct.mean()), "acc5": top5, "mean_per_class_recall": float(np.mean(per_class))}


def probabilities(space: Space, z_image: np.ndarray, z_labels: np.ndarray) -> np.ndarray:
    """Return softmax(scale · cosine) over the labels, or SigLIP's independent sigmoids: float32 (B, K).

    z_image: float32 (B, E), z_labels: float32 (K, E), unit length. Raises UnknownSpace where the space has no probabilities.
    """
    p: np.ndarray
    logits = space.logit_scale * z_image @ z_labels.T
    if space.config.logit_bias is not None:
        p = 1 / (1 + np.exp(-(logits + space.config.logit_bias)))
        return p
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return p
