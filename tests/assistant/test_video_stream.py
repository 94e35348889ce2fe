"""A whole video as one stream: which frames are shown, what is said of them, and what is remembered."""

import numpy as np
import pytest
from media_files import scene, tone, write_audio, write_video

import samespace
from samespace.assistant import read_files, video_stream
from samespace.assistant.excerpts import excerpt
from samespace.assistant.request import Outcome, Picture, Reply
from samespace.assistant.video_stream import ShownFrame, pack
from samespace.cli.ask import ask_files
from samespace.core.errors import UnreadableMedia

SHOTS = [(10.0 * i, 10.0 * i + 10) for i in range(12)]


class Recorder:
    """An assistant with room for a number of tokens, of which a frame takes 50; it answers what it is told to."""

    name = "recorder"
    takes_sound = False

    def __init__(self, room: int, text: str = "At 0:05."):
        self.room, self.text, self.requests = room, text, []

    def picture_tokens(self, picture):
        return 50

    def answer(self, request):
        self.requests.append(request)
        return Reply(iter([self.text]), Outcome(prompt=100, pictures=50, context=self.room))


@pytest.fixture
def clip(tmp_path):
    """Three shots of 6 seconds, of different colours, with a tone."""
    colours = [(200, 0, 0), (0, 160, 0), (0, 0, 220)]
    return write_video(tmp_path / "a clip.mp4", [(scene(colour), 6.0) for colour in colours], audio=tone(18.0))


def test_where_all_shots_fit_the_rest_of_the_room_looks_where_the_question_does():
    fit = np.zeros(12)
    fit[7] = 1.0
    frames = pack(SHOTS, fit, 16)
    counts = np.bincount([frame.shot for frame in frames], minlength=12)
    assert len(frames) == 16 and counts.min() == 1 and counts[7] == 5
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)
    assert [m.time for m in frames if m.shot == 7] == [71, 73, 75, 77, 79]


def test_where_too_many_shots_there_are_half_are_spread_and_half_fit_best():
    fit = np.array([9.0, 8, 7, 6, 0, 0, 1, 0, 0, 0, 0, 0])
    frames = pack(SHOTS, fit, 6)
    assert [frame.shot for frame in frames] == [0, 1, 2, 3, 6, 8]  # 0, 6 (the best of 4–7) and 8 are spread
    assert frames[0] == ShownFrame(5.0, 0)


@pytest.mark.parametrize("room", [1, 2, 5, 11, 12, 13, 500])
def test_no_more_frames_than_there_is_room_for_and_none_twice(room):
    frames = pack(SHOTS, np.random.default_rng(0).random(12), room)
    assert min(room, 12) <= len(frames) <= room
    assert len({frame.time for frame in frames}) == len(frames)
    shortest = min(b.time - a.time for a, b in zip(frames, frames[1:])) if room > 1 else 1.0
    assert shortest >= video_stream.CLOSEST_SECONDS


def test_frames_sounds_and_words_are_in_the_order_of_the_video(clip):
    clip.with_suffix(".srt").write_text("1\n00:00:07,000 --> 00:00:08,000\nThe grass is green.\n")
    shown = excerpt(clip, "What is green?", samespace.load("starter"), Recorder(1000))
    texts = [part for part in shown.parts if isinstance(part, str)]
    times = [text[1 : text.index("]")] for text in texts]
    assert times == sorted(times) and "[0:07] “The grass is green.”" in texts
    assert any("a sound like" in text for text in texts)
    assert len(shown.frames) == 750 // 62 == sum(isinstance(part, Picture) for part in shown.parts)
    greens = [part.decode(64).getpixel((2, 2)) for part in shown.parts if isinstance(part, Picture)]
    assert [int(np.argmax(pixel)) for pixel in greens] == [frame.shot for frame in shown.frames]


def test_what_was_seen_and_what_was_not_is_said(clip):
    shown = excerpt(clip, "green", samespace.load("starter"), Recorder(1000), frames=1)
    seen, unseen, fitting, cost = shown.summary()
    assert seen == "1 of 3 shots seen" and unseen.endswith("0:12 of 0:18")
    assert fitting == "the question fits best: 0:00–0:18"
    assert cost.startswith("1 frames of 50 tokens are 50;") and cost.endswith("4,644")
    assert shown.cited("at [0:05] or 0:09; not at 9") == [time for time in shown.locators if time in ("0:05", "0:09")]


def test_no_room_for_a_frame_is_a_sentence(clip):
    with pytest.raises(
        UnreadableMedia,
        match=r"a frame takes 50 tokens, and there is room for 40; ask about fewer files, or read more: --context N",
    ):
        excerpt(clip, "green", samespace.load("starter"), Recorder(40))


def test_a_video_is_read_once(clip, monkeypatch):
    space = samespace.load("starter")
    first = excerpt(clip, "What is green?", space, Recorder(1000))
    monkeypatch.setattr(read_files, "segments_of", None)  # it would be called
    assert excerpt(clip, "What is green?", space, Recorder(1000)) == first
    clip.with_suffix(".srt").write_text("1\n00:00:07,000 --> 00:00:08,000\nThe grass is green.\n")
    with pytest.raises(TypeError):
        excerpt(clip, "What is green?", space, Recorder(1000))


def test_a_broken_memory_is_read_anew_and_old_ones_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(read_files, "MOST_FILES", 2)
    space = samespace.load("starter")
    for name in ("a.wav", "b.wav", "c.wav"):
        found = read_files.read_segments(write_audio(tmp_path / name, tone(2.0)), "audio", space)
    kept = list(read_files._folder().iterdir())
    assert len(kept) == 2
    for file in kept:
        file.write_bytes(b"PK\3\4 torn")
    again = read_files.read_segments(tmp_path / "c.wav", "audio", space)
    assert [segment.start for segment in again] == [segment.start for segment in found]


def test_the_command_says_what_was_seen_and_cites_the_times(clip):
    recorder = Recorder(1000, "It is green at [0:07].")
    answer = ask_files([str(clip)], "When is it green?", recorder, {}, quiet=True)
    (source,) = answer.sources
    assert source["cited"] == [time for time in source["locators"] if time == "0:07"] == ["0:07"]
    assert "Name the times" in recorder.requests[0].messages[0].parts[-1]
    few = ask_files([str(clip)], "When is it green?", recorder, {}, quiet=True, frames=2)
    assert "2 of 3 shots seen" in few.source_lines[0] and str(clip) in few.source_lines[0]
    assert sum(isinstance(part, Picture) for part in recorder.requests[1].messages[0].parts) == 2
