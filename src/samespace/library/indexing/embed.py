"""Files or a query → z. Files are read and decoded ahead in threads while the tower works."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from threading import Event

import numpy as np

from ...core.errors import QueryError, SamespaceError, UnreadableMedia, as_utf8, error_summary
from ...core.files import content_hash, file_hash
from ...core.machine import usable_cpus
from ...core.paths import expanded
from ...media import image as image_media
from ...media.kinds import kind_of
from ...preprocess.pixels import square
from ...spaces.space import BATCH, Space
from .scan import File
from .segments import LONG, Segment, segments_of, whole

SIGN = re.compile(r"(?:(?<=\s)|^)([+-])(?=\s|$)")
WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+):(.+)", re.S)
MOST_TERMS = 32
"""Of a query; each is encoded for itself."""
AHEAD = 3 * BATCH
"""Files being read or waiting for the tower; bounds memory whatever the folder's size."""

WHILE = 2.0
"""Seconds after which files go on, however few they are."""

LARGEST = {"image": image_media.MAX_BYTES, "document": 2_000_000_000}
"""Bytes of a file; films and sound may have any length."""
NOUNS = {"image": "a picture", "document": "a document"}


@dataclass(frozen=True)
class Embedded:
    """One file's segments; none where equal bytes have been seen and their vectors serve."""

    file: File
    hash: str
    """blake2b of the content, 32 hex digits."""
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """One file that could not be read, and why."""

    file: File
    reason: str
    hash: str = ""
    """blake2b of the content, where that much could be read."""


Loaded = tuple[Embedded | Skipped, np.ndarray | None]
"""A file, and its square where it is a picture that is yet to be encoded."""


@dataclass(frozen=True)
class Term:
    """One part of a query: weight × (words or a file)."""

    weight: float
    text: str
    path: Path | None


@dataclass(frozen=True)
class Query:
    """A parsed query and its vector."""

    terms: list[Term]
    z: np.ndarray
    """float32 (dim,), unit length."""


class Embedder:
    """Turns files and queries into vectors of one space."""

    def __init__(self, space: Space):
        self.space = space

    def files(self, files: Iterable[File], seen: set[str]) -> Iterator[list[Embedded | Skipped]]:
        """Read, decode and encode files, in order, a batch at a time.

        `seen` holds the content hashes that have vectors already; new ones are added. Equal bytes are decoded once.
        """
        for batch in gathered(read_ahead(files, lambda file, left: self.load(file, seen, left))):
            fresh = [i for i, (outcome, pixels) in enumerate(batch) if pixels is not None]
            vectors = self.space.pixels(np.stack([batch[i][1] for i in fresh])) if fresh else []
            outcomes = [outcome for outcome, pixels in batch]
            for i, z in zip(fresh, vectors):
                done = outcomes[i]
                outcomes[i] = replace(done, segments=(replace(done.segments[0], z=z),))
            yield outcomes

    def load(self, file: File, seen: set[str], left: Event) -> Loaded:
        """One file read and, if a picture, made into the tower's square, unless its bytes are known. Runs in a thread.

        Other kinds are encoded here, piece by piece, unless everybody has `left`.
        """
        prep, path, limit = self.space.config.prep, Path(file.path), LARGEST.get(file.kind)
        if not file.size:
            return Skipped(file, "the file is empty", content_hash(b"")), None
        if limit and file.size > limit:
            return Skipped(file, f"{file.size / 1e9:.1f} GB is too large for {NOUNS[file.kind]}; move it elsewhere"), None
        digest = ""
        try:
            data = path.read_bytes() if file.kind == "image" else b""
            digest = content_hash(data) if file.kind == "image" else file_hash(path)
            if digest in seen:
                return Embedded(file, digest), None
            seen.add(digest)
            if file.kind != "image":
                pieces = takewhile(lambda piece: not left.is_set(), LONG[file.kind](path, self.space))
                return Embedded(file, digest, tuple(pieces)), None
            picture, facts = image_media.read(path, data, prep.size)
            return Embedded(file, digest, (Segment(facts, None),)), square(picture, prep)
        except UnreadableMedia as error:
            return Skipped(file, error.reason, digest), None
        except FileNotFoundError:
            return Skipped(file, "it vanished while indexing; index again if it comes back"), None
        except PermissionError:
            return Skipped(file, "permission denied; allow reading it, then index again"), None
        except (OSError, MemoryError) as error:
            return Skipped(file, f"it cannot be read ({error_summary(error)}); check the disk"), None
        except SamespaceError:  # of the space, and so of every file
            raise
        except Exception as error:  # decoders fail in every way there is, and one bad file must not stop a run
            return Skipped(file, f"it is broken ({error_summary(error)}); open it to check", digest), None

    def query(self, text: str, files: bool = True, also: Sequence[tuple[float, np.ndarray]] = ()) -> Query:
        """Words, a file, or algebra such as `2:golden retriever + ./pool.jpg - cat` → a vector.

        Terms are joined by ` + ` and ` - `; a number and a colon before a term is its weight. A term that names an
        existing file is a picture, anything else is words; where not `files`, everything is words. `also` are weighted
        vectors beside the text, which may then be empty. Raises QueryError, UnreadableMedia.
        """
        terms = parse(text, files) if text.strip() or not also else []
        z = sum(term.weight * self.encode(term) for term in terms) + sum(weight * vector for weight, vector in also)
        length = float(np.linalg.norm(z))
        if length < 1e-6:
            raise QueryError(f"the terms of {text!r} cancel out; change a weight")
        return Query(terms, z / length)

    def encode(self, term: Term) -> np.ndarray:
        """One term → float32 (dim,). Raises UnreadableMedia."""
        if not term.path:
            return self.space.text([term.text])[0]
        kind = kind_of(term.path)
        return whole(segments_of(term.path, kind, self.space)) if kind in LONG else self.space.image([term.path])[0]


def parse(text: str, files: bool = True) -> list[Term]:
    """A query's terms. Raises QueryError."""
    if files and names_file(text):
        return [term_of(text)]
    first, *rest = SIGN.split(text)
    signed = [("+", first)] if first.strip() or not rest else []
    signed += zip(rest[0::2], rest[1::2])
    if len(signed) > MOST_TERMS:
        raise QueryError(f"the query has {len(signed)} terms; {MOST_TERMS} at most are added up")
    if not all(body.strip() for _, body in signed):
        raise QueryError('the query has an empty term; write words or a file, such as: samespace search "a dog + snow"')
    return [term_of(body.strip(), sign, files=files) for sign, body in signed]


def unsigned(question: str) -> str:
    """Words without the signs that algebra reads: "2 - 1" in a question takes nothing away."""
    return " ".join(SIGN.sub(" ", question).split())


def term_of(body: str, sign: str = "+", weighted: bool = True, files: bool = True) -> Term:
    """One term: `2:./pool.jpg`, `a cat`; where not `weighted`, a number and a colon are words."""
    weight = 1.0
    if weighted and not (files and names_file(body)) and (match := WEIGHT.fullmatch(body)):
        weight, body = float(match[1]), match[2].strip()
    path = expanded(body) if files and names_file(body) else None
    if files and not path and means_file(body):
        raise QueryError(f"{body!r} is no file; check the path, or write words without a slash in front")
    return Term(weight if sign == "+" else -weight, body if path else as_utf8(body), path)


def means_file(text: str) -> bool:
    """Whether words can only be a path: they begin like one, or are one word that ends as the names of files do."""
    begins = text.startswith((os.sep, f".{os.sep}", f"..{os.sep}", f"~{os.sep}"))
    return begins or (bool(kind_of(Path(text))) and not re.search(r"\s", text)) or (os.sep in text and os.path.isdir(text))


def names_file(text: str) -> bool:
    try:
        return len(text) < 4096 and os.path.isfile(expanded(text))
    except ValueError:  # a NUL character
        return False


def gathered(loads: Iterable[Loaded]) -> Iterator[list[Loaded]]:
    """As many as the tower takes at once, or what has come in a while: films take long, and what is done is to be kept."""
    batch, due = [], time.monotonic() + WHILE
    for load in loads:
        batch.append(load)
        if len(batch) == BATCH or time.monotonic() > due:
            yield batch
            batch, due = [], time.monotonic() + WHILE
    if batch:
        yield batch


def read_ahead(files: Iterable[File], load: Callable[[File, Event], Loaded]) -> Iterator[Loaded]:
    """load(file, left) for each file, in order, on threads, at most AHEAD at a time; `left` is set when nobody waits any more."""
    left = Event()
    with ThreadPoolExecutor(usable_cpus()) as pool:
        waiting: list[Future] = []
        files = iter(files)
        try:
            waiting = [pool.submit(load, f, left) for f in islice(files, AHEAD)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(load, f, left) for f in islice(files, 1)]
        finally:
            left.set()
            for future in waiting:
                future.cancel()
