"""Vectors that another program made, taken over without embedding anything again: rclip's database, clip-retrieval's folder.

They must be of the very checkpoint of the space in use: their length is checked, and a few files are embedded and compared.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..core.errors import LibraryError, UnreadableMedia, WrongSpace
from ..core.files import content_hash
from ..media import image as image_media
from ..spaces.space import BATCH
from .indexing.embed import Embedded, Embedder, Skipped
from .indexing.scan import File
from .indexing.segments import Segment
from .library import Library
from .results import Progress, Report
from .store.exact_index import column_of

COMPARED, ALIKE = 8, 0.98
"""Files that are embedded again, and the least cosine of their vectors to those taken over."""


def rclip(database: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(path, vector) of every picture that rclip holds and that has not changed since. Raises LibraryError."""
    if not database.is_file():
        raise LibraryError(f"{database} is no file; rclip keeps its database at ~/.local/share/rclip/db.sqlite3")
    try:
        with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            rows = opened.execute("SELECT filepath, vector, size, modified_at FROM images WHERE deleted IS NULL")
            for path, vector, *seen in rows:
                with contextlib.suppress(OSError):  # what is gone has no size
                    now = os.stat(path)
                    if [now.st_size, now.st_mtime] == seen:
                        yield path, np.frombuffer(vector, np.float32)
    except sqlite3.Error as error:
        raise LibraryError(f"{database} cannot be read as rclip's database ({error}); give its db.sqlite3") from None


def clip_retrieval(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(path, vector) of every picture in a folder that `clip-retrieval inference` wrote. Raises LibraryError."""
    parts = sorted((folder / "img_emb").glob("img_emb_*.npy"))
    if not parts:
        raise LibraryError(f"{folder} holds no img_emb/img_emb_*.npy; give the output folder of clip-retrieval inference")
    for part in parts:
        table = folder / "metadata" / part.with_suffix(".parquet").name.replace("img_emb", "metadata")
        try:
            vectors = np.load(part, mmap_mode="r", allow_pickle=False)
            paths = column_of(table, "image_path")
            if len(paths) != len(vectors):
                raise ValueError(f"{len(vectors)} vectors and {len(paths)} paths")
        except (OSError, ValueError, KeyError) as error:
            raise LibraryError(f"{part} and {table} cannot be read ({error}); write them again with clip-retrieval") from None
        yield from zip(paths, (np.asarray(vector, np.float32) for vector in vectors))


READERS = {"rclip": rclip, "clip-retrieval": clip_retrieval}


class Taken:
    """Stands where an Embedder stands, and gives files the vectors that they have already."""

    def __init__(self, embedder: Embedder, vectors: dict[str, np.ndarray]):
        self.embedder, self.vectors = embedder, vectors

    def files(self, files: Iterable[File], seen: set[str]) -> Iterator[list[Embedded | Skipped]]:
        for file in files:
            try:
                data = Path(file.path).read_bytes()
                z = self.vectors[file.path] / np.linalg.norm(self.vectors[file.path])
                yield [Embedded(file, content_hash(data), (Segment(image_media.header(data), z),))]
            except UnreadableMedia as error:
                yield [Skipped(file, error.reason)]
            except OSError as error:
                yield [Skipped(file, f"it cannot be read ({error.strerror}); check the disk")]


def take_over(library: Library, vectors: Iterable[tuple[str, np.ndarray]], progress: Progress | None = None) -> Report:
    """Index the files that another program has vectors of, with those vectors.

    Raises WrongSpace where they are not of the library's space, LibraryError, LibraryBusy.
    """
    there = {os.path.abspath(path): vector for path, vector in vectors if Path(path).is_file()}
    good = {path: vector for path, vector in there.items() if 0 < np.linalg.norm(vector) < np.inf}  # what is NaN is not
    if not good:
        raise LibraryError("none of its pictures is where it was, with a vector; index their folder instead: samespace index DIR")
    check(library, good)
    usual, library.reader = library.reader, Taken(library.embedder, good)
    try:
        report = library.add(good, progress=progress)
    finally:
        library.reader = usual
    report.skipped += [(path, "its vector says nothing; index its folder") for path in sorted(there.keys() - good.keys())]
    return report


def check(library: Library, vectors: dict[str, np.ndarray]) -> None:
    """Raises WrongSpace where vectors are not what the space makes of the same files."""
    space, dims = library.space, {len(vector) for vector in vectors.values()}
    if dims != {space.dim}:
        told = " or ".join(map(str, sorted(dims)))
        raise WrongSpace(
            f"its vectors have {told} numbers, those of {space.handle} {space.dim}; name their checkpoint with --space"
        )
    cosines = []
    for path in list(vectors)[:: max(1, len(vectors) // COMPARED)][:BATCH]:
        with contextlib.suppress(UnreadableMedia):
            cosines.append(float(space.image([path])[0] @ vectors[path] / np.linalg.norm(vectors[path])))
    if cosines and np.median(cosines) < ALIKE:
        raise WrongSpace(
            f"its vectors are not those of {space.handle} (cosine {np.median(cosines):.2f} on the same files); name their checkpoint "
            "with --space"
        )
