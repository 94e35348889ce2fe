"""What a library holds: files and their segments; what is written to it, and what a search finds in it."""

import hashlib
import os
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np

Grouping = Literal["stack", "file", "place"]
"""What is shown once: a stack of copies and bursts, a file, or a place in a file."""
IMAGE, AUDIO, TEXT = MODALITIES = ("image", "audio", "text")
"""What a segment's vector is made from."""
UPPER, LOWER = 1, 2
"""Ordinals of a page's overlapping halves; 0 is the whole page. The parts of a panorama are numbered from 1, too."""


@dataclass(frozen=True)
class File:
    """A media file as the file system has it."""

    path: str
    """Absolute."""
    root: str
    """The folder it was found under, absolute."""
    kind: str
    """One of media.kinds.KINDS."""
    size: int
    """Bytes."""
    mtime: int
    """Nanoseconds since 1970."""
    described: int = 0
    """Another number as soon as it, or a file beside it that describes it, is another; its own time, in nanoseconds since 1970, where there is none."""


@dataclass(frozen=True)
class IndexedFile:
    """What a library has stored of a file."""

    size: int
    """Bytes."""
    mtime: int
    """Nanoseconds since 1970."""
    hash: str
    """BLAKE2b of the content, 32 hex digits."""
    has_vector: bool
    """Whether it has a vector of the space in use."""
    described: int = 0
    """As of File, when its description was read."""


@dataclass(frozen=True)
class Segment:
    """A row of a library: an image, a window of audio, a shot of video, a page or a passage of a document."""

    path: str
    """Absolute."""
    kind: str
    """Kind of the file: image, audio, video or document."""
    start: float | None = None
    """Seconds, in audio and video."""
    end: float | None = None
    """Seconds."""
    page: int | None = None
    """From 1, in documents."""
    modality: str = IMAGE
    """What its vector is made from: image, audio or text."""
    ordinal: int = 0
    """Number at one place and modality: UPPER or LOWER half of a page, passages of text from 1; 0 for the whole place."""
    width: int | None = None
    """Pixels, as displayed."""
    height: int | None = None
    """Pixels, as displayed."""
    taken_at: datetime | None = None
    """UTC."""
    lat: float | None = None
    """Degrees north."""
    lon: float | None = None
    """Degrees east."""
    size: int = 0
    """Bytes of the file."""
    time: int = 0
    """When it was taken or, where that is unknown, last changed: microseconds since 1970."""
    root: str = ""
    """The indexed folder; empty in what a search returns."""
    hash: str = ""
    """BLAKE2b of the file's content."""
    mtime: int = 0
    """Nanoseconds since 1970; 0 in what a search returns."""
    text: str | None = None
    """What is written or spoken there, or a caption that an assistant wrote; None where there is none."""
    written: str | None = None
    """What text recognition has read in a picture or frame, as media.ocr writes it; None where it has not read it."""
    caption: str | None = None
    """Titles and descriptions that the file has, a line each; this and what follows is of the file, and none where it has none."""
    keywords: str | None = None
    """A line each."""
    people: str | None = None
    """Names, a line each."""
    camera: str | None = None
    """Make, model and lens."""
    rating: int | None = None
    """Stars, 1 to 5, or -1 for rejected."""
    place: str | None = None
    """What lies at its coordinates: town, region and country."""
    described: int = 0
    """As of File, when its description was read; 0 in what a search returns."""
    look: bytes | None = None
    """What a picture, or the first frame of a shot, looks like: see media.look; None in what a search returns."""
    duplicate: str | None = None
    """What the copies of one picture or video have in common; empty where it has none, None where it was not compared yet."""
    stack: str | None = None
    """The id of the first segment of a file that stands for this one, too: the best of its copies, its burst, its raw file."""

    @property
    def read_text(self) -> str:
        """What was read in the picture, lines joined by spaces."""
        if not self.written:
            return ""
        from ...media.ocr import from_text  # few searches meet such a picture

        return " ".join(line.text for line in from_text(self.written))

    @property
    def id(self) -> str:
        """32 hex digits that identify it as long as path, position, modality and ordinal stay the same."""
        start = None if self.start is None else f"{np.float32(self.start):.2f}"  # as it is stored
        key = "\0".join([self.path, str(start), str(self.page), self.modality, str(self.ordinal)])
        return hashlib.blake2b(os.fsencode(key), digest_size=16).hexdigest()

    @property
    def position(self) -> tuple[str, float | None, int | None]:
        """Path, start and page: equal for the image, audio and text of one position in a file."""
        return self.path, self.start, self.page

    def key(self, group_by: Grouping) -> Hashable:
        """Return what is equal for the segments of which one is shown."""
        if group_by == "place":
            return self.position
        return self.stack or self.path if group_by == "stack" else self.path


@dataclass(frozen=True)
class SegmentWrite:
    """A segment to be stored. Vectors of spaces that `vectors` does not name are kept."""

    segment: Segment
    vectors: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    """Fingerprint → float32 (dim,), or None to forget it."""
    keeps_text: bool = False
    """Keep the text that is stored already, and what was read in the picture."""


@dataclass(frozen=True)
class Candidate:
    """A segment that a search has found."""

    segment: Segment
    score: float
    """Cosine to the query."""
    z: np.ndarray
    """float32 (dim,), unit length."""
    relevance: float | None = None
    """Calibrated probability that it is what the query means."""

    @staticmethod
    def first_of_each(candidates: Iterable["Candidate"], group_by: Grouping) -> "list[Candidate]":
        """Return the first candidate of each stack, file or place."""
        first: dict[Hashable, Candidate] = {}
        for candidate in candidates:
            first.setdefault(candidate.segment.key(group_by), candidate)
        return list(first.values())

    @staticmethod
    def listed(segment: Segment) -> "Candidate":
        """Return a segment that is shown without a query: it has no score."""
        return Candidate(segment, 0.0, np.empty(0, np.float32))
