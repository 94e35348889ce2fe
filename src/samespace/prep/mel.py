"""Sound → log-mel spectrogram, the picture of sound that an audio tower reads. As librosa's, without librosa.

Davis & Mermelstein 1980; mel scale and filters of Slaney's Auditory Toolbox (1998), as librosa.filters.mel.
"""

from functools import cache

import numpy as np

RATE, FFT, HOP, MELS = 16_000, 400, 160, 64
"""Samples a second; samples of a Fourier transform, 25 ms; samples from one frame to the next, 10 ms; mel bands."""
FLOOR = 1e-10
"""Power that counts as silence: −100 dB."""
LOUD = 0.02
"""Of the loudest sample: what is less, before and after everything else, is left out."""


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Samples (N,) from the first that is loud to the last; a tower that was trained on words hears them from their beginning."""
    level = np.abs(samples)
    loud = np.flatnonzero(level > LOUD * level.max(initial=0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def log_mel(samples: np.ndarray) -> np.ndarray:
    """float32 (N,) at 16 kHz → decibels: float32 (MELS, 1 + N // HOP)."""
    padded = np.pad(np.asarray(samples, np.float32), FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]  # (F, FFT)
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)  # periodic
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2  # (F, FFT / 2 + 1)
    return (10 * np.log10(np.maximum(filters() @ power.T, FLOOR))).astype(np.float32)


@cache
def filters() -> np.ndarray:
    """Triangles over the Fourier bins, evenly spaced in mel, each of unit area: float64 (MELS, FFT / 2 + 1)."""
    edges = hertz(np.linspace(0.0, mel(RATE / 2), MELS + 2))
    rising = (np.fft.rfftfreq(FFT, 1 / RATE) - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - np.fft.rfftfreq(FFT, 1 / RATE)) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def mel(f: float) -> float:
    """Hertz → mel: linear up to 1 kHz, logarithmic above."""
    return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)


def hertz(m: np.ndarray) -> np.ndarray:
    """Mel → hertz."""
    return np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))


def fitted(mels: np.ndarray, frames: int) -> np.ndarray:
    """Cut, or padded with silence, to so many frames: (MELS, F) → (MELS, frames)."""
    short = max(0, frames - mels.shape[1])
    return np.pad(mels[:, :frames], ((0, 0), (0, short)), constant_values=10 * np.log10(FLOOR))
