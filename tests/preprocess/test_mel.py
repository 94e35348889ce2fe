"""Log-mel spectrograms against librosa's."""

import numpy as np
import pytest

from samespace.core.config import AudioTower
from samespace.preprocess.mel import fit_frames, log_mel, mel_filters, repeat_pad, spectrogram, trim_silence

C = AudioTower()
CLAP = AudioTower(frames=1001, rate=48_000, fft=1024, hop=480, low=50.0, high=14_000.0, pad="reflect", repeat=True)


@pytest.mark.parametrize("c", [C, CLAP], ids=["ours", "CLAP's"])
@pytest.mark.parametrize("length", [0, 1100, 16_000, 37_777])
def test_it_equals_librosa(length, c):
    librosa = pytest.importorskip("librosa")
    x = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    if not length:
        assert log_mel(x, c).shape == (c.mels, 1)
        return
    power = librosa.feature.melspectrogram(
        y=x, sr=c.rate, n_fft=c.fft, hop_length=c.hop, n_mels=c.mels, fmin=c.low, fmax=c.high, pad_mode=c.pad
    )
    np.testing.assert_allclose(log_mel(x, c), librosa.power_to_db(power, top_db=None), atol=1e-4)


def test_filters_have_unit_area():
    width = C.rate / C.fft
    inner = mel_filters(C)[20:-1]
    np.testing.assert_allclose(inner.sum(axis=1) * width, 1, atol=0.12)


def test_fit_frames_pads_with_silence_and_cuts():
    mels = np.zeros((C.mels, 10), np.float32)
    assert fit_frames(mels, 4).shape == (C.mels, 4)
    assert (fit_frames(mels, 12)[:, 10:] == -100).all() and (fit_frames(mels, 12)[:, :10] == 0).all()


def test_silence_around_a_word_is_trimmed():
    word = np.sin(np.arange(4000, dtype=np.float32))
    late = np.concatenate([np.zeros(9000, np.float32), word, np.zeros(500, np.float32)])
    assert len(trim_silence(late)) == pytest.approx(4000, abs=5) and len(trim_silence(np.zeros(100))) == 0
    np.testing.assert_array_equal(spectrogram(late, C), spectrogram(word, C))
    assert spectrogram(late, C).shape == (C.mels, C.frames)


@pytest.mark.parametrize("length", [7, 480_000, 479_999, 600_000, 100_001, 0])
def test_short_audio_is_repeated_as_clap_does(length):
    x = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    whole = repeat_pad(x, 480_000)
    assert whole.shape == (480_000,) and spectrogram(x, CLAP).shape == (64, 1001)
    if 0 < length <= 480_000:
        count = 480_000 // length
        np.testing.assert_array_equal(whole[: count * length], np.tile(x, count))
        assert not whole[count * length :].any()
