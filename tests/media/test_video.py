"""Videos cut into shots, and single frames of them."""

import itertools

import numpy as np
import pytest
from media_files import FPS, scene, tone, write_video
from PIL import Image

from samespace.core.errors import UnreadableMedia
from samespace.media import audio, hdr, video

COLOURS = [(200, 20, 20), (20, 160, 40), (30, 60, 200), (210, 200, 30)]
SECONDS = (7.3, 5.1, 9.4, 6.2)
CUTS = [0.0, *itertools.accumulate(SECONDS)]
ENCODERS = {
    "scene cuts.mp4": dict(codec="libx264"), "regular key frames.mkv": dict(codec="libx264", sc_threshold=0, g=60),
    "one key frame.mkv": dict(codec="libx264", sc_threshold=0, g=9999), "short.avi": dict(codec="mpeg4", g=12),
    "all keys.mov": dict(codec="mjpeg"), "open.webm": dict(codec="libvpx", g=9999),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODERS)
def test_shots_begin_at_the_cuts(tmp_path, name):
    file = write_video(tmp_path / name, [(scene(c), s) for c, s in zip(COLOURS, SECONDS)], **ENCODERS[name])
    shots = list(video.shots(file, 224))
    assert [s.start for s in shots] == pytest.approx(CUTS[:-1], abs=1.0)
    assert [s.end for s in shots] == pytest.approx(CUTS[1:], abs=1.0)
    for shot, colour in zip(shots, COLOURS):
        assert min(shot.frames[0].picture.size) <= 224
        np.testing.assert_allclose(np.asarray(shot.frames[0].picture)[5, 5], colour, atol=25)


def test_long_shots_are_split_and_keep_few_frames(tmp_path):
    shots = list(video.shots(write_video(tmp_path / "unchanging.mp4", [(scene(COLOURS[0]), 75.0)], g=20), 64))
    assert shots[0].start == 0 and shots[-1].end == pytest.approx(75, abs=0.2)
    assert all(s.end - s.start <= video.MAX_SHOT_SECONDS + 3 for s in shots)
    assert all(len(s.frames) <= video.MAX_SHOT_SECONDS / video.STEP_SECONDS + 1 for s in shots)
    assert all(a.end == b.start for a, b in zip(shots, shots[1:]))


def test_the_frame_at_any_time(tmp_path):
    file = write_video(tmp_path / "f.mp4", [(scene(c), s) for c, s in zip(COLOURS, SECONDS)], g=9999)
    for time, colour in ((0.0, 0), (3.0, 0), (8.0, 1), (20.0, 2), (99.0, 3)):
        assert np.allclose(np.asarray(video.frame_at(file, time, 64))[3, 3], COLOURS[colour], atol=25), time


def test_a_video_of_one_frame_and_one_that_is_cut_short(tmp_path):
    (shot,) = video.shots(write_video(tmp_path / "one.mp4", [(scene(COLOURS[0]), 1 / FPS)]), 64)
    assert shot.start == 0 and shot.end <= 0.5 and len(shot.frames) == 1
    whole = write_video(tmp_path / "whole.mkv", [(scene(c), s) for c, s in zip(COLOURS, SECONDS)], g=10)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    shots = list(video.shots(tmp_path / "cut.mkv", 64))
    assert 1 <= len(shots) < 4 and shots[-1].end < CUTS[-1]


def test_unreadable_files_have_a_reason(tmp_path):
    (tmp_path / "empty.mp4").touch()
    for file, reason in ((tmp_path / "empty.mp4", "play it to check"), (tmp_path / "absent.mkv", "check the path")):
        with pytest.raises(UnreadableMedia, match=reason):
            list(video.shots(file, 64))


def test_a_video_stream_of_an_unknown_codec_has_a_reason_and_leaves_the_audio(tmp_path):
    file = write_video(tmp_path / "odd.mp4", [(scene(COLOURS[0]), 2.0)], audio=tone(2.0))
    file.write_bytes(file.read_bytes().replace(b"avc1", b"zzq1"))
    with pytest.raises(UnreadableMedia, match="cannot decode"):
        next(video.shots(file, 64))
    assert len(list(audio.windows(file))) == 1


def test_audio_in_a_video_does_not_change_its_shots(tmp_path):
    file = write_video(tmp_path / "sound.mp4", [(scene(COLOURS[0]), 3.0), (scene(COLOURS[2]), 3.0)], audio=tone(6.0))
    assert [s.start for s in video.shots(file, 64)] == pytest.approx([0, 3], abs=1.0)


def test_hdr_colours_are_as_the_standards_have_them():
    """A grey as bright as paper is 58 % of PQ and 75 % of HLG (ITU-R BT.2408, table 1); half as bright is 188 in sRGB."""
    for transfer, white, half in ((hdr.PQ, 148, 130), (hdr.HLG, 191, 161)):
        values = hdr.to_srgb(np.full((1, 1, 3), 0, np.uint8) + np.array([[[white]], [[half]], [[0]]], np.uint8), transfer)
        paper, grey, black = values[:, 0, 0].tolist()
        assert 235 <= paper <= 255 and grey == pytest.approx(188, abs=4) and black == 0
    saturated = hdr.to_srgb(np.array([[[148, 0, 0], [255, 255, 255]]], np.uint8), hdr.PQ)[0]
    assert saturated[0, 0] > 200 and saturated[0, 1] == 0 and saturated[1].tolist() == [255, 255, 255]


def test_frames_of_an_hdr_video_are_tone_mapped(tmp_path):
    grey = Image.new("RGB", (64, 48), (130, 130, 130))
    plain = video.frame_at(write_video(tmp_path / "sdr.mp4", [(grey, 1)]), 0.5, 48)
    marked = video.frame_at(write_video(tmp_path / "pq.mp4", [(grey, 1)], **{"x264-params": "transfer=smpte2084"}), 0.5, 48)
    assert np.asarray(plain).mean() == pytest.approx(130, abs=3) and np.asarray(marked).mean() == pytest.approx(188, abs=6)


def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(tmp_path):
    path = write_video(tmp_path / "pal.mp4", [(scene((200, 40, 40), (180, 144)), 2)], **{"x264-params": "sar=64/45"})
    (shot,) = video.shots(path, 144)
    assert shot.frames[0].size == (256, 144) and shot.frames[0].picture.size == (256, 144)
    assert video.frame_at(path, 1.0, 72).size == (128, 72)
