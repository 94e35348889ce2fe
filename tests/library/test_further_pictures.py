"""Panoramas, animations, faxes and motion photos are found by all that they show."""

import io
from pathlib import Path

import pytest
from media_files import write_video
from PIL import Image, ImageDraw, ImageFont

import samespace
from samespace.library.library import Library
from samespace.media import ocr
from samespace.media.thumbnails import thumbnail


@pytest.fixture(scope="module")
def cat(photographs) -> Image.Image:
    with Image.open(photographs / "chelsea.png") as picture:
        return picture.convert("RGB").resize((300, 200))


def fax(words: list[str]) -> list[Image.Image]:
    """Return pages of black and white dots with a line of words on each."""
    font, pages = ImageFont.load_default(40), []
    for text in words:
        page = Image.new("L", (1000, 600), 225)
        ImageDraw.Draw(page).text((60, 100), text, 0, font)
        pages.append(page.convert("1"))
    return pages


@pytest.fixture(scope="module")
def library(tmp_path_factory, cat, photographs) -> tuple[Library, Path]:
    folder = tmp_path_factory.mktemp("further")
    for name in ("coffee", "rocket", "motorcycle_left"):
        with Image.open(next(photographs.glob(f"{name}.*"))) as picture:
            picture.convert("RGB").save(folder / f"{name}.jpg")
    wide = Image.new("RGB", (1800, 200), (200, 220, 240))
    wide.paste(cat, (1500, 0))
    wide.save(folder / "wide.png")
    black = Image.new("RGB", cat.size)
    black.save(folder / "fade.gif", save_all=True, append_images=[cat], duration=[200, 1600])
    write_video(folder / "film.mp4", [(cat, 3)])
    still = io.BytesIO()
    Image.new("RGB", (300, 200), (90, 140, 200)).save(still, "JPEG")
    (folder / "motion.jpg").write_bytes(still.getvalue() + (folder / "film.mp4").read_bytes())
    (folder / "film.mp4").unlink()
    first, second = fax(["Minutes of the garden club", "The walnut harvest contract"])
    first.save(folder / "fax.tif", save_all=True, append_images=[second], compression="group4")
    made = Library(folder.parent / "library", samespace.load("starter"))
    assert made.add([folder]).skipped == []
    return made, folder


def test_a_cat_is_found_in_all_of_them(library):
    made, _ = library
    hits = made.search("a cat", 10, group_by="file")
    assert {Path(hit.path).name for hit in hits[:3]} == {"wide.png", "fade.gif", "motion.jpg"}
    assert all(hit.relevance > 0.5 for hit in hits[:3]) and all(hit.relevance < 0.3 for hit in hits[3:])
    fade = next(hit for hit in hits if hit.path.endswith("fade.gif"))
    assert (round(fade.start, 1), round(fade.end, 1)) == (0.2, 1.8)
    assert thumbnail(fade, 100).convert("L").getextrema()[1] > 150


@pytest.mark.skipif(not ocr.reader(), reason="needs the extra ocr")
def test_words_on_the_second_page_of_a_fax_are_found_there(library):
    made, _ = library
    hit = made.search("walnut harvest contract", 1)[0]
    assert (Path(hit.path).name, hit.page) == ("fax.tif", 2)
    assert thumbnail(hit, 300).convert("L").getextrema()[0] < 60


def test_lists_show_each_file_once_and_its_first_picture(library):
    made, folder = library
    listed = made.search("", 20, where="kind:image", group_by="file")
    assert sorted(Path(hit.path).name for hit in listed) == sorted(path.name for path in folder.iterdir())
    assert all((hit.start, hit.page, hit.ordinal) == (None, None, 0) for hit in listed)


def test_what_a_changed_file_no_longer_shows_is_no_longer_found(tmp_path, cat):
    file = tmp_path / "pictures" / "a.gif"
    file.parent.mkdir()
    Image.new("RGB", cat.size).save(file, save_all=True, append_images=[cat], duration=500)
    made = Library(tmp_path / "library", samespace.load("starter"))
    made.add([file.parent])
    assert made.search("a cat", 1)[0].relevance > 0.5
    Image.new("RGB", cat.size, "navy").save(file)
    made.add([file.parent])
    assert made.search("a cat", 1)[0].relevance < 0.3 and len(made.search("a cat", 9, group_by="place")) == 1
