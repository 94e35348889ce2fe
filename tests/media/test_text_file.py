"""Text files, web pages, mails and books are read as their text, and found by their words."""

import zipfile
from pathlib import Path

import pytest
from PIL import Image

import samespace
from samespace.core.errors import UnreadableMedia
from samespace.library.library import Library
from samespace.media.document import marks, page_at, sheets
from samespace.media.flowing import flowing
from samespace.media.text_file import MAX_BYTES, TextDocument, page_text, read_text

PAGE = """<!doctype html><html><head><title>Rossi &amp; Sons</title><style>p { color: red }</style></head>
<body><script>alert("no")</script><h1>Bakery</h1><p>Open <b>daily</b>&nbsp;from nine<br>to five</p><ul><li>bread<li>cake</ul></body></html>"""
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>The Book</dc:title>
</metadata><manifest><item id="b" href="two.xhtml"/><item id="a" href="chapter%201.xhtml"/></manifest>
<spine><itemref idref="a"/><itemref idref="b"/><itemref idref="lost"/></spine></package>"""
CONTAINER = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="O/c.opf"/></rootfiles></container>"""


def written(folder: Path, name: str, content: bytes | str) -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def book(path: Path, package: str = PACKAGE) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mimetype", "application/epub+zip")
        file.writestr("META-INF/container.xml", CONTAINER)
        file.writestr("O/c.opf", package)
        file.writestr("O/chapter 1.xhtml", "<html><body><p>It was a dark night.</p></body></html>")
        file.writestr("O/two.xhtml", "<html><body><p>The end.</p></body></html>")
    return path


def test_what_one_reads_on_a_web_page():
    assert page_text(PAGE).splitlines() == ["Rossi & Sons", "Bakery", "Open daily from nine", "to five", "bread", "cake"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Größe: 5 €".encode(), "Größe: 5 €"), ("﻿mark".encode(), "mark"), ("Größe".encode("utf-16"), "Größe"),
        (("Die Straße führt über die Brücke nach Köln, und schöne Häuser stehen dort. " * 5).encode("cp1252"), "Die Straße führt über die Brücke"),
        (("今日は天気がいいから散歩しましょう。" * 9).encode("shift_jis"), "今日は天気がいいから"),
    ],
)  # fmt: skip
def test_encodings(tmp_path, data, text):
    assert read_text(written(tmp_path, "a.txt", data)).startswith(text)


def test_mail(tmp_path):
    mail = (
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: Anna <a@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n"
        b"--X\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>See you in <b>Turin</b></p>\r\n--X\r\n"
        b"Content-Type: text/plain; name=secret.txt\r\nContent-Disposition: attachment\r\n\r\nattached\r\n--X--\r\n"
    )
    text = read_text(written(tmp_path, "a.eml", mail))
    assert text.splitlines() == ["Subject: Grüße", "From: Anna <a@example.org>", "", "See you in Turin"]


def test_book_in_reading_order(tmp_path):
    assert read_text(book(tmp_path / "a.epub")).splitlines() == ["The Book", "It was a dark night.", "The end."]


BAD = {
    "empty.txt": (b"", "no text"), "binary.txt": (b"\x00\x01\x02" * 50, "no text"), "none.epub": (b"PK\x03\x04", "no EPUB"),
    "blank.html": (b"<html><script>x</script></html>", "no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_sentence(tmp_path, name):
    data, reason = BAD[name]
    with pytest.raises(UnreadableMedia, match=reason):
        read_text(written(tmp_path, name, data))


def test_entities_that_fill_the_memory_are_refused(tmp_path):
    bomb = '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + PACKAGE.replace("The Book", "&b;")
    with pytest.raises(UnreadableMedia):
        read_text(book(tmp_path / "a.epub", bomb))


def test_a_huge_file_is_refused(tmp_path):
    with (tmp_path / "log.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UnreadableMedia, match="cut it into parts"):
        read_text(tmp_path / "log.txt")


def test_nested_pages_are_read_in_reasonable_time():
    assert page_text("<div>" * 200_000 + "deep" + "</div>" * 200_000) == "deep"


def test_sheets_are_drawn_and_their_words_marked(tmp_path):
    path = written(tmp_path, "a.md", "# Bread\n\n" + "A line about rye.\n" * 70 + "The last word is Turin.")
    assert TextDocument(path).count == 2 and [number for number, _ in sheets(path)] == [1, 2]
    drawn = page_at(path, 1, 300)
    assert isinstance(drawn, Image.Image) and drawn.size == (300, 424) and drawn.convert("L").getextrema() != (255, 255)
    ((left, top, right, bottom),) = marks(path, 2, ["turin"])
    assert 0 < left < right < 1 and 0 < top < bottom < 1
    with pytest.raises(UnreadableMedia, match="no page 3"):
        page_at(path, 3, 300)


def test_text_files_are_found_by_their_words(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    written(folder, "shop.html", PAGE)
    written(folder, "note.txt", "Remember to water the orchids every Tuesday.")
    book(folder / "night.epub")
    library = Library(tmp_path / "library", samespace.load("starter"))
    assert library.add([folder]).added == 3
    for words, name in (("water the orchids", "note.txt"), ("rossi", "shop.html"), ("dark night", "night.epub")):
        hit = library.search(words)[0]
        assert (Path(hit.path).name, hit.page) == (name, 1)


@pytest.mark.parametrize("broken", [b"\xff", "ü".encode()[:1], b"\xc3("])
def test_one_broken_byte_leaves_utf_8_what_it_is(tmp_path, broken):
    text = "Grüße aus München und Köln, schöne Häuser. " * 30
    file = written(tmp_path, "a.txt", text.encode()[:200] + broken + text.encode()[200:])
    assert "Grüße aus München" in read_text(file) and "\ufffd" in read_text(file)
    assert read_text(written(tmp_path, "b.txt", text.encode("cp1252"))).startswith("Grüße aus München")


@pytest.mark.parametrize("charset", ["unknown-8bit", "x-unknown", "cp-850", "utf-8"])
def test_mails_in_an_encoding_that_nobody_knows(tmp_path, charset):
    body = "Hello harbour café".encode("utf-8" if charset == "utf-8" else "latin-1")
    mail = (
        b'Subject: The boat\r\nContent-Type: text/plain; charset="%b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        % charset.encode()
    )
    text = read_text(written(tmp_path, "a.eml", mail + body))
    assert "The boat" in text and "Hello harbour" in text


def test_a_word_across_two_lines_of_chinese_is_whole(tmp_path):
    line = "今天我们去公园" * 11 + "今天我们去" + "咖啡馆" + "喝茶。" * 20  # the word stands where a line ends
    found = list(sheets(written(tmp_path, "a.txt", line)))
    assert any("咖啡馆" in passage for _, passages in found for passage in passages)
    assert flowing("咖啡\n馆 open\n until 九\n点") == "咖啡馆 open until 九点" and flowing("two\nlines") == "two lines"


def test_a_book_whose_chapters_have_odd_names_fills_no_memory(tmp_path, monkeypatch):
    path = book(tmp_path / "a.epub", PACKAGE.replace("two.xhtml", "two.bin"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("O/two.bin", bytes(MAX_BYTES + 1))
    with pytest.raises(UnreadableMedia, match="cut it into parts"):
        read_text(path)
