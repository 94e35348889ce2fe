"""What can be found by words: names, captions, keywords, people, places, and what is written or spoken, folded and searched.

Texts are searched for parts of words, so that "ross" finds ROSSI and 咖啡 what stands in a sentence without spaces. A scan does it:
the words of 100,000 photographs are 10 MB, in which a word is found in a few milliseconds.
"""

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...core.paths import to_text
from .records import Segment

UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{3,}")
"""Three or more characters of scripts that put no spaces between words: Japanese, Chinese, Thai, Lao, Burmese, Khmer."""
VERSION = 2
"""Of `folded`: libraries hold texts as it wrote them, and are written anew where it has changed."""
MARKS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670\u00ad\u200b-\u200d\u2060\ufeff]"
)
"""Accents, Hebrew points, Arabic vowels; soft hyphens and characters without width."""
SAME = str.maketrans(
    {
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "ı": "i",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "‘": "'",
        "’": "'",
        "ʼ": "'",
        "′": "'",
        "“": '"',
        "”": '"',
    }
    | dict.fromkeys("‐‑‒–—−", "-")
)
"""Letters, quotation marks and dashes → how people type them."""
CERTAIN, NAMED, PLACED, FILED = 0.9, 0.85, 0.8, 0.7
"""Relevance of a segment that has all words of a query in its texts, its file's name, its place, its folders."""
PART = 0.95
"""Share of it that is left where a word is found within another, times the square of how much of the other it is: the cat in location says little."""


def folded(text: str) -> str:
    """Return a text as it is compared: lower case, without accents and vowel marks, one form of every letter, quotation mark and dash."""
    plain = MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()).translate(SAME))
    return unicodedata.normalize("NFC", plain)


def words_of(segment: Segment) -> str:
    """Return all that a segment can be found by, folded, a line for each source."""
    return folded("\n".join(text for _, text in _sources(segment) if text))


def _sources(segment: Segment) -> Iterator[tuple[float, str]]:
    """Yield the relevance of a full match in a source, and its text, the best first."""
    for text in (
        segment.text,
        segment.read_text,
        segment.caption,
        segment.keywords,
        segment.people,
    ):
        yield CERTAIN, text or ""
    folder, name = os.path.split(to_text(segment.path))
    yield NAMED, name
    yield PLACED, segment.place or ""
    yield PLACED, segment.camera or ""
    above = os.path.dirname(to_text(segment.root))
    yield FILED, (folder.removeprefix(above) if segment.root else folder).replace(os.sep, " ")


def terms_of(phrase: str) -> tuple[str, ...]:
    """Return the words of a phrase, folded; of scripts without spaces all pairs of neighbours."""
    words: list[str] = []
    for word in folded(phrase).split():
        runs = UNSPACED.findall(word)
        words += [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
        words.append(UNSPACED.sub("", word).strip(".,;:!?()[]{}\"'“”„«»…、。·"))
    return tuple(dict.fromkeys(word for word in words if len(word) > 2 or word.isdigit() or (word and ord(word[0]) > 0x2E00)))


def match(segment: Segment, terms: Sequence[str]) -> float:
    """Return how relevant a segment is by its words, 0…1: the cube of the share of terms found, less for weaker sources."""
    sources = [(relevance, folded(text)) for relevance, text in _sources(segment) if text]
    found = [max((relevance * _part(term, text) for relevance, text in sources), default=0.0) for term in terms]
    hits = [relevance for relevance in found if relevance]
    return (len(hits) / len(terms)) ** 3 * float(np.mean(hits)) if hits else 0.0


def _part(term: str, text: str) -> float:
    """Return 1 where a term stands in a text as a word, less where it is a part of one, 0 where it is not in it."""
    if term not in text:
        return 0.0
    if ord(term[0]) > 0x2E00:
        return 1.0
    words = re.finditer(rf"(?<![^\W_])[^\W_]*?{re.escape(term)}[^\W_]*", text)  # begins where words do: each is read once
    share = max((len(term) / len(word[0]) for word in words), default=1.0)
    return 1.0 if share == 1 else PART * share**2


class WordIndex:
    """The column of words of a copy, searched for parts of words."""

    def __init__(self, column: Any):
        """column: pa.ChunkedArray of strings."""
        self.rows = len(column)
        self._chunks: list[tuple[bytes, np.ndarray, int]] = []  # text, where each row begins and the last ends, rows before it
        before = 0
        for chunk in column.chunks:
            _, offsets, data = chunk.buffers()
            if data is not None:
                begins = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
                self._chunks.append((data.to_pybytes(), begins, before))
            before += len(chunk)

    def search(self, terms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that have one of the terms or more, and their scores: rare terms count more."""
        scores = np.zeros(self.rows, np.float32)
        for term in terms:
            rows = self._containing(term.encode())
            scores[rows] += math.log(1 + self.rows / max(1, len(rows)))
        rows = np.flatnonzero(scores)
        return rows, scores[rows]

    def _containing(self, term: bytes) -> np.ndarray:
        """Return the rows whose text has a term in it."""
        pattern, found = re.compile(re.escape(term)), []
        for data, begins, before in self._chunks:
            places = np.fromiter((m.start() for m in pattern.finditer(data, int(begins[0]), int(begins[-1]))), np.int64)
            rows = np.searchsorted(begins, places, side="right") - 1
            found.append(before + np.unique(rows[places + len(term) <= begins[rows + 1]]))  # not from one row into the next
        return np.concatenate(found) if found else np.empty(0, np.int64)
