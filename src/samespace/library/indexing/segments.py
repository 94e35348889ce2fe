"""Sound, films and documents → segments with vectors: windows of sound, shots, pages and passages.

Each file is read piece by piece, and a batch of pieces is encoded at a time: memory does not grow with its length.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ...core.errors import UnreadableMedia
from ...media import audio, document, speech, video
from ...media import image as image_media
from ...media.image import Facts
from ...preprocess.pixels import square
from ...spaces.space import BATCH, Space

SOUND, TEXT = "sound", "text"
"""What `part` of a segment begins with, where it is not what is seen."""


@dataclass(frozen=True)
class Segment:
    """A part of a file that has a vector."""

    facts: Facts | None
    """Of what is seen."""
    z: np.ndarray | None
    """float32 (dim,), unit length; None where a picture has not been encoded yet."""
    start: float | None = None
    """Seconds."""
    end: float | None = None
    page: int | None = None
    """From 1."""
    part: str | None = None
    """See index.segments.segment_fields."""
    text: str | None = None
    """What is written there."""


def sound(path: Path, space: Space) -> Iterator[Segment]:
    """A sound file's windows, and what is said in it. Raises UnreadableMedia."""
    if not (space.has_audio or speech.whisper()):
        raise UnreadableMedia(f"the space {space.name} has no audio tower and no transcript can be made; see: samespace doctor")
    yield from found_by(heard(path, space), said(path, space), nothing="it is silent or cut short; play it to check")


def film(path: Path, space: Space) -> Iterator[Segment]:
    """A film's shots, each with the mean vector of its frames, the windows of its sound, and what is said in it.

    Raises UnreadableMedia.
    """
    cuts: list[float] = []
    senses = watched(path, space, cuts), heard(path, space, cuts), said(path, space)
    yield from found_by(*senses, nothing="there is nothing to see or to hear in it; play it to check")


def found_by(*senses: Iterator[Segment], nothing: str) -> Iterator[Segment]:
    """What senses find, one after the other; one that fails is passed over where another finds something.

    Raises UnreadableMedia where nothing is found.
    """
    failure, found = None, False
    for sense in senses:
        try:
            for segment in sense:
                found = True
                yield segment
        except UnreadableMedia as error:
            failure = failure or error
    if not found:
        raise failure or UnreadableMedia(nothing)


def paper(path: Path, space: Space) -> Iterator[Segment]:
    """A document's pages as pictures, whole and by halves, and its passages. Raises UnreadableMedia."""
    for pages in batches(document.pages(path, 2 * space.config.prep.size), BATCH // 3):
        views = [view for page in pages for view in halves(page.picture)]
        z = space.pixels(np.stack([square(view, space.config.prep) for view in views]))
        for i, page in enumerate(pages):
            facts = Facts(*page.picture.size)
            for part, vector in zip((None, "top", "bottom"), z[3 * i : 3 * i + 3]):
                yield Segment(facts, vector, page=page.number, part=part)
        passages = [(page.number, n, text) for page in pages for n, text in enumerate(page.passages, 1)]
        for (number, n, text), vector in zip(passages, space.text([text for *_, text in passages])):
            yield Segment(None, vector, page=number, part=f"{TEXT} {n}", text=text)


def heard(path: Path, space: Space, cuts: Iterable[float] = ()) -> Iterator[Segment]:
    """Windows of a file's sound that are not silent, none across a cut; nothing in a space without ears.

    Raises UnreadableMedia.
    """
    if not space.has_audio:
        return
    c = space.config.audio
    loud = (window for window in audio.windows(path, c.seconds, c.rate, cuts) if not window.silent)
    for some in batches(loud, BATCH):
        for window, z in zip(some, space.audio([window.samples for window in some])):
            yield Segment(None, z, round(window.start, 2), round(window.end, 2), part=SOUND)


def said(path: Path, space: Space) -> Iterator[Segment]:
    """What is spoken in a file, stretch by stretch, where there is a model that writes it down. Raises UnreadableMedia."""
    for n, stretch in enumerate(speech.transcript(path), 1):
        (z,) = space.text([stretch.text])
        yield Segment(None, z, round(stretch.start, 2), round(stretch.end, 2), part=f"{TEXT} {n}", text=stretch.text)


def watched(path: Path, space: Space, cuts: list[float]) -> Iterator[Segment]:
    """A film's shots, none where it has no moving pictures; where each begins is added to `cuts`. Raises UnreadableMedia."""
    prep = space.config.prep
    for shot in video.shots(path, prep.size) if video.has_film(path) else ():
        start, end = round(shot.start, 2), round(shot.end, 2)
        cuts.append(start)  # sound is cut at the very moment that is told
        z = space.pixels(np.stack([square(frame.picture, prep) for frame in shot.frames])).mean(axis=0)
        facts = Facts(*shot.frames[0].size)
        yield Segment(facts, z / np.linalg.norm(z), start, end)


def halves(picture: Image.Image) -> list[Image.Image]:
    """A page whole, its upper and its lower part, which overlap a little."""
    width, height = picture.size
    return [picture, picture.crop((0, 0, width, height * 11 // 20)), picture.crop((0, height * 9 // 20, width, height))]


def batches(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while some := list(islice(items, size)):
        yield some


LONG: dict[str, Callable[[Path, Space], Iterator[Segment]]] = {"audio": sound, "video": film, "document": paper}
"""What makes segments of a file, by its kind; pictures are made many at a time, in embed.py."""


def segments_of(path: Path, kind: str, space: Space) -> list[Segment]:
    """A file's segments, for somebody who asks about it. Raises UnreadableMedia naming the file."""
    try:
        return list(LONG[kind](path, space))
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error.reason}") from None


def whole(segments: list[Segment]) -> np.ndarray:
    """A sound, film or document as one vector, the mean of its segments': float32 (dim,), unit length."""
    z = np.mean([segment.z for segment in segments], axis=0)
    return z / np.linalg.norm(z)


class Placed(Protocol):
    """Whatever says which part of which file it is: a Hit, a stored row."""

    path: str
    kind: str
    start: float | None
    end: float | None
    page: int | None


def still(of: Placed, side: int) -> Image.Image:
    """What a segment looks like: the picture, the middle frame of a shot, a waveform, a page; `side` pixels along the
    shorter side, or about. Raises UnreadableMedia naming the file.
    """
    path = Path(of.path)
    try:
        if of.kind == "document":
            return document.page_at(path, of.page or 1, side)
        if of.kind == "video" and video.has_film(path):
            return video.frame_at(path, ((of.start or 0.0) + (of.end or 0.0)) / 2, side)
        if of.kind in LONG:
            return audio.waveform(path, of.start or 0.0, of.end)
        return image_media.read(path, path.read_bytes(), side)[0]
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error.reason}") from None
    except OSError as error:
        raise UnreadableMedia(f"{path}: {error.strerror or error}; index its folder again") from None


def place(of: Placed) -> str:
    """Where in its file: "page 2", "1:05–1:12", "1:05" where it lasts less than a second, or nothing."""
    if of.page is not None:
        return f"page {of.page}"
    if of.start is None:
        return ""
    start, end = clock(of.start), clock(of.end or of.start)
    return start if start == end else f"{start}–{end}"


def clock(seconds: float) -> str:
    """1:05, or 1:02:05."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
