"""Two hundred pages with known answers: vectors of text and image, and words, together find more than each alone."""

from pathlib import Path

import numpy as np
import pytest
from media_files import PLAIN
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

import samespace
from samespace.library.library import Library
from samespace.library.store.filter import Filter

PAGES = 200
PARAPHRASES = {  # a sentence of a page, and a query for it in other words
    "The orchestra rehearses the symphony on Monday evening.": "musicians practising",
    "Heavy rain flooded the basement and ruined the carpets.": "water damage in the house",
    "The patient should take two tablets after every meal.": "medicine dosage",
    "Our flight to Lisbon leaves at dawn from gate twelve.": "travelling by plane",
    "Knead the dough, let it rise, and bake until golden.": "how to make bread",
    "The goalkeeper saved a penalty in the final minute.": "a football match",
    "Shares fell sharply after the central bank raised rates.": "stock market news",
    "Prune the roses in early spring and water them weekly.": "gardening advice",
    "The suspect was arrested near the station last night.": "police catch a criminal",
    "Jupiter is the largest planet and has many moons.": "astronomy",
    "Tenants must pay the rent by the first of each month.": "housing contract",
    "The bride wore white and the guests threw rice.": "a marriage ceremony",
}
FILLER = "This page of the archive was typed by hand and has been kept in the cellar since then. "


@pytest.fixture(scope="module")
def archive(tmp_path_factory, drawings) -> tuple[Library, dict[str, list[tuple[str, int]]]]:
    """A library of pages with one topic each, in documents of ten; and for each kind of query pairs (words, page)."""
    folder = tmp_path_factory.mktemp("archive")
    asked: dict[str, list[tuple[str, int]]] = {"meaning": [], "words": [], "picture": []}
    numbers = np.random.default_rng(3).permutation(9000)[:PAGES] + 1000
    sheets = []
    for i, number in enumerate(numbers):
        text, drawing = f"{FILLER}Record {number}.", None
        if i % 16 == 0 and len(asked["meaning"]) < len(PARAPHRASES):
            sentence, words = list(PARAPHRASES.items())[len(asked["meaning"])]
            text = f"{sentence} {text}"
            asked["meaning"].append((words, i))
        elif i % 16 == 5:
            asked["words"].append((f"record {number}", i))
        elif i % 8 == 2 and len(asked["picture"]) < len(PLAIN):
            title = PLAIN[len(asked["picture"])]
            drawing = drawings[title]
            asked["picture"].append((f"a drawing of a {title}", i))
        sheets.append((text, drawing))
    for n in range(0, PAGES, 10):
        out = canvas.Canvas(str(folder / f"{n:03}.pdf"), pagesize=(420, 420))
        for text, drawing in sheets[n : n + 10]:
            for row, start in enumerate(range(0, len(text), 60)):
                out.drawString(30, 390 - 14 * row, text[start : start + 60])
            if drawing:
                out.drawImage(ImageReader(drawing), 70, 40, 280, 210)
            out.showPage()
        out.save()
    library = Library(tmp_path_factory.mktemp("library") / "l", samespace.load("starter"))
    library.add([folder])
    return library, asked


def found(library: Library, words: str, page: int, by: str = "") -> bool:
    """Whether the right page comes first: in a search of the library, or by the words of texts or one modality alone."""
    (z,), fingerprint = library.space.text([words]), library.space.fingerprint
    if not by:
        places = [(hit.path, hit.page) for hit in library.search(words, 1, group_by="place")]
    elif by == "words":
        places = [(c.segment.path, c.segment.page) for c in library.store.search_texts(words, z, 1, fingerprint, Filter())]
    else:
        candidates = library.store.search(z, 1, fingerprint, Filter(modality=by), group_by="place")
        places = [(c.segment.path, c.segment.page) for c in candidates]
    return [(int(Path(path).stem) + number - 1) for path, number in places] == [page]


def test_together_they_find_more_than_each_alone(archive):
    library, asked = archive
    assert library.store.count() >= 4 * PAGES
    queries = [pair for pairs in asked.values() for pair in pairs]
    alone = {by: np.mean([found(library, *pair, by) for pair in queries]) for by in ("image", "text", "words")}
    together = np.mean([found(library, *pair) for pair in queries])
    assert together > max(alone.values()), (together, alone)
    assert together >= 0.6, (together, alone)
