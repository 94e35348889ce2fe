"""What a search returns."""

from dataclasses import dataclass, fields
from datetime import datetime

from ..store.records import Candidate, Segment

LIKELY = 0.5
"""Probability from which something is likely what is meant."""


@dataclass(frozen=True)
class Hit:
    """A ranked segment."""

    rank: int
    """From 1."""
    score: float
    """Cosine to the query."""
    path: str
    """Absolute."""
    kind: str
    """Kind of the file: image, audio, video or document."""
    relevance: float | None = None
    """Calibrated probability that it is what the words mean; None for queries with files, and in spaces without calibration."""
    start: float | None = None
    """Seconds, in audio and video."""
    end: float | None = None
    """Seconds."""
    page: int | None = None
    """From 1, in documents."""
    modality: str = "image"
    """What matches at that place: image, audio or text."""
    ordinal: int = 0
    """Which half of a page (1 upper, 2 lower), or which passage of text; 0 for the whole."""
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
    size: int | None = None
    """Bytes."""
    caption: str | None = None
    """Titles and descriptions that the file has, a line each."""
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    """Names that the file has."""
    camera: str | None = None
    """Make, model and lens."""
    rating: int | None = None
    """Stars, 1 to 5, or -1 for rejected."""
    place: str | None = None
    """What lies at its coordinates: town, region and country."""
    text: str | None = None
    """What is written or spoken there, or a caption that an assistant wrote."""
    duplicate: str | None = None
    """What the copies of one picture or video have in common; empty or None where it has none."""
    stack: str | None = None
    """The id of the best file of its stack of copies, burst or pair; empty or None where it is in none."""
    stacked: int = 1
    """How many files the stack has."""

    @property
    def id(self) -> str:
        """The segment's id: 32 hex digits, the same as long as path, place, modality and ordinal are."""
        return Segment(self.path, self.kind, self.start, self.end, self.page, self.modality, self.ordinal).id

    @staticmethod
    def of(candidate: Candidate, rank: int, stacked: int = 1) -> "Hit":
        """Return a candidate as the hit of this rank, one of `stacked` files."""
        segment = candidate.segment
        shared = {f.name: getattr(segment, f.name) for f in fields(Hit) if hasattr(segment, f.name)}
        lists = {name: tuple((getattr(segment, name) or "").splitlines()) for name in ("keywords", "people")}
        text = "\n".join(filter(None, (segment.text, segment.read_text))) or None
        return Hit(
            **shared
            | lists
            | {"rank": rank, "score": candidate.score, "relevance": candidate.relevance, "text": text, "stacked": stacked}
        )
