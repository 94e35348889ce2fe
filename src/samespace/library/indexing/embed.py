"""Files → segments with vectors. Files are read and decoded ahead in threads while the tower works."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from threading import Event
from typing import Protocol

import numpy as np

from ...core.errors import SamespaceError, UnreadableMedia, error_summary
from ...core.files import content_hash, file_hash
from ...core.machine import usable_cpus
from ...media import image as image_media
from ...media.look import look_of
from ...media.metadata.description import NOTHING, Description, describe
from ...preprocess.pixels import square
from ...spaces.sessions import BATCH
from ...spaces.space import Space
from ..store.records import File
from .segments import STREAMED, EncodedSegment, further_segments

AHEAD = 3 * BATCH
"""Files being read or waiting for the tower; bounds memory whatever the folder's size."""
FLUSH_SECONDS = 2.0
"""Flush a partial batch after this many seconds."""
MAX_BYTES = {"image": image_media.MAX_BYTES, "document": 2_000_000_000}
"""Largest file of a kind; video and audio may have any length."""
NOUNS = {"image": "a picture", "document": "a document"}


@dataclass(frozen=True)
class Embedded:
    """A file and its segments; none where its content is known already."""

    file: File
    hash: str
    """BLAKE2b of the content, 32 hex digits."""
    segments: tuple[EncodedSegment, ...] = ()
    description: Description = NOTHING


@dataclass(frozen=True)
class Skipped:
    """A file that could not be read, with the reason."""

    file: File
    reason: str
    hash: str = ""
    """BLAKE2b of the content, where that much could be read."""


@dataclass(frozen=True)
class Decoded:
    """An image that is yet to be encoded."""

    file: File
    hash: str
    """BLAKE2b of the content, 32 hex digits."""
    size: image_media.Size
    """Of the picture."""
    description: Description
    pixels: np.ndarray
    """uint8 (S, S, 3)."""
    look: bytes
    """As of a Segment."""
    further: tuple[EncodedSegment, ...] = ()
    """What the file shows besides this picture."""


Loaded = Embedded | Skipped | Decoded


class FileEncoder(Protocol):
    """What turns files into segments: an Embedder, or a cluster."""

    def files(self, files: Iterable[File], seen: set[str]) -> Iterator[list[Embedded | Skipped]]:
        """Encode files, a batch at a time; files whose content hash is in `seen` come back without segments."""
        ...


class Embedder:
    """Turns files into segments with vectors of one space."""

    def __init__(self, space: Space):
        self.space = space

    def files(self, files: Iterable[File], seen: set[str]) -> Iterator[list[Embedded | Skipped]]:
        """Read, decode and encode files, in order, a batch at a time.

        `seen` holds the content hashes that have vectors already; new ones are added. Equal contents are decoded once.
        """
        loads = read_ahead(files, lambda file, cancelled: self._load(file, seen, cancelled))
        for batch in gathered(loads, lambda: self.space.batch):
            squares = [loaded.pixels for loaded in batch if isinstance(loaded, Decoded)]
            vectors = iter(self.space.pixels(np.stack(squares)) if squares else ())
            yield [_embedded(loaded, next(vectors)) if isinstance(loaded, Decoded) else loaded for loaded in batch]

    def _load(self, file: File, seen: set[str], cancelled: Event) -> Loaded:
        """Read one file, unless its content is known: an image is decoded, other kinds are encoded. Runs in a thread."""
        limit = MAX_BYTES.get(file.kind)
        if not file.size:
            return Skipped(file, "the file is empty", content_hash(b""))
        if limit and file.size > limit:
            return Skipped(file, f"{file.size / 1e9:.1f} GB is too large for {NOUNS[file.kind]}; move it elsewhere")
        path, digest = Path(file.path), ""
        try:
            data = path.read_bytes() if file.kind == "image" else b""
            digest = content_hash(data) if file.kind == "image" else file_hash(path)
            description = describe(path, file.kind, data)
            if digest in seen:
                return Embedded(file, digest, description=description)
            seen.add(digest)
            if file.kind == "image":
                picture, size = image_media.read(path, data, self.space.config.prep.resized_side)
                further = tuple(further_segments(data, picture, self.space))
                return Decoded(
                    file, digest, size, description, square(picture, self.space.config.prep), look_of(picture), further
                )
            segments = takewhile(lambda _: not cancelled.is_set(), STREAMED[file.kind](path, self.space))
            return Embedded(file, digest, tuple(segments), description)
        except UnreadableMedia as error:
            return Skipped(file, error.reason, digest)
        except FileNotFoundError:
            return Skipped(file, "it vanished while indexing; index again if it comes back")
        except PermissionError:
            return Skipped(file, "permission denied; allow reading it, then index again")
        except (OSError, MemoryError) as error:
            return Skipped(file, f"it cannot be read ({error_summary(error)}); check the disk")
        except SamespaceError:  # of the space, and so of every file
            raise
        except Exception as error:  # decoders fail in every way there is, and one bad file must not stop a run
            return Skipped(file, f"it is broken ({error_summary(error)}); open it to check", digest)


def _embedded(image: Decoded, z: np.ndarray) -> Embedded:
    """Return an image with its vector, and what else its file shows."""
    first = EncodedSegment(z, size=image.size, look=image.look)
    return Embedded(image.file, image.hash, (first, *image.further), image.description)


def gathered(loads: Iterable[Loaded], pictures_at_once: Callable[[], int]) -> Iterator[list[Loaded]]:
    """Yield batches for the tower; partial ones after FLUSH_SECONDS, so that what is done is kept while a long video is read.

    pictures_at_once opens the tower, and is called only where there are pictures.
    """
    batch: list[Loaded] = []
    due = time.monotonic() + FLUSH_SECONDS
    for load in loads:
        batch.append(load)
        full = len(batch) >= BATCH and (not any(isinstance(one, Decoded) for one in batch) or len(batch) >= pictures_at_once())
        if full or time.monotonic() > due:
            yield batch
            batch, due = [], time.monotonic() + FLUSH_SECONDS
    if batch:
        yield batch


def read_ahead(files: Iterable[File], load: Callable[[File, Event], Loaded]) -> Iterator[Loaded]:
    """Yield load(file, cancelled) for each file, in order, from threads, at most AHEAD at a time.

    `cancelled` is set when the consumer stops.
    """
    cancelled = Event()
    with ThreadPoolExecutor(usable_cpus()) as pool:
        waiting: list[Future[Loaded]] = []
        files = iter(files)
        try:
            waiting = [pool.submit(load, f, cancelled) for f in islice(files, AHEAD)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(load, f, cancelled) for f in islice(files, 1)]
        finally:
            cancelled.set()
            for future in waiting:
                future.cancel()
