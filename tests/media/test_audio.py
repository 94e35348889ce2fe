"""Windows of audio, in every format, from whole and from broken files."""

import wave

import av
import numpy as np
import pytest
from media_files import scene, tone, write_audio, write_samples, write_video

from samespace.core.errors import UnreadableMedia
from samespace.media import audio

ENDINGS = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame", "m4a": "aac"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_samples(tmp_path, ending):
    file = write_audio(tmp_path / f"a tone 🎵.{ending}", tone(3.0), ENDINGS[ending])
    (window,) = audio.windows(file)
    assert window.start == 0 and window.end == pytest.approx(3.0, abs=0.12)
    spectrum = np.abs(np.fft.rfft(window.samples))
    assert np.fft.rfftfreq(len(window.samples), 1 / audio.RATE)[spectrum.argmax()] == pytest.approx(440, abs=2)


def test_other_sampling_rates_are_resampled(tmp_path):
    file = write_audio(tmp_path / "high.opus", tone(2.0, rate=48_000), "libopus", 48_000)
    (window,) = audio.windows(file)
    assert len(window.samples) == pytest.approx(2 * audio.RATE, rel=0.05)


def test_windows_overlap_and_cover_everything(tmp_path):
    samples = np.concatenate([tone(6.0), np.zeros(6 * audio.RATE, np.float32)])
    windows = list(audio.windows(write_audio(tmp_path / "long.wav", samples)))
    assert [w.start for w in windows] == [0, 2, 4, 6, 8] and windows[-1].end == pytest.approx(12.0)
    assert all(a.end > b.start for a, b in zip(windows, windows[1:]))
    joined = np.concatenate([windows[0].samples, *(w.samples[2 * audio.RATE :] for w in windows[1:])])
    np.testing.assert_allclose(joined, samples, atol=1e-4)
    assert [w.silent for w in windows] == [False, False, False, True, True]


def test_unreadable_files_have_a_reason(tmp_path):
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 20)
    for name in ("empty.mp3", "noise.wav", "absent.ogg"):
        with pytest.raises(UnreadableMedia, match="; "):
            list(audio.windows(tmp_path / name))
    with pytest.raises(UnreadableMedia, match="no sound"):
        list(audio.windows(write_video(tmp_path / "mute.mp4", [(scene((200, 0, 0)), 1.0)])))


def test_many_channels_are_mixed_or_have_a_reason(tmp_path):
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
    file = write_audio(tmp_path / "cut.mp3", tone(8.0), "libmp3lame")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert list(audio.windows(file))[-1].end == pytest.approx(4.0, abs=0.5)


def test_waveform_bars_are_as_high_as_the_audio_is_loud(tmp_path):
    samples = np.concatenate([tone(1.0), 0.2 * tone(1.0)])
    picture = np.asarray(audio.waveform(write_audio(tmp_path / "two.wav", samples))).astype(int)
    bright = (picture[:, :, 0] > 128).sum(axis=0)
    left, right = bright[: picture.shape[1] // 2].max(), bright[picture.shape[1] // 2 + 12 :].max()
    assert left > 3 * right > 0


def test_no_window_reaches_across_a_cut(tmp_path):
    file = write_audio(tmp_path / "cut.wav", tone(11.0))
    clips = list(audio.windows(file, cuts=[0.0, 1.5, 5.5, 10.0]))
    assert [(c.start, c.end) for c in clips] == [(0, 1.5), (1.5, 5.5), (5.5, 9.5), (7.5, 10), (10, 11)]
    assert all(len(c.samples) == round((c.end - c.start) * audio.RATE) for c in clips)


def test_audio_that_begins_late_and_pauses_keeps_its_times(tmp_path):
    """Times are those of a media player, not the number of samples before."""
    file = tmp_path / "late.mkv"
    with av.open(str(file), "w") as out:
        video_stream = out.add_stream("libx264", rate=10)
        audio_stream = out.add_stream("pcm_s16le", rate=audio.RATE, layout="mono")
        video_stream.width, video_stream.height, video_stream.pix_fmt = 320, 180, "yuv420p"
        out.mux([p for _ in range(120) for p in video_stream.encode(av.VideoFrame.from_image(scene((200, 0, 0))))])
        out.mux(video_stream.encode(None))
        for start in (3.0, 8.0):
            write_samples(out, audio_stream, tone(1.0), begin=int(start * audio.RATE), last=start == 8.0)
    samples = np.concatenate(list(audio.blocks(file)))
    loud = np.flatnonzero(np.abs(samples) > 0.2) / audio.RATE
    assert loud.min() == pytest.approx(3.0, abs=0.05) and loud.max() == pytest.approx(9.0, abs=0.05)
    assert not ((loud > 4.1) & (loud < 7.9)).any()
    after = np.concatenate(list(audio.blocks(file, start=7.0)))
    assert np.flatnonzero(np.abs(after) > 0.2)[0] / audio.RATE == pytest.approx(1.0, abs=0.1)


def test_joined_files_are_read_to_the_end(tmp_path):
    """The second part has another sampling rate."""
    first = write_audio(tmp_path / "one.mp3", tone(2.0), "libmp3lame")
    second = write_audio(tmp_path / "two.mp3", tone(3.0, rate=44_100), "libmp3lame", 44_100)
    (tmp_path / "joined.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    assert sum(len(block) for block in audio.blocks(tmp_path / "joined.mp3")) / audio.RATE == pytest.approx(5.0, abs=0.3)


def test_damage_in_the_middle_loses_no_more_than_the_damaged_part(tmp_path):
    file = write_audio(tmp_path / "damaged.flac", tone(12.0), "flac")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    file.write_bytes(data)
    assert list(audio.windows(file))[-1].end == pytest.approx(12.0, abs=0.2)


@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_channels_that_cancel_out_are_heard(tmp_path, turned):
    left = tone(3.0)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, audio.RATE, 0, "NONE", "not compressed"))
        file.writeframes((np.stack([left, turned * left], axis=1) * 32767).astype("<i2").tobytes())
    (window,) = audio.windows(tmp_path / "a.wav")
    assert not window.silent and np.abs(window.samples).max() == pytest.approx(0.3 if turned < 0 else 0.3 * 2**0.5, abs=0.01)


def test_channels_are_mixed_by_ffmpegs_weights():
    channels = np.array([[0.2, 0.4], [0.4, 0.0]], np.float32)
    assert audio.mixed(channels).tolist() == pytest.approx([0.6 * 0.5**0.5, 0.4 * 0.5**0.5])
    assert audio.mixed(channels[:1]).tolist() == pytest.approx([0.2, 0.4]) and audio.mixed(
        np.zeros((2, 3), np.float32)
    ).tolist() == [0, 0, 0]


@pytest.mark.parametrize("speaking", [0, 1, 2])
def test_of_several_tracks_the_first_with_sound_is_heard(tmp_path, speaking):
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        streams = [out.add_stream("aac", rate=audio.RATE, layout="mono") for _ in range(3)]
        for i, stream in enumerate(streams):
            write_samples(out, stream, tone(3.0) if i == speaking else np.zeros(3 * audio.RATE, np.float32))
    assert any(not window.silent for window in audio.windows(tmp_path / "a.mkv"))
