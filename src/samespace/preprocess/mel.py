"""Audio → log-mel spectrogram, the input of an audio tower. Equal to librosa's.

Davis & Mermelstein 1980; mel scale and filters of Slaney's Auditory Toolbox (1998), as in librosa.filters.mel.
"""

from functools import cache
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from ..core.config import AudioTower

MIN_POWER = 1e-10
"""Least power: −100 dB, which stands for silence."""
TRIM_LEVEL = 0.02
"""Samples below this share of the loudest are trimmed from both ends."""


def spectrogram(samples: np.ndarray, c: AudioTower) -> npt.NDArray[np.float32]:
    """Return samples (N,), at the tower's rate and at most as long as its input, as decibels: float32 (M, c.frames)."""
    prepared = repeat_pad(samples, (c.frames - 1) * c.hop) if c.repeat else trim_silence(samples)
    return fit_frames(log_mel(prepared, c), c.frames)


def log_mel(samples: np.ndarray, c: AudioTower) -> npt.NDArray[np.float32]:
    """Return samples (N,) at the tower's rate as decibels: float32 (M, 1 + N // hop)."""
    mode = cast(Literal["constant", "reflect"], c.pad if len(samples) else "constant")
    padded = np.pad(np.asarray(samples, np.float32), c.fft // 2, mode=mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, c.fft)[:: c.hop]  # (F, fft)
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(c.fft) / c.fft)).astype(np.float32)  # periodic
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2  # (F, fft / 2 + 1)
    decibels: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(mel_filters(c) @ power.T, MIN_POWER))  # (M, F)
    return decibels.astype(np.float32)


@cache
def mel_filters(c: AudioTower) -> npt.NDArray[np.float64]:
    """Return triangular filters over the Fourier bins, evenly spaced in mel, of unit area: float64 (M, fft / 2 + 1)."""
    bins = np.fft.rfftfreq(c.fft, 1 / c.rate)
    edges = mel_to_hz(np.linspace(hz_to_mel(c.low), hz_to_mel(c.high), c.mels + 2))
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters: npt.NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def hz_to_mel(frequency: float) -> float:
    """Return hertz as mel: linear up to 1 kHz, logarithmic above."""
    return frequency * 3 / 200 if frequency < 1000 else float(15 + 27 * np.log(frequency / 1000) / np.log(6.4))


def mel_to_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return mel as hertz, of the same shape."""
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))


def trim_silence(samples: np.ndarray) -> np.ndarray:
    """Return samples (N,) without the silence before and after; towers trained on single words expect words to start at 0."""
    level = np.abs(samples)
    loud = np.flatnonzero(level > TRIM_LEVEL * level.max(initial=0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def repeat_pad(samples: np.ndarray, length: int) -> np.ndarray:
    """Repeat samples as often as they fit into `length`, then pad with zeros; cut longer ones: (N,) → (length,).

    CLAP's "repeatpad".
    """
    repeated = np.tile(samples[:length], max(1, length // max(1, len(samples))))
    return np.pad(repeated, (0, length - len(repeated)))


def fit_frames(mels: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    """Cut a spectrogram, or pad it with silence, to so many frames: float32 (M, F) → (M, frames)."""
    missing = max(0, frames - mels.shape[1])
    return np.pad(mels[:, :frames], ((0, 0), (0, missing)), constant_values=10 * np.log10(MIN_POWER))
