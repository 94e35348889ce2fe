"""Any file as what an assistant can be shown of it: a picture, the frames or pages that fit the question, what is heard."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ..library.indexing.segments import LONG, Segment, place, segments_of, still
from ..media import image as image_media
from ..media.kinds import kind_of
from ..spaces.space import Space
from .audio_labels import sounds_like
from .request import Picture

SHOWN = 4
"""Frames or pages that an assistant is shown of a file."""
SIDE = 768
"""Pixels along the shorter side of a frame or page that is shown."""
WORDS = 1200
"""Characters of a passage or transcript that are shown."""


@dataclass(frozen=True)
class Excerpt:
    """What is shown of a file."""

    parts: tuple[str | Picture, ...]
    places: tuple[str, ...]
    """Where in it: "0:07–0:15", "page 2"; none for a picture."""
    of: int
    """How many such places it has."""


def shown(path: Path, question: str, space: Space, most: int = SHOWN) -> Excerpt:
    """What of a file answers a question best. Raises UnreadableMedia."""
    kind = kind_of(path) or "image"
    if kind not in LONG:
        return Excerpt((Picture.read(path),), (), 1)
    (z,) = space.text([question])
    places = fitting(segments_of(path, kind, space), z)
    chosen = sorted(places[:most], key=lambda some: (some[0].page or 0, some[0].start or 0.0))
    parts = tuple(part for some in chosen for part in parts_of(path, kind, some, z, space))
    return Excerpt(parts, tuple(place_of(path, kind, some) for some in chosen), len(places))


def fitting(segments: list[Segment], z: np.ndarray) -> list[list[Segment]]:
    """A file's places, each with its segments, best first: by the best rank that any of its senses gives it."""
    rank: dict[tuple, int] = {}
    for sense in ("", "sound", "text"):
        ranked = sorted((s for s in segments if sense_of(s) == sense), key=lambda s: -float(s.z @ z))
        for i, segment in enumerate(ranked):
            key = (segment.page, segment.start)
            rank[key] = min(rank.get(key, i), i)
    return [[s for s in segments if (s.page, s.start) == key] for key in sorted(rank, key=rank.__getitem__)]


def sense_of(segment: Segment) -> str:
    name = (segment.part or "").split(" ")[0]
    return name if name in ("sound", "text") else ""


def parts_of(path: Path, kind: str, some: list[Segment], z: np.ndarray, space: Space) -> list[str | Picture]:
    """A place as an assistant is shown it: where it is, what is written or said there or what it sounds like, how it looks."""
    words, looks = written(some, z), kind == "document" or any(sense_of(segment) == "" for segment in some)
    if not (words or looks):
        words = f"a sound like {', '.join(sounds_like(space, np.stack([segment.z for segment in some])))}"
    title = place_of(path, kind, some)
    parts: list[str | Picture] = [f"{title}: {words}" if words else f"{title}:"]
    if looks:
        picture = still(placed(path, kind, some[0]), SIDE)
        parts.append(
            Picture(image_media.jpeg(picture, 4 * SIDE), f"{path.name}, {title}.jpg", has_text_beside=kind == "document")
        )
    return parts


def written(some: list[Segment], z: np.ndarray) -> str:
    """What is written or said at a place: in its order, of a long text the passages that fit a question best."""
    passages, kept, room = [segment for segment in some if segment.text], set(), WORDS
    for i in sorted(range(len(passages)), key=lambda i: -float(passages[i].z @ z)):
        if not kept or len(passages[i].text) < room:  # the best is never cut by what stands before it
            kept.add(i)
            room -= len(passages[i].text) + 1
    return " ".join(passages[i].text for i in sorted(kept))[:WORDS]


def place_of(path: Path, kind: str, some: list[Segment]) -> str:
    return place(placed(path, kind, some[0]))


def placed(path: Path, kind: str, segment: Segment) -> SimpleNamespace:
    return SimpleNamespace(path=str(path), kind=kind, start=segment.start, end=segment.end, page=segment.page)
