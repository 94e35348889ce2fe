"""Documents as pages: their images, their text, and where words are on them."""

import re
import shutil
import stat
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from media_files import write_document as make

from samespace.core.errors import UnreadableMedia
from samespace.media import document


@pytest.fixture
def without_ocr(monkeypatch):
    """For pages without words, on which OCR would spend seconds to find none."""
    monkeypatch.setattr(document.ocr, "reader", lambda: None)


def test_pages_have_pictures_and_text(tmp_path):
    first, second = document.pages(
        make(tmp_path / "a b.pdf", ["The first page tells of bread.", "Invoice 2931\nTotal: 480"]), 200
    )
    assert (first.number, second.number) == (1, 2) and min(first.picture.size) == 200
    assert first.text == "The first page tells of bread." and second.text == "Invoice 2931 Total: 480"
    assert np.asarray(first.picture).min() < 128 and document.page_at(tmp_path / "a b.pdf", 2, 64).mode == "RGB"


def test_a_word_hyphenated_at_the_end_of_a_line_is_joined(tmp_path):
    (page,) = document.pages(make(tmp_path / "hyphenated.pdf", ["It is an inter-\nnational agreement"]), 64)
    assert page.text == "It is an international agreement"


def test_passages_are_cut_between_words():
    text = " ".join(f"Sentence number {i} is here." for i in range(100))
    cut = document.passages(text)
    assert " ".join(cut) == text and all(len(p) <= document.PASSAGE_CHARACTERS for p in cut) and all(p.endswith(".") for p in cut)
    assert [len(p) for p in document.passages("x" * 1500)] == [600, 600, 300] and document.passages("  ") == []


def test_locked_broken_and_empty_files_have_a_reason(tmp_path):
    make(tmp_path / "locked.pdf", ["secret"], encrypt="password")
    (tmp_path / "cut.pdf").write_bytes(make(tmp_path / "whole.pdf", ["text"] * 5).read_bytes()[:300])
    (tmp_path / "empty.pdf").touch()
    for name, reason in (("locked.pdf", "password"), ("cut.pdf", "open it to check"), ("empty.pdf", "open it to check")):
        with pytest.raises(UnreadableMedia, match=reason):
            list(document.pages(tmp_path / name, 64))
    with pytest.raises(UnreadableMedia, match="no page 9"):
        document.page_at(tmp_path / "whole.pdf", 9, 64)


def test_an_enormous_page_is_rendered_small(tmp_path, without_ocr):
    file = make(tmp_path / "wide.pdf", ["wall"], pagesize=(14_400, 20))
    (page,) = document.pages(file, 100)
    assert max(page.picture.size) <= 401


def test_a_page_that_unpacks_to_megabytes_is_rendered(tmp_path, without_ocr):
    body = zlib.compress(b"0 0 m 1 1 l S\n" * 200_000, 9)  # 3 MB of strokes in 6 kB
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(body), body),
    ]  # fmt: skip
    (page,) = document.pages(write_pdf(tmp_path / "bomb.pdf", objects), 64)
    assert page.picture.size == (64, 64)


def write_pdf(file: Path, objects: list[bytes]) -> Path:
    """Write a PDF of these objects, numbered from 1."""
    numbered = b"".join(b"%d 0 obj\n%s\nendobj\n" % (i, o) for i, o in enumerate(objects, 1))
    file.write_bytes(b"%PDF-1.4\n" + numbered + b"trailer\n<< /Root 1 0 R /Size %d >>\n" % (len(objects) + 1))
    return file


def endless(file: Path) -> Path:
    """Write three pages, of which the second draws ten forms, each of which draws ten, ten levels deep: 2 kB, days of work."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] %s >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R 4 0 R 5 0 R] /Count 3 >>",
        page % b"", page % b"/Contents 6 0 R /Resources << /XObject << /F 7 0 R >> >>", page % b"",
        b"<< /Length 5 >>\nstream\n/F Do\nendstream",
    ]  # fmt: skip
    for level in range(10):
        inner = b"/Resources << /XObject << /F %d 0 R >> >>" % (8 + level) if level < 9 else b""
        body = b"/F Do " * 10 if level < 9 else b"0 0 m 1 1 l S"
        form = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] %s /Length %d >>\nstream\n%s\nendstream"
        objects.append(form % (inner, len(body), body))
    return write_pdf(file, objects)


def test_a_page_that_takes_forever_fails_alone(tmp_path, monkeypatch, without_ocr):
    monkeypatch.setattr(document, "PAGE_TIMEOUT_SECONDS", 2)
    file = endless(tmp_path / "endless.pdf")
    assert [page.number for page in document.pages(file, 64)] == [1, 2, 3]
    with pytest.raises(UnreadableMedia, match="page 2 is too much"):
        document.page_at(file, 2, 64)
    assert document.page_at(file, 3, 64).size == (64, 64)


def test_a_false_page_count_is_not_believed(tmp_path, without_ocr):
    catalogue, page = b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
    claimed = b"<< /Type /Pages /Kids [3 0 R] /Count 1000000 >>"
    pages = list(document.pages(write_pdf(tmp_path / "a.pdf", [catalogue, claimed, page]), 64))
    assert len(pages) == 1 + document.MAX_BROKEN_PAGES
    with pytest.raises(UnreadableMedia, match="page 20 is broken"):
        list(document.pages(write_pdf(tmp_path / "b.pdf", [catalogue, claimed, b"oops"]), 64))


def test_office_files_go_through_libreoffice(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "letter.odt").write_bytes(b"PK")
    with pytest.raises(UnreadableMedia, match="install it, or save the file as PDF"):
        list(document.pages(tmp_path / "letter.odt", 64))
    made = make(tmp_path / "made.pdf", ["Dear reader, this was a letter."])
    office = tmp_path / "soffice"  # stands for LibreOffice: converts by copying
    office.write_text(f"#!{sys.executable}\nimport shutil, sys\nshutil.copy({str(made)!r}, sys.argv[-2] + '/letter.pdf')\n")
    office.chmod(office.stat().st_mode | stat.S_IEXEC)
    (page,) = document.pages(tmp_path / "letter.odt", 64)
    assert page.text == "Dear reader, this was a letter."
    office.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('once is enough')\n")
    assert document.page_at(tmp_path / "letter.odt", 1, 64).width == 64  # it was converted before
    (tmp_path / "letter.odt").write_bytes(b"PK, another letter")
    with pytest.raises(UnreadableMedia, match="LibreOffice cannot read it"):
        document.page_at(tmp_path / "letter.odt", 1, 64)


@pytest.mark.skipif(not shutil.which("soffice"), reason="needs LibreOffice")
def test_libreoffice_itself_reads_a_letter(tmp_path):
    (tmp_path / "a letter ✉.rtf").write_text(r"{\rtf1 Dear plumber, the invoice is 4711 euro.\page And thank you very much.}")
    assert [page.text for page in document.pages(tmp_path / "a letter ✉.rtf", 64)] == [
        "Dear plumber, the invoice is 4711 euro.",
        "And thank you very much.",
    ]
    (tmp_path / "broken.docx").write_bytes(b"PK\3\4 no office file")
    with pytest.raises(UnreadableMedia, match="LibreOffice cannot read it"):
        list(document.pages(tmp_path / "broken.docx", 64))


def test_what_libreoffice_wrote_before_it_failed_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "letter.odt").write_bytes(b"PK")
    made, office = make(tmp_path / "made.pdf", ["half a letter"]), tmp_path / "soffice"
    office.write_text(f"#!{sys.executable}\nimport shutil, sys\nshutil.copy({str(made)!r}, sys.argv[-2])\nsys.exit(1)\n")
    office.chmod(office.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(document.shutil, "which", lambda name: str(office))
    with pytest.raises(UnreadableMedia, match="LibreOffice cannot read it"):
        list(document.pages(tmp_path / "letter.odt", 64))


def test_a_libreoffice_that_hangs_is_killed_with_all_that_it_started(tmp_path, monkeypatch):
    """`soffice` is a script that starts the program proper."""
    (tmp_path / "letter.odt").write_bytes(b"PK")
    office = tmp_path / "soffice"
    office.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/worker\nwait\n")
    office.chmod(office.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(document.shutil, "which", lambda name: str(office))
    monkeypatch.setattr(document, "OFFICE_TIMEOUT_SECONDS", 3)
    with pytest.raises(UnreadableMedia, match="LibreOffice cannot read it"):
        list(document.pages(tmp_path / "letter.odt", 64))
    worker = Path(f"/proc/{(tmp_path / 'worker').read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while worker.exists() and worker.read_text().split()[2] != "Z":  # a zombie has been killed
        assert time.monotonic() < deadline, "what LibreOffice started is still running"
        time.sleep(0.05)


def test_without_process_groups_libreoffice_itself_is_killed(tmp_path, monkeypatch):
    """As on Windows."""
    monkeypatch.delattr(document.os, "killpg")
    (tmp_path / "letter.odt").write_bytes(b"PK")
    office = tmp_path / "soffice"
    office.write_text("#!/bin/sh\nexec sleep 60\n")
    office.chmod(office.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(document.shutil, "which", lambda name: str(office))
    monkeypatch.setattr(document, "OFFICE_TIMEOUT_SECONDS", 1)
    begin = time.monotonic()
    with pytest.raises(UnreadableMedia, match="LibreOffice cannot read it"):
        list(document.pages(tmp_path / "letter.odt", 64))
    assert time.monotonic() - begin < 30


def test_a_broken_page_has_a_reason(tmp_path, monkeypatch, without_ocr):
    """PDFium can open the document, but not render the page."""
    file = make(tmp_path / "a.pdf", ["one", "two"])
    data = file.read_bytes()
    (second,) = re.findall(rb"/Kids \[ \d+ 0 R (\d+) 0 R \]", data)
    file.write_bytes(data.replace(b"\n%s 0 obj" % second, b"\n%s 0 oops" % second))
    first, blank = document.pages(file, 64)
    assert first.text == "one" and not blank.text and blank.picture.size == (64, 64)
    with pytest.raises(UnreadableMedia, match="page 2 is broken"):
        document.page_at(file, 2, 64)
    with pytest.raises(UnreadableMedia, match="page 2 is broken"):
        document.marks(file, 2, ["two"])


def test_a_scan_with_a_page_number_is_read_by_ocr(tmp_path, monkeypatch):
    monkeypatch.setattr(document.ocr, "reader", lambda: object())
    monkeypatch.setattr(document.ocr, "words", lambda picture: "text of the scan")
    (page,) = document.pages(make(tmp_path / "scan.pdf", ["Page 7"]), 64)
    assert page.text == "Page 7 text of the scan"


def test_a_scan_is_read_by_ocr_where_it_is_installed(tmp_path):
    pytest.importorskip("rapidocr")
    page = document.page_at(make(tmp_path / "typed.pdf", ["LIGHTHOUSE KEEPERS DRINK TEA"]), 1, 1600)
    page.save(tmp_path / "scan.pdf")
    (scanned,) = document.pages(tmp_path / "scan.pdf", 200)
    assert "LIGHTHOUSE" in scanned.text.upper()


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_words_are_marked_where_they_are_rendered(tmp_path, turned):
    import pypdfium2

    file = make(tmp_path / "a.pdf", ["nothing here", "first line\nthe invoice\nof March, Invoice"])
    pdf = pypdfium2.PdfDocument(file)
    pdf[1].set_rotation(turned)
    pdf.save(tmp_path / "turned.pdf")
    boxes = document.marks(tmp_path / "turned.pdf", 2, ["invoice", "absent"])
    assert len(boxes) == 2 and document.marks(tmp_path / "turned.pdf", 1, ["invoice"]) == []
    page = np.asarray(document.page_at(tmp_path / "turned.pdf", 2, 1200).convert("L"))
    ink = np.zeros_like(page, bool)
    for left, top, right, bottom in boxes:
        rows, columns = (
            slice(int(a * n), int(b * n) + 1) for a, b, n in ((top, bottom, page.shape[0]), (left, right, page.shape[1]))
        )
        assert (page[rows, columns] < 128).mean() > 0.1
        ink[rows, columns] = True
    assert 0.2 < (page[ink] < 128).sum() / (page < 128).sum() < 0.6  # two of the words on it, and no more
    assert document.marks(tmp_path / "turned.pdf", 9, ["invoice"]) == []


def test_what_is_written_into_a_form_and_noted_beside_it_is_text_and_seen(tmp_path, without_ocr):
    """docling#2677: filled forms; MuckRock/documentcloud#292: notes."""
    from reportlab.pdfgen import canvas

    out = canvas.Canvas(str(tmp_path / "form.pdf"), pagesize=(400, 300))
    out.drawString(20, 270, "Application for a fishing licence")
    out.acroForm.textfield(name="who", value="Marjorie Featherstone", x=20, y=200, width=200, height=24, borderStyle="solid")
    out.acroForm.choice(name="town", value="Aberystwyth", options=["Aberystwyth", "Bath"], x=20, y=150, width=200, height=24)
    out.acroForm.checkbox(name="trout", checked=True, x=20, y=100)
    out.textAnnotation("ask about kangaroo fencing", Rect=[300, 200, 330, 230])
    out.textAnnotation("Application", Rect=[300, 100, 330, 130])
    out.save()
    (page,) = document.pages(tmp_path / "form.pdf", 300)
    for words in ("Application for a fishing licence", "Marjorie Featherstone", "Aberystwyth", "ask about kangaroo fencing"):
        assert page.text.count(words) == 1
    assert "Yes" not in page.text and page.text.count("Application") == 1
    field = np.asarray(page.picture.convert("L"))[76:100, 20:220]
    assert (field < 128).mean() > 0.02  # the name is drawn


@pytest.mark.parametrize(
    ("covers", "expected"), [(True, "Scanned with CamScanner text of the scan"), (False, "Scanned with CamScanner")]
)
def test_a_stamp_does_not_hide_a_scan(tmp_path, monkeypatch, covers, expected):
    """OCRmyPDF#1563."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen import canvas

    monkeypatch.setattr(document.ocr, "reader", lambda: object())
    monkeypatch.setattr(document.ocr, "words", lambda picture: "text of the scan")
    out = canvas.Canvas(str(tmp_path / "scan.pdf"), pagesize=(400, 300))
    out.drawImage(ImageReader(Image.new("RGB", (40, 30), "ivory")), 0, 0, *((400, 300) if covers else (100, 75)))
    out.drawString(20, 10, "Scanned with CamScanner")
    out.save()
    (page,) = document.pages(tmp_path / "scan.pdf", 100)
    assert page.text == expected


def test_a_short_true_text_stays_beside_what_is_read_in_the_picture(tmp_path, monkeypatch):
    """OCRmyPDF#1337."""
    monkeypatch.setattr(document.ocr, "reader", lambda: object())
    monkeypatch.setattr(document.ocr, "words", lambda picture: "O0II1")
    make(tmp_path / "short.pdf", ["O0Il1"])
    (page,) = document.pages(tmp_path / "short.pdf", 100)
    assert page.text == "O0Il1 O0II1"


def garbled(path: Path, text: str, shift: int) -> Path:
    """Write a PDF that draws a text, and whose own text is other letters: its table of characters is shifted."""
    codes = "".join(f"<{c:02x}> <{c + shift:04x}>\n" for c in range(32, 126))
    table = f"/CIDInit /ProcSet findresource begin begincmap\n94 beginbfchar\n{codes}endbfchar endcmap end"
    page = "BT /F 20 Tf 40 700 Td 24 TL " + " ".join(f"({line}) Tj T*" for line in text.split("\n")) + " ET"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        f"<</Length {len(page)}>>stream\n{page}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding/ToUnicode 6 0 R>>",
        f"<</Length {len(table)}>>stream\n{table}\nendstream",
    ]
    body, starts = "%PDF-1.4\n", []
    for i, content in enumerate(objects, 1):
        starts.append(len(body))
        body += f"{i} 0 obj\n{content}\nendobj\n"
    rows = "".join(f"{start:010} 00000 n \n" for start in starts)
    end = f"xref\n0 7\n0000000000 65535 f \n{rows}trailer\n<</Root 1 0 R/Size 7>>\nstartxref\n{len(body)}\n%%EOF\n"
    path.write_bytes((body + end).encode())
    return path


WARRANTY = "Warranty certificate for the dishwasher\nThe guarantee is valid for five years"


@pytest.mark.skipif(not document.ocr.reader(), reason="needs the extra ocr")
@pytest.mark.parametrize("shift", [1, 4, 0xE000])
def test_a_text_layer_that_is_nonsense_is_read_from_the_page(tmp_path, shift):
    (page,) = document.pages(garbled(tmp_path / "a.pdf", WARRANTY, shift), 200)
    assert {"warranty", "certificate", "dishwasher", "guarantee"} <= set(page.text.lower().split())


def test_text_that_is_right_is_not_doubted(tmp_path, monkeypatch):
    monkeypatch.setattr(document.ocr, "reader", lambda: pytest.fail("OCR was asked"))
    (page,) = document.pages(garbled(tmp_path / "a.pdf", WARRANTY, 0), 200)
    assert page.text == " ".join(WARRANTY.split())
    for text in (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw",
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar",
        "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền",
        "Все люди рождаются свободными и равными в своем достоинстве и правах",
        "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待",
    ):
        assert not document.may_be_garbled(text)


@pytest.mark.skipif(not document.ocr.reader(), reason="needs the extra ocr")
def test_unusual_text_that_stands_on_the_page_stays(tmp_path):
    codes = "QX7 KLM WVB GHJ PFC DZY KWX VBM QGH JKL PFD CZY WVK MBX HGQ"
    assert document.may_be_garbled(codes)
    (page,) = document.pages(make(tmp_path / "a.pdf", [codes]), 200)
    assert page.text == codes
