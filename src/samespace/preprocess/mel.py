"""Sound → log-mel spectrogram, the picture of sound that an audio tower reads. As librosa's, without librosa.

Davis & Mermelstein 1980; mel scale and filters of Slaney's Auditory Toolbox (1998), as librosa.filters.mel.
"""

from functools import cache

import numpy as np

from ..core.config import AudioTower

FLOOR = 1e-10
"""Power that counts as silence: −100 dB."""
LOUD = 0.02
"""Of the loudest sample: what is less, before and after everything else, is left out."""


def spectrogram(samples: np.ndarray, c: AudioTower) -> np.ndarray:
    """Samples (N,) at the tower's rate, at most as long as it hears → decibels: float32 (M, frames)."""
    ready = repeated(samples, (c.frames - 1) * c.hop) if c.repeat else trimmed(samples)
    return fitted(log_mel(ready, c), c.frames)


def log_mel(samples: np.ndarray, c: AudioTower) -> np.ndarray:
    """float32 (N,) at the tower's rate → decibels: float32 (M, 1 + N // hop)."""
    padded = np.pad(np.asarray(samples, np.float32), c.fft // 2, mode=c.pad if len(samples) else "constant")
    frames = np.lib.stride_tricks.sliding_window_view(padded, c.fft)[:: c.hop]  # (F, fft)
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(c.fft) / c.fft)).astype(np.float32)  # periodic
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2  # (F, fft / 2 + 1)
    return (10 * np.log10(np.maximum(filters(c) @ power.T, FLOOR))).astype(np.float32)


@cache
def filters(c: AudioTower) -> np.ndarray:
    """Triangles over the Fourier bins, evenly spaced in mel, each of unit area: float64 (M, fft / 2 + 1)."""
    edges = hertz(np.linspace(mel(c.low), mel(c.high), c.mels + 2))
    rising = (np.fft.rfftfreq(c.fft, 1 / c.rate) - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - np.fft.rfftfreq(c.fft, 1 / c.rate)) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def mel(f: float) -> float:
    """Hertz → mel: linear up to 1 kHz, logarithmic above."""
    return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)


def hertz(m: np.ndarray) -> np.ndarray:
    """Mel → hertz."""
    return np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Samples from the first that is loud to the last: a tower that was trained on words hears them from their beginning."""
    level = np.abs(samples)
    loud = np.flatnonzero(level > LOUD * level.max(initial=0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def repeated(samples: np.ndarray, length: int) -> np.ndarray:
    """As often as they fit whole into `length`, then silence; what is longer is cut. CLAP's "repeatpad"."""
    whole = np.tile(samples[:length], max(1, length // max(1, len(samples))))
    return np.pad(whole, (0, length - len(whole)))


def fitted(mels: np.ndarray, frames: int) -> np.ndarray:
    """Cut, or padded with silence, to so many frames: (M, F) → (M, frames)."""
    short = max(0, frames - mels.shape[1])
    return np.pad(mels[:, :frames], ((0, 0), (0, short)), constant_values=10 * np.log10(FLOOR))
