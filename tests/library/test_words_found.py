"""Names, captions, places and what is written in pictures: searched, filtered, and read again when they change."""

import json
import os
import shutil
from pathlib import Path

import lancedb
import numpy as np
import pytest
from media_files import write_document
from PIL import Image, ImageDraw, ImageFont

from samespace.core.errors import LibraryError
from samespace.library.library import Library
from samespace.library.store.filter import Filter
from samespace.library.store.lance import TABLE, Store
from samespace.library.store.metadata import SpaceRecord
from samespace.library.store.records import Segment, SegmentWrite
from samespace.media import ocr


@pytest.fixture
def folder(tmp_path, photographs) -> Path:
    """A holiday: a captioned picture with a place, a sign, two others."""
    root = tmp_path / "photos"
    (root / "Iceland 2019").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x010E] = "Uncle Ferdinand with his trombone"
    exif[0x010F], exif[0x0110] = "FUJIFILM", "X100V"
    exif.get_ifd(0x8769)[0x9003] = "2019:07:04 12:30:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (41.0, 53.0, 24.0), 3: "E", 4: (12.0, 29.0, 32.0)})
    Image.open(photographs / "coffee.png").convert("RGB").save(root / "Iceland 2019" / "DSC_0001.jpg", exif=exif)
    shutil.copy(photographs / "rocket.jpg", root / "IMG-20161224-WA0014.jpg")
    shutil.copy(photographs / "chelsea.png", root / "chelsea.png")
    sign = Image.new("RGB", (900, 500), (40, 90, 60))
    ImageDraw.Draw(sign).text((120, 180), "BAKERY ROSSI", "white", ImageFont.load_default(90))
    sign.save(root / "sign.png")
    return root


@pytest.fixture
def library(tmp_path, tiny_space, folder) -> Library:
    opened = Library(tmp_path / "library", tiny_space)
    opened.add([folder])
    return opened


def first(library: Library, query: str) -> str:
    return Path(library.search(query, top=3)[0].path).name


WORDS = {
    "DSC_0001": "DSC_0001.jpg", "dsc_0001.jpg": "DSC_0001.jpg", "iceland 2019": "DSC_0001.jpg", "trombone": "DSC_0001.jpg", "Rome": "DSC_0001.jpg",
    "x100v": "DSC_0001.jpg", "wa0014": "IMG-20161224-WA0014.jpg", "chels": "chelsea.png",
}  # fmt: skip


@pytest.mark.parametrize("way", ["copy", "database"])
def test_files_are_found_by_their_words(library, monkeypatch, way):
    if way == "database":
        monkeypatch.setattr(Store, "exact_index", lambda self, fingerprint: None)
    assert {query: first(library, query) for query in WORDS} == WORDS


@pytest.mark.parametrize("way", ["copy", "database"])
def test_a_file_of_many_parts_leaves_room_for_others(tmp_path, tiny_space, monkeypatch, way):
    """Each shot carries the name of its film."""
    if way == "database":
        monkeypatch.setattr(Store, "exact_index", lambda self, fingerprint: None)
    store, z = Store(tmp_path / "library"), np.eye(tiny_space.dim, dtype=np.float32)[0]
    shots = [Segment("/p/holiday.mp4", "video", float(i), i + 1.0) for i in range(60)]
    pictures = [Segment(f"/p/holiday {i}.jpg", "image") for i in range(5)]
    with store.writing():
        store.add_space(tiny_space.fingerprint, SpaceRecord("tiny", tiny_space.dim))
        store.upsert(SegmentWrite(segment, {tiny_space.fingerprint: z}) for segment in [*shots, *pictures])
        store.finish(tiny_space.fingerprint)
    hits = store.search_words("holiday", z, 6, tiny_space.fingerprint, Filter())
    assert {hit.segment.path for hit in hits} == {segment.path for segment in [*shots, *pictures]}
    assert len(store.search_words("holiday", z, 20, tiny_space.fingerprint, Filter(), "place")) == 20


CONDITIONS = {
    "place:rome": ["DSC_0001.jpg"],
    "place:italy camera:x100": ["DSC_0001.jpg"],
    "near:41.89,12.49,2km": ["DSC_0001.jpg"],
    "year:2016..2019": ["DSC_0001.jpg", "IMG-20161224-WA0014.jpg"],
    "has:caption OR name:sign": ["sign.png", "DSC_0001.jpg"],
    "-has:place -name:sign -date:2016-12": ["chelsea.png"],
}


@pytest.mark.parametrize("way", ["copy", "database"])
def test_conditions_in_a_query_alone_list_newest_first(library, monkeypatch, way):
    if way == "database":
        monkeypatch.setattr(Store, "exact_index", lambda self, fingerprint: None)
    for query, want in CONDITIONS.items():
        assert [Path(hit.path).name for hit in library.search(query)] == want, query


def test_conditions_among_words_filter(library):
    assert [Path(hit.path).name for hit in library.search("a cat year:2016 -kind:video")] == ["IMG-20161224-WA0014.jpg"]
    assert len(library.search("10:30 committee")) == 4
    assert library.search("", filter=Filter(kinds=("video",))) == []


def test_an_xmp_file_written_later_is_read_without_embedding_again(library, folder):
    (folder / "chelsea.png.xmp").write_text(
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description "
        "xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='5'><dc:subject><rdf:Bag>"
        "<rdf:li>tabby</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>",
        "utf-8",
    )
    report = library.add([folder])
    assert (report.added, report.same) == (0, 4)
    assert first(library, "tabby") == "chelsea.png"
    assert [Path(hit.path).name for hit in library.search("tag:tabby rating:>=4")] == ["chelsea.png"]
    assert library.search("tag:tabb") == []
    (folder / "chelsea.png.xmp").write_text("<broken", "utf-8")
    assert [Path(path).name for path, _ in library.add([folder]).skipped] == ["chelsea.png.xmp"]


def test_a_moved_file_is_found_by_its_new_name(library, folder):
    (folder / "Iceland 2019" / "DSC_0001.jpg").rename(folder / "trumpeter.jpg")
    assert library.add([folder]).moved == 1
    assert first(library, "trumpeter") == first(library, "trombone") == "trumpeter.jpg"
    assert "DSC_0001.jpg" not in [Path(hit.path).name for hit in library.search("iceland")]


def test_a_library_of_an_older_version_gains_words_with_the_next_index(library, folder, tiny_space):
    table = lancedb.connect(library.location.folder).open_table(TABLE)
    table.drop_columns(["written", "caption", "keywords", "people", "camera", "rating", "place", "described", "words"])
    metadata = json.loads((library.location.folder / "library.json").read_text())
    (library.location.folder / "library.json").write_text(json.dumps(metadata | {"has_text": False}))
    old = Library(library.location.folder, tiny_space)
    assert len(old.search("a cat")) == 4  # it can be searched as it is
    with pytest.raises(LibraryError, match="index"):
        old.search("place:rome")
    report = old.add([folder])
    assert (report.added, report.same) == (0, 4)
    assert {query: first(old, query) for query in WORDS} == WORDS


needs_ocr = pytest.mark.skipif(ocr.reader() is None, reason="RapidOCR is not installed")


@needs_ocr
def test_text_in_pictures_is_read_once_and_found_by_parts_of_words(library, folder, monkeypatch):
    counts: list[tuple[int, int]] = []
    assert library.read_pictures(lambda done, total: counts.append((done, total))) == 4
    assert counts[-1] == (4, 4)
    for query in ("bakery rossi", "ross", "akery"):
        assert first(library, query) == "sign.png"
    assert [Path(hit.path).name for hit in library.search("has:text")] == ["sign.png"]
    assert [Path(hit.path).name for hit in library.search('text:"bakery ross"')] == ["sign.png"]
    assert library.search("text:0") == [] == library.search("text:rossini")  # numbers of boxes are no text
    (hit,) = library.search("has:text")
    (line,) = ocr.from_text(library.segment(hit.id).written)
    assert line.text == "BAKERY ROSSI" and 0.1 < line.left < 0.2 and 0.3 < line.top < line.bottom < 0.7
    monkeypatch.setattr(ocr, "lines", None)  # nothing is read again, nor lost when the folder is indexed again
    assert library.read_pictures() == 0
    os.utime(folder / "sign.png")
    library.add([folder])
    assert library.read_pictures() == 0 and first(library, "rossi") == "sign.png"


@needs_ocr
def test_reading_that_is_stopped_goes_on(library):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.read_pictures(stop)
    assert library.read_pictures() == 2 and first(library, "rossi") == "sign.png"


@needs_ocr
def test_text_is_not_stored_with_another_picture(library, folder, monkeypatch):
    def changed_meanwhile(done: int, total: int) -> None:
        if done == 1:
            for file in folder.rglob("*.*"):
                Image.new("RGB", (300, 200), "white").save(file)
            library.add([folder])

    monkeypatch.setattr("samespace.library.indexing.reading.ocr.shows_text", lambda picture: True)
    monkeypatch.setattr("samespace.library.indexing.reading.ocr.lines", lambda picture: [ocr.Line("OLD", 0.1, 0.1, 0.2, 0.2)])
    library.read_pictures(changed_meanwhile)
    assert library.search("text:old") == []


def test_a_file_that_cannot_be_read_now_keeps_what_is_known_of_it(library, folder, monkeypatch):
    (folder / "chelsea.png.xmp").write_text(
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description "
        "xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='5'/></rdf:RDF></x:xmpmeta>",
        "utf-8",
    )
    before = {hit.path: (hit.taken_at, hit.caption) for hit in library.search("kind:image", top=9)}

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("samespace.library.indexing.describe.describe", fails)
        assert ["cannot be read now" in reason for _, reason in library.add([folder]).skipped] == [True]
    assert {hit.path: (hit.taken_at, hit.caption) for hit in library.search("kind:image", top=9)} == before
    assert library.add([folder]).skipped == [] and first(library, "rating:5") == "chelsea.png"


def test_without_a_word_means_without_it_on_any_page(tmp_path, tiny_space):
    folder = tmp_path / "papers"
    folder.mkdir()
    write_document(folder / "bill.pdf", ["An invoice for two cups", "Thank you"])
    write_document(folder / "letter.pdf", ["Dear Ada", "Yours, Grace"])
    library = Library(tmp_path / "papers library", tiny_space)
    library.add([folder])
    names = {
        query: {Path(hit.path).name for hit in library.search(query, top=50)}
        for query in ("text:invoice", "-text:invoice", "NOT (text:invoice OR text:ada)")
    }
    assert names == {"text:invoice": {"bill.pdf"}, "-text:invoice": {"letter.pdf"}, "NOT (text:invoice OR text:ada)": set()}


def test_a_file_that_is_indexed_by_itself_stays_in_its_folder(library, folder, photographs):
    shutil.copy(photographs / "rocket.jpg", folder / "Iceland 2019" / "again.jpg")
    library.add([folder / "Iceland 2019" / "again.jpg"])
    (hit,) = library.search("name:again")
    assert library.segment(hit.id).root == str(folder)
