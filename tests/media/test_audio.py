"""Sound in windows, whatever it is stored as."""

import wave

import av
import numpy as np
import pytest
from media_files import film, recording, scene, tone, write_samples

from samespace.core.errors import UnreadableMedia
from samespace.media import audio

ENDINGS = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame", "m4a": "aac"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_sound(tmp_path, ending):
    file = recording(tmp_path / f"a tone 🎵.{ending}", tone(3.0), ENDINGS[ending])
    (window,) = audio.windows(file)
    assert window.start == 0 and window.end == pytest.approx(3.0, abs=0.12)
    spectrum = np.abs(np.fft.rfft(window.samples))
    assert np.fft.rfftfreq(len(window.samples), 1 / audio.RATE)[spectrum.argmax()] == pytest.approx(440, abs=2)


def test_other_rates_are_resampled(tmp_path):
    file = recording(tmp_path / "high.opus", tone(2.0, rate=48_000), "libopus", 48_000)
    (window,) = audio.windows(file)
    assert len(window.samples) == pytest.approx(2 * audio.RATE, rel=0.05)


def test_windows_overlap_and_cover_everything(tmp_path):
    samples = np.concatenate([tone(6.0), np.zeros(6 * audio.RATE, np.float32)])
    windows = list(audio.windows(recording(tmp_path / "long.wav", samples)))
    assert [w.start for w in windows] == [0, 2, 4, 6, 8] and windows[-1].end == pytest.approx(12.0)
    assert all(a.end > b.start for a, b in zip(windows, windows[1:]))
    whole = np.concatenate([windows[0].samples, *(w.samples[2 * audio.RATE :] for w in windows[1:])])
    np.testing.assert_allclose(whole, samples, atol=1e-4)
    assert [w.silent for w in windows] == [False, False, False, True, True]


def test_bad_files_are_told_in_one_sentence(tmp_path):
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 20)
    for name in ("empty.mp3", "noise.wav", "absent.ogg"):
        with pytest.raises(UnreadableMedia, match="; "):
            list(audio.windows(tmp_path / name))
    with pytest.raises(UnreadableMedia, match="no sound"):
        list(audio.windows(film(tmp_path / "mute.mp4", [(scene((200, 0, 0)), 1.0)])))


def test_many_channels_are_mixed_or_told(tmp_path):
    for channels in (3, 6, 9, 20):
        with wave.open(str(tmp_path / "many.wav"), "wb") as out:
            out.setnchannels(channels), out.setsampwidth(2), out.setframerate(16_000)
            out.writeframes((np.repeat(tone(2.0)[:, None], channels, axis=1) * 30_000).astype("<i2").tobytes())
        if channels < 9:
            assert not next(audio.windows(tmp_path / "many.wav")).silent
        else:  # FFmpeg knows no such arrangement of speakers
            with pytest.raises(UnreadableMedia, match="save it in stereo"):
                next(audio.windows(tmp_path / "many.wav"))


def test_a_broken_tail_keeps_what_came_before(tmp_path):
    file = recording(tmp_path / "cut.mp3", tone(8.0), "libmp3lame")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert list(audio.windows(file))[-1].end == pytest.approx(4.0, abs=0.5)


def test_a_waveform_is_as_high_as_it_is_loud(tmp_path):
    samples = np.concatenate([tone(1.0), 0.2 * tone(1.0)])
    picture = np.asarray(audio.waveform(recording(tmp_path / "two.wav", samples))).astype(int)
    lit = (picture[:, :, 0] > 128).sum(axis=0)
    left, right = lit[: picture.shape[1] // 2].max(), lit[picture.shape[1] // 2 + 12 :].max()
    assert left > 3 * right > 0


def test_no_window_reaches_across_a_cut(tmp_path):
    file = recording(tmp_path / "cut.wav", tone(11.0))
    clips = list(audio.windows(file, cuts=[0.0, 1.5, 5.5, 10.0]))
    assert [(c.start, c.end) for c in clips] == [(0, 1.5), (1.5, 5.5), (5.5, 9.5), (7.5, 10), (10, 11)]
    assert all(len(c.samples) == round((c.end - c.start) * audio.RATE) for c in clips)


def test_sound_that_begins_late_and_pauses_is_told_where_it_is_played(tmp_path):
    """Times are those of a player: not the number of samples that came before."""
    file = tmp_path / "late.mkv"
    with av.open(str(file), "w") as out:
        picture, sound = out.add_stream("libx264", rate=10), out.add_stream("pcm_s16le", rate=audio.RATE, layout="mono")
        picture.width, picture.height, picture.pix_fmt = 320, 180, "yuv420p"
        out.mux([p for _ in range(120) for p in picture.encode(av.VideoFrame.from_image(scene((200, 0, 0))))])
        out.mux(picture.encode(None))
        for start in (3.0, 8.0):
            write_samples(out, sound, tone(1.0), begin=int(start * audio.RATE), last=start == 8.0)
    samples = np.concatenate(list(audio.blocks(file)))
    loud = np.flatnonzero(np.abs(samples) > 0.2) / audio.RATE
    assert loud.min() == pytest.approx(3.0, abs=0.05) and loud.max() == pytest.approx(9.0, abs=0.05)
    assert not ((loud > 4.1) & (loud < 7.9)).any()
    after = np.concatenate(list(audio.blocks(file, start=7.0)))
    assert np.flatnonzero(np.abs(after) > 0.2)[0] / audio.RATE == pytest.approx(1.0, abs=0.1)


def test_joined_files_are_heard_to_the_end(tmp_path):
    """The second has another rate and another number of channels."""
    first = recording(tmp_path / "one.mp3", tone(2.0), "libmp3lame")
    second = recording(tmp_path / "two.mp3", tone(3.0, rate=44_100), "libmp3lame", 44_100)
    (tmp_path / "joined.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    assert sum(len(block) for block in audio.blocks(tmp_path / "joined.mp3")) / audio.RATE == pytest.approx(5.0, abs=0.3)


def test_a_spoilt_stretch_in_the_middle_loses_itself_only(tmp_path):
    file = recording(tmp_path / "spoilt.flac", tone(12.0), "flac")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    file.write_bytes(data)
    assert list(audio.windows(file))[-1].end == pytest.approx(12.0, abs=0.2)
