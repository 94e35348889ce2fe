"""Subtitles beside a video and in it are found as what is said."""

import shutil
import subprocess
from pathlib import Path

import pytest
from media_files import scene, write_video

import samespace
from samespace.library.library import Library
from samespace.media.subtitles import subtitles

SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>The bakery</i>\nopens at nine\n\n2\n00:00:05,000 --> 00:00:07,000\nGoodbye, Rossi\n"
LINES = [(1.0, 2.5, "The bakery opens at nine"), (5.0, 7.0, "Goodbye, Rossi")]
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg to write subtitles into videos; install it")


def lines(path: Path) -> list[tuple[float, float, str]]:
    return [(line.start, line.end, line.text) for line in subtitles(path)]


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_video(
        tmp_path_factory.mktemp("subtitles") / "film.mp4", [(scene((200, 30, 30)), 4.0), (scene((30, 200, 30)), 4.0)]
    )


@pytest.fixture
def film(tmp_path, video) -> Path:
    return Path(shutil.copy(video, tmp_path))


def test_beside_a_video(film):
    assert lines(film) == []
    (film.parent / "film.en.srt").write_text(SRT)
    assert lines(film) == LINES
    (film.parent / "film.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nShorter name\n")
    assert lines(film) == [(1.0, 2.0, "Shorter name")]


@pytest.mark.parametrize("text", ["", "no subtitles", "1\n00:00:05,000 --> 00:00:01,000\nbackwards\n", "\0" * 100])
def test_broken_files_are_as_good_as_none(film, text):
    (film.parent / "film.srt").write_text(text)
    assert lines(film) == []


def test_latin_letters_of_old_files(film):
    (film.parent / "film.srt").write_bytes("1\n00:00:01,000 --> 00:00:02,000\nSchöne Grüße aus der Bäckerei\n".encode("cp1252"))
    assert lines(film) == [(1.0, 2.0, "Schöne Grüße aus der Bäckerei")]


@needs_ffmpeg
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mov_text"), ("a.mkv", "srt"), ("b.mkv", "ass"), ("c.mkv", "webvtt")])
def test_in_a_video(film, name, codec):
    (film.parent / "text.srt").write_text(SRT)
    inputs = ["-i", film, "-i", film.parent / "text.srt", "-c:v", "copy", "-c:s", codec]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, film.parent / name], check=True)
    assert lines(film.parent / name) == LINES


def test_a_moment_is_found_by_what_is_said(film, tmp_path):
    (film.parent / "film.srt").write_text(SRT)
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([film])
    hit = library.search("rossi")[0]
    assert (hit.start, hit.end, hit.text) == (5.0, 7.0, "Goodbye, Rossi")


def test_frames_are_counted_at_the_videos_rate(film):
    (film.parent / "film.sub").write_text("{10}{25}Hello harbour\n{50}{70}Goodbye\n")
    assert lines(film) == [(1.0, 2.5, "Hello harbour"), (5.0, 7.0, "Goodbye")]


def test_the_subtitles_of_another_video_are_its_own(film, video):
    shutil.copy(video, film.with_name("film.part2.mp4"))
    (film.parent / "film.part2.srt").write_text(SRT)
    assert lines(film) == [] and lines(film.with_name("film.part2.mp4")) == LINES


def test_subtitles_of_an_episode_are_no_films(film, video):
    shutil.copy(video, film.with_name("film.S01E02.mp4"))
    (film.parent / "film.S01E02.en.srt").write_text(SRT)
    assert lines(film) == [] and lines(film.with_name("film.S01E02.mp4")) == LINES
    (film.parent / "film.en.srt").write_text(SRT)
    assert lines(film) == LINES


def test_characters_written_as_html(film):
    (film.parent / "film.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nAT&amp;T &lt;shop&gt;\n")
    assert lines(film) == [(1.0, 2.0, "AT&T <shop>")]
