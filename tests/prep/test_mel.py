"""Log-mel spectrograms as librosa's."""

import numpy as np
import pytest

from samespace.prep.mel import FFT, HOP, MELS, RATE, filters, fitted, log_mel


@pytest.mark.parametrize("length", [0, 500, 16_000, 37_777])
def test_it_equals_librosa(length):
    librosa = pytest.importorskip("librosa")
    x = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    if not length:
        assert log_mel(x).shape == (MELS, 1)
        return
    power = librosa.feature.melspectrogram(y=x, sr=RATE, n_fft=FFT, hop_length=HOP, n_mels=MELS)
    np.testing.assert_allclose(log_mel(x), librosa.power_to_db(power, top_db=None), atol=1e-4)


def test_filters_have_unit_area():
    width = RATE / FFT
    inner = filters()[20:-1]
    np.testing.assert_allclose(inner.sum(axis=1) * width, 1, atol=0.12)


def test_fitted_pads_with_silence_and_cuts():
    mels = np.zeros((MELS, 10), np.float32)
    assert fitted(mels, 4).shape == (MELS, 4)
    assert (fitted(mels, 12)[:, 10:] == -100).all() and (fitted(mels, 12)[:, :10] == 0).all()
