"""Audio, video and documents → segments with vectors: windows of audio, shots, pages and passages.

Each file is read piece by piece, and a batch of pieces is encoded at a time: memory does not grow with its length.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ...core.errors import UnreadableMedia
from ...media import audio, document, frames, speech, video
from ...media.image import Size
from ...media.look import look_of
from ...media.subtitles import subtitles
from ...preprocess.pixels import square
from ...spaces.sessions import BATCH
from ...spaces.space import Space
from ..store.records import AUDIO, IMAGE, LOWER, TEXT, UPPER

T = TypeVar("T")


@dataclass(frozen=True)
class EncodedSegment:
    """A part of a file, with its vector."""

    z: np.ndarray
    """float32 (dim,), unit length."""
    modality: str = IMAGE
    """What its vector is of; see store.records."""
    size: Size | None = None
    """Of an image, shot or page."""
    start: float | None = None
    """Seconds."""
    end: float | None = None
    """Seconds."""
    page: int | None = None
    """From 1."""
    ordinal: int = 0
    """Which of several at one place; see store.records."""
    text: str | None = None
    """What is written or spoken there."""
    look: bytes | None = None
    """As of a Segment."""


def audio_file_segments(path: Path, space: Space) -> Iterator[EncodedSegment]:
    """Yield the windows of an audio file, and its transcript. Raises UnreadableMedia."""
    if not (space.has_audio or speech.whisper()):
        raise UnreadableMedia(f"the space {space.name} has no audio tower and no transcript can be made; see: samespace doctor")
    nothing = "it is silent or cut short; play it to check"
    yield from _chained(audio_segments(path, space), transcript_segments(path, space), nothing=nothing)


def video_segments(path: Path, space: Space) -> Iterator[EncodedSegment]:
    """Yield the shots of a video, the windows of its audio, and its transcript. Raises UnreadableMedia."""
    cuts: list[float] = []
    parts = shot_segments(path, space, cuts), audio_segments(path, space, cuts), transcript_segments(path, space)
    yield from _chained(*parts, nothing="there is nothing to see or to hear in it; play it to check")


def _chained(*parts: Iterator[EncodedSegment], nothing: str) -> Iterator[EncodedSegment]:
    """Yield from each part in turn; one that fails is skipped if another yields something.

    Raises the first UnreadableMedia where none does, or one with the reason `nothing`.
    """
    failure, found = None, False
    for part in parts:
        try:
            for segment in part:
                found = True
                yield segment
        except UnreadableMedia as error:
            failure = failure or error
    if not found:
        raise failure or UnreadableMedia(nothing)


def document_segments(path: Path, space: Space) -> Iterator[EncodedSegment]:
    """Yield a document's pages as images, whole and by halves, and its passages; of a text file the passages alone.

    Raises UnreadableMedia, OSError.
    """
    if document.is_text_file(path):
        yield from text_file_segments(path, space)
        return
    yield from page_segments(document.pages(path, 2 * space.config.prep.resized_side), space)


def page_segments(pages: Iterable[document.Page], space: Space) -> Iterator[EncodedSegment]:
    """Yield pages as images, whole and by halves, and their passages where the space knows words."""
    for some in _batches(pages, BATCH // 3):
        views = [view for page in some for view in _whole_and_halves(page.picture)]
        z = space.pixels(np.stack([square(view, space.config.prep) for view in views]))
        for i, page in enumerate(some):
            for ordinal, vector in zip((0, UPPER, LOWER), z[3 * i : 3 * i + 3]):
                yield EncodedSegment(vector, size=page.picture.size, page=page.number, ordinal=ordinal)
        passages = [(page.number, n, text) for page in some for n, text in enumerate(page.passages, 1) if space.config.has_words]
        for (number, n, text), vector in zip(passages, space.text([text for *_, text in passages]) if passages else ()):
            yield EncodedSegment(vector, TEXT, page=number, ordinal=n, text=text)


def further_segments(data: bytes, picture: Image.Image, space: Space) -> list[EncodedSegment]:
    """Return what an image file shows besides its first picture, which is given: the parts of a panorama, a TIFF's pages and what is
    written on them, the shots of an animation or of a motion photo's film. What cannot be read of them is left out.
    """
    side, found = space.config.prep.resized_side, list[EncodedSegment]()
    if squares := frames.parts(picture):
        z = space.pixels(np.stack([square(part, space.config.prep) for part in squares]))
        found += [EncodedSegment(vector, ordinal=n) for n, vector in enumerate(z, 1)]
    for parts in (
        page_segments(frames.pages(data), space),
        (_shot_segment(shot, space) for shot in frames.animation(data, side)),
        (_shot_segment(shot, space) for shot in frames.motion_shots(data, side)),
    ):
        with suppress(UnreadableMedia):
            found += parts
    return found


def text_file_segments(path: Path, space: Space) -> Iterator[EncodedSegment]:
    """Yield the passages of a text file. Raises UnreadableMedia, OSError."""
    found = ((number, n, text) for number, passages in document.sheets(path) for n, text in enumerate(passages, 1))
    for batch in _batches(found, BATCH):
        for (number, n, text), vector in zip(batch, space.text([text for *_, text in batch])):
            yield EncodedSegment(vector, TEXT, page=number, ordinal=n, text=text)


def audio_segments(path: Path, space: Space, cuts: Iterable[float] = ()) -> Iterator[EncodedSegment]:
    """Yield windows of a file's audio that are not silent, none across a cut; nothing in a space without an audio tower.

    Raises UnreadableMedia.
    """
    if not space.has_audio:
        return
    c = space.audio_config
    audible = (window for window in audio.windows(path, c.seconds, c.rate, cuts) if not window.silent)
    for windows in _batches(audible, BATCH):
        for window, z in zip(windows, space.audio([window.samples for window in windows])):
            yield EncodedSegment(z, AUDIO, start=round(window.start, 2), end=round(window.end, 2))


def transcript_segments(path: Path, space: Space) -> Iterator[EncodedSegment]:
    """Yield what is spoken in a file: its subtitles or, where there is a speech model, a transcript. Raises UnreadableMedia."""
    for n, utterance in enumerate(subtitles(path) or speech.transcript(path), 1):
        (z,) = space.text([utterance.text])
        start, end = round(utterance.start, 2), round(utterance.end, 2)
        yield EncodedSegment(z, TEXT, start=start, end=end, ordinal=n, text=utterance.text)


def shot_segments(path: Path, space: Space, cuts: list[float]) -> Iterator[EncodedSegment]:
    """Yield a video's shots, each with the mean vector of its frames; append where each begins to `cuts`.

    Nothing where it has no moving pictures. Raises UnreadableMedia.
    """
    for shot in video.shots(path, space.config.prep.resized_side) if video.has_video(path) else ():
        segment = _shot_segment(shot, space)
        assert segment.start is not None
        cuts.append(segment.start)  # audio is cut at the very moment that is stored
        yield replace(segment, look=look_of(shot.frames[0].picture))


def _shot_segment(shot: video.Shot, space: Space) -> EncodedSegment:
    """Return a shot with the mean vector of its frames."""
    z = space.pixels(np.stack([square(frame.picture, space.config.prep) for frame in shot.frames])).mean(axis=0)
    return EncodedSegment(z / np.linalg.norm(z), size=shot.frames[0].size, start=round(shot.start, 2), end=round(shot.end, 2))


def _whole_and_halves(picture: Image.Image) -> list[Image.Image]:
    """Return a page, its upper and its lower half; the halves overlap by a tenth of the page."""
    width, height = picture.size
    return [picture, picture.crop((0, 0, width, height * 11 // 20)), picture.crop((0, height * 9 // 20, width, height))]


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of up to `size` items."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


STREAMED: dict[str, Callable[[Path, Space], Iterator[EncodedSegment]]] = {
    "audio": audio_file_segments, "video": video_segments, "document": document_segments,
}  # fmt: skip
"""Kind of file → what yields its segments; images are encoded many at a time, in embed.py."""


def segments_of(path: Path, kind: str, space: Space) -> list[EncodedSegment]:
    """Return a file's segments. Raises UnreadableMedia naming the file."""
    try:
        return list(STREAMED[kind](path, space))
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error.reason}") from None


def mean_vector(segments: list[EncodedSegment]) -> np.ndarray:
    """Return a file as one vector, the mean of its segments': float32 (dim,), unit length."""
    z = np.mean([segment.z for segment in segments], axis=0)
    return np.asarray(z / np.linalg.norm(z))
