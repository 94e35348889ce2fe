"""Log-mel spectrogram → samples that sound like it: the inverse of mel.log_mel, as far as there is one."""

import numpy as np
import numpy.typing as npt

from ..core.config import AudioTower
from .mel import mel_filters

ITERATIONS = 48
"""Rounds of the Griffin-Lim algorithm."""


def griffin_lim(decibels: npt.NDArray[np.float32], c: AudioTower, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return samples whose spectrogram is near one in decibels (M, F): float32 ((F − 1) · hop,), at most 1.

    Magnitudes by least squares from the mel bands; phases by Griffin and Lim 1984, "Signal Estimation from Modified Short-Time
    Fourier Transform", §III.
    """
    power = 10.0 ** (np.asarray(decibels, np.float64) / 10)
    magnitude = np.sqrt(np.maximum(np.linalg.pinv(mel_filters(c)) @ power, 0)).T  # (F, fft / 2 + 1)
    phase = np.exp(2j * np.pi * np.random.default_rng(seed).random(magnitude.shape))
    for _ in range(ITERATIONS):
        again = _stft(_istft(magnitude * phase, c), c)
        phase = again / np.maximum(np.abs(again), 1e-12)
    samples = _istft(magnitude * phase, c)[c.fft // 2 : -(c.fft // 2)]
    return (samples / max(1.0, float(np.abs(samples).max(initial=0)))).astype(np.float32)


def _window(c: AudioTower) -> npt.NDArray[np.float64]:
    """Return the periodic Hann window of log_mel: float64 (fft,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(c.fft) / c.fft)


def _stft(samples: npt.NDArray[np.float64], c: AudioTower) -> npt.NDArray[np.complex128]:
    """Return the spectrum of each frame: complex128 (F, fft / 2 + 1)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, c.fft)[:: c.hop]
    return np.asarray(np.fft.rfft(frames * _window(c), axis=1))


def _istft(spectrum: npt.NDArray[np.complex128], c: AudioTower) -> npt.NDArray[np.float64]:
    """Return the samples whose frames are nearest to a spectrum's: float64 ((F − 1) · hop + fft,)."""
    window = _window(c)
    frames = np.fft.irfft(spectrum, c.fft, axis=1) * window
    samples, weight = np.zeros((len(frames) - 1) * c.hop + c.fft), np.zeros((len(frames) - 1) * c.hop + c.fft)
    for i, frame in enumerate(frames):
        part = slice(i * c.hop, i * c.hop + c.fft)
        samples[part] += frame
        weight[part] += window**2
    return samples / np.maximum(weight, 1e-8)
