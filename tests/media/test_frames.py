"""What image files show besides their first picture."""

import io

import numpy as np
import pytest
from media_files import scene, write_video
from PIL import Image

from samespace.core.errors import UnreadableMedia
from samespace.media import frames, ocr

RED, GREEN, BLUE = (160, 20, 20), (20, 150, 30), (20, 30, 160)


def saved(pictures: list[Image.Image], kind: str, **options) -> bytes:
    """Return pictures as one file."""
    out = io.BytesIO()
    several = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
    pictures[0].save(out, kind, **several, **options)
    return out.getvalue()


def colour(picture: Image.Image) -> str:
    return ("red", "green", "blue")[int(np.asarray(picture.convert("RGB")).mean((0, 1)).argmax())]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_is_cut_into_what_it_shows(kind):
    data = saved([scene(c) for c in (RED, RED, GREEN, BLUE)], kind, duration=[100, 100, 300, 1000])
    shots = frames.animation(data, 100)
    assert [(round(s.start, 2), round(s.end, 2)) for s in shots] == [(0.0, 0.2), (0.2, 0.5), (0.5, 1.5)]
    assert [colour(shot.frames[0].picture) for shot in shots] == ["red", "green", "blue"]
    assert [colour(frames.frame_at(data, time, 100)) for time in (0.1, 0.3, 1.0, 99.0)] == ["red", "green", "blue", "blue"]


def test_a_picture_that_only_moves_a_little_is_no_animation():
    assert frames.animation(saved([scene(RED)] * 3, "GIF", duration=100), 100) == []
    assert frames.animation(saved([scene(RED)], "PNG"), 100) == []


def test_an_animation_without_durations_and_of_many_frames_is_bounded():
    turns = [scene((RED, GREEN)[i % 2], (32, 32)) for i in range(2 * frames.MOST_FRAMES)]
    shots = frames.animation(saved(turns, "GIF", duration=0), 16)
    assert len(shots) == frames.MOST_SHOTS and shots[0].end == pytest.approx(0.1)


def test_the_pages_of_a_tiff_are_read_and_smaller_copies_are_not(monkeypatch):
    monkeypatch.setattr(ocr, "reader", lambda: None)
    data = saved([scene(RED), scene(GREEN), scene(BLUE)], "TIFF")
    assert [page.number for page in frames.pages(data)] == [1, 2, 3]
    assert [colour(frames.page_at(data, number, 64)) for number in (1, 2, 3)] == ["red", "green", "blue"]
    assert frames.page_numbers(saved([scene(RED)], "TIFF")) == [] == frames.page_numbers(saved([scene(RED)], "PNG"))
    small, out = scene(RED, (32, 18)), io.BytesIO()
    small.encoderinfo = {"tiffinfo": {frames.NEW_SUBFILE_TYPE: frames.REDUCED}}
    scene(RED).save(out, "TIFF", save_all=True, append_images=[small])
    assert frames.page_numbers(out.getvalue()) == []


def test_the_film_of_a_motion_photo(tmp_path):
    video = write_video(tmp_path / "f.mp4", [(scene(GREEN), 3), (scene(BLUE), 3)]).read_bytes()
    still = saved([scene(RED)], "JPEG")
    for between in (b"", b"MotionPhoto_Data"):  # Google's, Samsung's
        data = still + between + video
        assert frames.motion_video(data) == video
        assert [colour(shot.frames[0].picture) for shot in frames.motion_shots(data, 90)] == ["green", "blue"]
        assert colour(frames.frame_at(data, 4.5, 90)) == "blue"
    assert frames.motion_video(still) == b"" == frames.motion_video(video) and list(frames.motion_shots(still, 90)) == []


def test_the_parts_of_a_panorama_overlap_and_reach_both_ends():
    wide = Image.new("RGB", (400, 100), "white")
    wide.paste("red", (0, 0, 20, 100))
    wide.paste("blue", (380, 0, 400, 100))
    parts = frames.parts(wide)
    assert len(parts) == 5 and {part.size for part in parts} == {(100, 100)}
    assert parts[0].getpixel((0, 50)) == (255, 0, 0) and parts[-1].getpixel((99, 50)) == (0, 0, 255)
    assert [part.size for part in frames.parts(wide.rotate(90, expand=True))] == [(100, 100)] * 5
    assert (
        frames.parts(Image.new("RGB", (239, 100))) == [] and len(frames.parts(Image.new("L", (20000, 10)))) == frames.MOST_PARTS
    )


def test_broken_ones_have_a_reason():
    with pytest.raises(UnreadableMedia, match="broken or cut short"):
        frames.page_at(saved([scene(RED)], "TIFF"), 7, 64)
    with pytest.raises(UnreadableMedia, match="broken or cut short"):
        frames.animation(b"GIF89a" + bytes(20), 64)
