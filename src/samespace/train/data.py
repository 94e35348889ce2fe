"""Sources -> batches: mixed by weight, decoded ahead in threads, and the same again after a resume.

What is drawn depends on the seed and on how many items were drawn before, on nothing else. So a checkpoint keeps a few
counts, and a resumed run sees the batches that the straight one would have seen.
"""

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..core.config import Prep
from ..core.errors import CardError, UnreadableMedia, error_summary
from ..core.machine import usable_cpus
from ..evaluate.retrieval import folded
from ..media import image as image_media
from ..preprocess.pixels import square
from ..preprocess.tokens import Words
from .augment import AUGMENTS
from .config import Source
from .sources import Item, Listed, Sharded, open_source

MAX_BAD = 0.01
"""Share of samples that may be unreadable before a run stops."""
ENOUGH = 1000
"""Samples to have looked at before that share is judged, unless as many different ones are bad as may be of these."""
AHEAD = 128
"""Samples being read or waiting, for each thread."""


@dataclass(frozen=True)
class Sample:
    """One pair, drawn."""

    name: str
    pixels: np.ndarray
    """uint8 (S, S, 3)"""
    caption: str
    """Without its template: equal captions are right for each other's pictures."""
    text: str


@dataclass
class Batch:
    """Pairs, ready for the towers; row i of each belongs together."""

    pixels: Tensor
    """uint8 (B, S, S, 3)"""
    ids: Tensor
    """int64 (B, T)"""
    group: Tensor
    """int64 (B,): equal numbers, equal captions."""
    captions: list[str]
    """As drawn."""
    names: list[str]
    """Of the pictures, for reports."""

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, start: int, stop: int) -> "Batch":
        part = slice(start, stop)
        return Batch(self.pixels[part], self.ids[part], self.group[part], self.captions[part], self.names[part])


@dataclass
class Bad:
    """Samples that could not be used, and of how many."""

    looked: int = 0
    names: dict[str, str] = field(default_factory=dict)
    """Name → why."""
    count: int = 0
    """With repetition: a bad sample comes again in every epoch."""

    def note(self, name: str, reason: str) -> None:
        """Name a sample and count it; raises CardError when more than one in a hundred is bad: of many that were looked at, or
        with as many different ones already."""
        self.names[name] = reason
        self.count += 1
        judged = self.looked >= ENOUGH or len(self.names) > MAX_BAD * ENOUGH
        if judged and self.count > MAX_BAD * self.looked:
            some = "; ".join(f"{n}: {r}" for n, r in list(self.names.items())[-3:])
            raise CardError(f"{self.count} of {self.looked} samples cannot be used, more than 1%; mend the data ({some})")


class Mixture:
    """An endless stream of items from several sources, which can be set to any point of it."""

    def __init__(
        self, sources: tuple[Source, ...], seed: int, rank: int = 0, world: int = 1,
        opener: Callable[[Source], Listed | Sharded] = open_source,
    ):  # fmt: skip
        self.opened = [opener(s) for s in sources]
        self.chances = np.array([s.weight for s in sources]) / sum(s.weight for s in sources)
        self.sources, self.seed, self.rank, self.world = sources, seed, rank, world

    @property
    def names(self) -> list[str]:
        """Of the sources, without their folders, which may have moved."""
        return [source.path.rstrip("/").rsplit("/", 1)[-1] for source in self.sources]

    def start(self, drawn: int, places: list[list[int]], names: list[str] | None = None) -> None:
        """Go to where `drawn` items have been drawn, and each source is at (epoch, items of it). Raises CardError where these
        were other sources."""
        if names not in (None, self.names):
            raise CardError(f"the run began with {', '.join(names)}; give it the same sources, or name another folder: out=…")
        self.drawn, self.places = drawn, [list(place) for place in places] or [[0, 0] for _ in self.sources]
        self.streams = [self.stream(i) for i in range(len(self.sources))]

    def stream(self, i: int) -> Iterator[Item]:
        """Source i from its place on, epoch after epoch."""
        first, skipped = self.places[i]
        for epoch in count(first):
            self.places[i] = [epoch, skipped if epoch == first else 0]
            rng = np.random.default_rng([self.seed, i, epoch])
            empty = True
            for item in islice(self.opened[i].epoch(rng, self.rank, self.world), self.places[i][1], None):
                self.places[i][1] += 1
                empty = False
                yield item
            if empty and epoch > first:
                raise CardError(f"{self.sources[i].path} holds no pairs for process {self.rank}; give more")

    def __iter__(self) -> Iterator[tuple[int, Source, Item]]:
        """(number of the draw, source, item)"""
        while True:
            i = np.random.default_rng([self.seed, self.rank, self.drawn]).choice(len(self.sources), p=self.chances)
            self.drawn += 1
            yield self.drawn, self.sources[i], next(self.streams[i])


class Loader:
    """Batches of a mixture, decoded ahead."""

    def __init__(self, mixture: Mixture, words: Words, prep: Prep, batch: int, augment: str, threads: int):
        self.mixture, self.words, self.prep, self.batch = mixture, words, prep, batch
        self.view, self.threads, self.bad = AUGMENTS[augment], threads, Bad()
        self.place: dict[str, Any] = {"drawn": 0, "places": []}

    def load(self, drawn: int, source: Source, item: Item) -> Sample | str:
        """One sample, or why not. Runs in a thread."""
        rng = np.random.default_rng([self.mixture.seed, self.mixture.rank, drawn, 1])
        try:
            picture, captions = read_item(item, self.prep.size)
        except UnreadableMedia as error:
            return error.reason
        caption = captions[rng.integers(len(captions))]
        template = source.templates[rng.integers(len(source.templates))]
        return Sample(item.name, self.view(picture, rng, self.prep), caption, template.replace("{}", caption))

    def __iter__(self) -> Iterator[Batch]:
        """Endless batches; after each, `place` says where the next begins."""
        self.mixture.start(**self.place)
        pool, ahead, good = ThreadPoolExecutor(self.threads), deque(), []
        stream, most = iter(self.mixture), min(2 * self.batch, AHEAD * self.threads)
        try:
            while True:
                while len(ahead) < most:
                    drawn, source, item = next(stream)
                    places = [list(p) for p in self.mixture.places]
                    place = {"drawn": drawn, "places": places, "names": self.mixture.names}
                    ahead.append((item.name, place, pool.submit(self.load, drawn, source, item)))
                name, place, future = ahead.popleft()
                loaded = future.result()
                self.bad.looked += 1
                if isinstance(loaded, str):
                    self.bad.note(name, loaded)
                    continue
                good.append(loaded)
                if len(good) == self.batch:
                    self.place, batch, good = place, batch_of(good, self.words), []
                    yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def read_item(item: Item, size: int) -> tuple[Image.Image, tuple[str, ...]]:
    """An item's picture, decoded, and its captions. Raises UnreadableMedia, whatever is wrong."""
    try:
        data, captions = item.load()
        if not captions:
            raise UnreadableMedia("it has no caption")
        return image_media.read(Path(item.name), data, size)[0], captions
    except UnreadableMedia:
        raise
    except Exception as error:  # storage and readers fail in every way there is, and one bad sample must not stop a run
        raise UnreadableMedia(f"it cannot be read ({error_summary(error)})") from None


def batch_of(samples: list[Sample], words: Words) -> Batch:
    texts = [s.text for s in samples]
    pixels, ids = np.stack([s.pixels for s in samples]), words.ids(texts)
    group = groups_of([s.caption for s in samples])
    return Batch(torch.from_numpy(pixels), torch.from_numpy(ids), group, texts, [s.name for s in samples])


def groups_of(captions: tuple[str, ...] | list[str]) -> Tensor:
    """A number for each caption, equal where captions are: int64 (B,), the same on every machine."""
    digests = [hashlib.blake2b(folded(c).encode("utf-8", "replace"), digest_size=8).digest() for c in captions]
    return torch.tensor([int.from_bytes(d, "big", signed=True) for d in digests])


def read_pairs(sources: tuple[Source, ...], prep: Prep, bad: Bad, threads: int = 0) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """All pairs of sources, as they are searched: uint8 (B, S, S, 3), and each picture's captions.

    The pictures lie in a file without a name, of which the system keeps in memory what fits.
    """
    captions, threads = [], threads or usable_cpus()

    def load(job: tuple[Source, Item]) -> tuple[str, np.ndarray | None, tuple[str, ...]]:
        source, item = job
        try:
            picture, said = read_item(item, prep.size)
        except UnreadableMedia as error:
            return item.name, None, (error.reason,)
        return item.name, square(picture, prep), tuple(source.templates[0].replace("{}", c) for c in said)

    jobs = ((source, item) for source in sources for item in open_source(source).plain())
    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(threads) as pool:
        while some := list(islice(jobs, AHEAD * threads)):
            for name, pixels, said in pool.map(load, some):
                bad.looked += 1
                if pixels is None:
                    bad.note(name, said[0])
                    continue
                file.write(pixels.tobytes())
                captions.append(said)
        if not captions:
            raise CardError("the pairs to evaluate on cannot be read; check the paths of val")
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=(len(captions), prep.size, prep.size, 3)), captions
