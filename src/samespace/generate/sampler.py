"""Noise → a picture, step by step, by a model that predicts the clean picture. NumPy only."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.float32]
"""float32 (B, 4, S, S): red, green and blue multiplied by opacity, and opacity, each from −1 to 1."""
Predict = Callable[[Pictures, float], Pictures]
"""Noisy pictures and their time, 0 for noise to 1 for a picture → the clean pictures."""


def sample(predict: Predict, noise: Pictures, steps: int) -> Iterator[Pictures]:
    """Yield the predicted clean pictures of each step; the last are the result.

    The second-order multistep solver of Lu et al. 2022, "DPM-Solver++", algorithm 2, for the path (1 − t) ε + t x.
    """
    x, before, last_h = noise, noise, math.inf
    for t, s in pairwise(np.linspace(0, 1, steps + 1).tolist()):
        clean = predict(x, t)
        h = log_snr(s) - log_snr(t)
        weight = h / last_h / 2 if math.isfinite(h) else 0.0
        ahead = clean + weight * (clean - before)
        x = ((1 - s) * x + (s - t) * ahead) / (1 - t)
        before, last_h = clean, h
        yield clean


def log_snr(t: float) -> float:
    """Return log(t / (1 − t)), half the logarithm of the signal-to-noise ratio; infinite at both ends."""
    if t in (0, 1):
        return math.inf if t else -math.inf
    return math.log(t / (1 - t))


def to_rgba(pictures: Pictures) -> npt.NDArray[np.uint8]:
    """Return pictures as uint8 (B, S, S, 4), colours no longer multiplied by opacity."""
    opacity = ((pictures[:, 3:] + 1) / 2).clip(0, 1)
    colours = (pictures[:, :3] / opacity.clip(1e-3) + 1) / 2
    values = np.concatenate([colours.clip(0, 1), opacity], axis=1)
    return np.ascontiguousarray((values * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1))


def from_rgba(pictures: npt.NDArray[np.uint8]) -> Pictures:
    """Return uint8 (B, S, S, 4) as `to_rgba` takes them."""
    values = pictures.transpose(0, 3, 1, 2).astype(np.float32) / 255
    opacity = values[:, 3:]
    return np.concatenate([(2 * values[:, :3] - 1) * opacity, 2 * opacity - 1], axis=1)


def on_white(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return uint8 (B, S, S, 4) on a white ground: uint8 (B, S, S, 3)."""
    opacity = pictures[..., 3:].astype(np.float32) / 255
    return (pictures[..., :3] * opacity + 255 * (1 - opacity) + 0.5).astype(np.uint8)
