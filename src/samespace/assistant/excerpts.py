"""Excerpts of files for an assistant: an image, a video as a stream of frames,
or the pages and windows of audio that fit the question best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..library.indexing.segments import STREAMED, EncodedSegment
from ..library.search.hits import Hit
from ..library.store.records import IMAGE, MODALITIES, Segment
from ..media import image as image_media
from ..media.kinds import kind_of
from ..media.locator import locator, locator_text
from ..media.thumbnails import thumbnail
from ..spaces.space import Space
from .audio_labels import nearest_labels
from .read_files import read_segments
from .request import AssistantBackend, Picture, Recording
from .video_stream import VideoStream, video_stream

MAX_PLACES = 4
"""Shots or pages that an assistant is shown of a file."""
SIDE = 768
"""Pixels along the shorter side of a frame or page that is shown."""
MAX_CHARACTERS = 1200
"""Characters of a passage or transcript that are shown."""

_Place = list[EncodedSegment]
"""The segments of one place in a file."""


@dataclass(frozen=True)
class Excerpt:
    """What is shown of a file."""

    parts: tuple[str | Picture, ...]
    """Text and images, in order."""
    locators: tuple[str, ...]
    """Where in it: "0:07–0:15", "page 2"; none for an image."""
    places: int
    """How many such places the file has."""

    def summary(self) -> list[str]:
        """Return what was shown, in sentences."""
        return [f"{', '.join(self.locators)} ({len(self.locators)} of {self.places} shown)"] if self.locators else []


def picture_of(hit: Hit) -> Picture:
    """Return what a hit looks like, as an assistant is shown it: an image file as it is. Raises UnreadableMedia."""
    if hit.kind == "image" and not locator(hit):
        return Picture.read(hit.path)
    return Picture(image_media.jpeg(thumbnail(hit, SIDE), 4 * SIDE), hit.path)


def excerpts(
    paths: Sequence[Path], question: str, space: Space, assistant: AssistantBackend, frames: int = 0
) -> list[Excerpt | VideoStream]:
    """Return what of each of several files answers a question best; they share the assistant's room. Raises UnreadableMedia."""
    share = 1 / max(1, len(paths))
    return [excerpt(path, question, space, assistant, frames=frames, share=share) for path in paths]


def excerpt(
    path: Path, question: str, space: Space, assistant: AssistantBackend, limit: int = MAX_PLACES, frames: int = 0, share: float = 1.0
) -> Excerpt | VideoStream:  # fmt: skip
    """Return what of a file answers a question best: a video as a stream of frames, of others the best places.

    limit: places; frames: of a video, 0 for as many as the assistant has room for; share: of that room. Raises UnreadableMedia.
    """
    kind = kind_of(path) or "image"
    if kind not in STREAMED:
        return Excerpt((Picture.read(path),), (), 1)
    if kind == "audio" and assistant.takes_sound:
        return Excerpt((Recording.of(path),), (), 1)
    segments = read_segments(path, kind, space)
    if kind == "video" and any(segment.modality == IMAGE for segment in segments):
        return video_stream(path, segments, question, space, assistant, frames, share)
    (z,) = space.text([question])
    places = _ranked_places(segments, z)
    chosen = sorted(places[:limit], key=lambda place: (place[0].page or 0, place[0].start or 0.0))
    parts = tuple(part for place in chosen for part in _parts_of(path, kind, place, z, space))
    return Excerpt(parts, tuple(_locator_of(place) for place in chosen), len(places))


def _ranked_places(segments: Sequence[EncodedSegment], z: np.ndarray) -> list[_Place]:
    """Return a file's places, best first: by the best rank that any modality gives them."""
    rank: dict[tuple[int | None, float | None], int] = {}
    for modality in MODALITIES:
        ranked = sorted((s for s in segments if s.modality == modality), key=lambda s: -float(s.z @ z))
        for i, segment in enumerate(ranked):
            key = (segment.page, segment.start)
            rank[key] = min(rank.get(key, i), i)
    return [[s for s in segments if (s.page, s.start) == key] for key in sorted(rank, key=rank.__getitem__)]


def _parts_of(path: Path, kind: str, place: _Place, z: np.ndarray, space: Space) -> list[str | Picture]:
    """Return what is shown of a place: its locator, its text or what it sounds like, and its image."""
    text, visible = text_of(place, z), kind == "document" or any(segment.modality == IMAGE for segment in place)
    if not (text or visible):
        vectors = np.stack([segment.z for segment in place if segment.z is not None])
        text = f"a sound like {', '.join(nearest_labels(space, vectors))}"
    title = _locator_of(place)
    parts: list[str | Picture] = [f"{title}: {text}" if text else f"{title}:"]
    if visible:
        first = place[0]
        picture = thumbnail(Segment(str(path), kind, first.start, first.end, first.page), SIDE)
        data = image_media.jpeg(picture, 4 * SIDE)
        parts.append(Picture(data, f"{path.name}, {title}.jpg", text_included=kind == "document"))
    return parts


def text_of(place: _Place, z: np.ndarray) -> str:
    """Return the text of a place, in its order; of a long one the passages that fit a question best."""
    passages = [segment for segment in place if segment.text]
    texts = [segment.text or "" for segment in passages]
    chosen, room = set[int](), MAX_CHARACTERS
    for i in sorted(range(len(passages)), key=lambda i: -float(passages[i].z @ z)):
        if not chosen or len(texts[i]) < room:  # the best is never cut by what comes before it
            chosen.add(i)
            room -= len(texts[i]) + 1
    return " ".join(texts[i] for i in sorted(chosen))[:MAX_CHARACTERS]


def _locator_of(place: _Place) -> str:
    """Return where in its file a place is."""
    return locator_text(place[0].start, place[0].end, place[0].page)
