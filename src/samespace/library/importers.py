"""Vectors of other programs, imported where they are those of the library's space: nothing is embedded again."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..core.errors import LibraryError, UnreadableMedia, WrongSpace
from ..core.files import content_hash
from ..media import image as image_media
from ..media.metadata.description import describe
from ..spaces.sessions import BATCH
from .indexing.embed import Embedded, Skipped
from .indexing.report import Progress, Report
from .indexing.segments import EncodedSegment
from .library import Library
from .store.arrow import read_parquet_column
from .store.records import File

COMPARED, MIN_COSINE = 8, 0.98
"""Files that are embedded again to check a space, and the least cosine of their vectors to the imported ones."""

PathVector = tuple[str, np.ndarray]
"""A path and its vector, (dim,)."""


def rclip(database: Path) -> Iterator[PathVector]:
    """Yield (path, vector) of every image that rclip holds and that has not changed since. Raises LibraryError."""
    if not database.is_file():
        raise LibraryError(f"{database} is no file; rclip keeps its database at ~/.local/share/rclip/db.sqlite3")
    try:
        with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            rows = opened.execute("SELECT filepath, vector, size, modified_at FROM images WHERE deleted IS NULL")
            for path, vector, *recorded in rows:
                with contextlib.suppress(OSError):  # a file that is gone has no size
                    now = os.stat(path)
                    if [now.st_size, now.st_mtime] == recorded:
                        yield path, np.frombuffer(vector, np.float32)
    except sqlite3.Error as error:
        raise LibraryError(f"{database} cannot be read as rclip's database ({error}); give its db.sqlite3") from None


def clip_retrieval(folder: Path) -> Iterator[PathVector]:
    """Yield (path, vector) of every image in a folder that `clip-retrieval inference` wrote. Raises LibraryError."""
    parts = sorted((folder / "img_emb").glob("img_emb_*.npy"))
    if not parts:
        raise LibraryError(f"{folder} holds no img_emb/img_emb_*.npy; give the output folder of clip-retrieval inference")
    for part in parts:
        table = folder / "metadata" / part.with_suffix(".parquet").name.replace("img_emb", "metadata")
        try:
            vectors = np.load(part, mmap_mode="r", allow_pickle=False)
            paths = read_parquet_column(table, "image_path")
            if len(paths) != len(vectors):
                raise ValueError(f"{len(vectors)} vectors and {len(paths)} paths")
        except (OSError, ValueError, KeyError) as error:
            raise LibraryError(f"{part} and {table} cannot be read ({error}); write them again with clip-retrieval") from None
        yield from zip(paths, (np.asarray(vector, np.float32) for vector in vectors))


READERS = {"rclip": rclip, "clip-retrieval": clip_retrieval}


class ImportedVectors:
    """A FileEncoder that gives files the vectors that they have already."""

    def __init__(self, vectors: dict[str, np.ndarray]):
        self.vectors = vectors

    def files(self, files: Iterable[File], seen: set[str]) -> Iterator[list[Embedded | Skipped]]:
        """Return files with their imported vectors, one at a time; images are not decoded."""
        for file in files:
            try:
                data = Path(file.path).read_bytes()
                z = self.vectors[file.path] / np.linalg.norm(self.vectors[file.path])
                encoded = EncodedSegment(z, size=image_media.size_of(data))
                yield [Embedded(file, content_hash(data), (encoded,), describe(Path(file.path), file.kind, data))]
            except UnreadableMedia as error:
                yield [Skipped(file, error.reason)]
            except OSError as error:
                yield [Skipped(file, f"it cannot be read ({error.strerror}); check the disk")]


def import_vectors(library: Library, vectors: Iterable[PathVector], progress: Progress | None = None) -> Report:
    """Index the files that another program has vectors of, with those vectors.

    Raises WrongSpace where they are not of the library's space, LibraryError, LibraryBusy.
    """
    present = {os.path.abspath(path): vector for path, vector in vectors if Path(path).is_file()}
    good = {path: vector for path, vector in present.items() if 0 < np.linalg.norm(vector) < np.inf}  # NaN is neither
    if not good:
        raise LibraryError("none of its pictures is where it was, with a vector; index their folder instead: samespace index DIR")
    _check_space(library, good)
    report = library.add(good, progress=progress, encoder=ImportedVectors(good))
    report.skipped += [
        (path, "its vector is zero or not finite; index its folder") for path in sorted(present.keys() - good.keys())
    ]
    return report


def _check_space(library: Library, vectors: dict[str, np.ndarray]) -> None:
    """Raises WrongSpace where vectors are not what the library's space makes of the same files."""
    space, dims = library.space, {len(vector) for vector in vectors.values()}
    if dims != {space.dim}:
        lengths = " or ".join(map(str, sorted(dims)))
        raise WrongSpace(
            f"its vectors have {lengths} numbers, those of {space.handle} {space.dim}; name their checkpoint with --space"
        )
    cosines = []
    for path in list(vectors)[:: max(1, len(vectors) // COMPARED)][:BATCH]:
        with contextlib.suppress(UnreadableMedia):
            cosines.append(float(space.image([path])[0] @ vectors[path] / np.linalg.norm(vectors[path])))
    if cosines and np.median(cosines) < MIN_COSINE:
        raise WrongSpace(
            f"its vectors are not those of {space.handle} (cosine {np.median(cosines):.2f} on the same files); name their checkpoint "
            "with --space"
        )
