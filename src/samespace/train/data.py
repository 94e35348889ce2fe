"""Sources → batches: mixed by weight, decoded ahead in threads, and the same again after a resume.

What is drawn depends only on the seed and on how many items were drawn before. So a checkpoint holds a few counts, and a
resumed run sees the batches that the uninterrupted one would have seen.
"""

import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..core.config import Prep
from ..core.errors import ConfigError, UnreadableMedia, error_summary
from ..core.machine import usable_cpus
from ..core.metrics import caption_key
from ..media import image as image_media
from ..preprocess.pixels import square
from ..preprocess.tokens import Words
from .augment import View
from .config import Source
from .sources import DataSource, Item, NamedItem, open_source

MAX_SKIPPED = 0.01
"""Share of samples that may be skipped before a run stops."""
MIN_SEEN = 1000
"""That share is judged once so many samples were seen, or once more different ones were skipped than it allows of these."""
PREFETCH = 128
"""Samples being decoded or waiting, per thread."""

ItemT = TypeVar("ItemT", bound=NamedItem)
BatchT_co = TypeVar("BatchT_co", covariant=True)
SampleT = TypeVar("SampleT")
SplittableT = TypeVar("SplittableT", bound="Splittable")


@dataclass(frozen=True)
class Sample:
    """One pair, ready for a batch."""

    name: str
    pixels: np.ndarray
    """uint8 (S, S, 3), or whatever the loader's view makes"""
    caption: str
    """Without its template: pictures with equal captions are positives of each other."""
    text: str
    """The caption in its template."""


@dataclass
class Batch:
    """Pairs as the towers take them; row i of each field belongs to pair i."""

    pixels: Tensor
    """uint8 (B, S, S, 3)"""
    ids: Tensor
    """int64 (B, T)"""
    group: Tensor
    """int64 (B,): equal numbers for equal captions."""
    captions: list[str]
    """In their templates."""
    names: list[str]
    """Of the pictures, for reports."""

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, start: int, stop: int) -> "Batch":
        """Return pairs start to stop."""
        part = slice(start, stop)
        return Batch(self.pixels[part], self.ids[part], self.group[part], self.captions[part], self.names[part])


class Splittable(Protocol):
    """A batch that can be cut into smaller ones."""

    def __len__(self) -> int: ...

    def rows(self, start: int, stop: int) -> Self:
        """Return rows start to stop."""
        ...


def split(batch: SplittableT, size: int) -> Iterator[SplittableT]:
    """Yield a batch in parts of `size` rows; 0 for one part."""
    step = size or len(batch)
    for start in range(0, len(batch), step):
        yield batch.rows(start, min(start + step, len(batch)))


@dataclass
class SkippedSamples:
    """Samples that could not be used."""

    seen: int = 0
    """Samples looked at, skipped ones included."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Name → reason."""
    count: int = 0
    """Samples skipped, with repetition: one that cannot be read is skipped in every epoch."""

    def add(self, name: str, reason: str) -> None:
        """Record a skipped sample. Raises ConfigError where more than MAX_SKIPPED of the samples are skipped."""
        self.reasons[name] = reason
        self.count += 1
        enough = self.seen >= MIN_SEEN or len(self.reasons) > MAX_SKIPPED * MIN_SEEN
        if enough and self.count > MAX_SKIPPED * self.seen:
            last = "; ".join(f"{name}: {reason}" for name, reason in list(self.reasons.items())[-3:])
            raise ConfigError(f"{self.count} of {self.seen} samples cannot be used, more than 1%; correct the data ({last})")


@dataclass(frozen=True)
class Position:
    """Where a loader is in its data; a checkpoint holds it."""

    drawn: int = 0
    """Items drawn from the mixture."""
    sources: tuple[tuple[int, int], ...] = ()
    """For each source, its epoch and the items drawn in it; empty at the very beginning."""
    names: tuple[str, ...] = ()
    """Names of the sources."""
    batches: int = 0
    """Batches already yielded of the items that follow (conversations are batched a window at a time)."""


class BatchLoader(Protocol[BatchT_co]):
    """What a trainer needs of a loader."""

    position: Position
    """Where the next batch begins; set it to resume."""
    skipped: SkippedSamples

    def __iter__(self) -> Iterator[BatchT_co]:
        """Yield batches without end, from `position` on."""
        ...


@dataclass
class SeededSteps:
    """A loader of recipes that sample for themselves: a batch is a random generator, seeded by the run's seed and the number of the step."""

    seed: int = 0
    position: Position = field(default_factory=Position)
    skipped: SkippedSamples = field(default_factory=SkippedSamples)

    def __iter__(self) -> Iterator[torch.Generator]:
        """Yield generators without end, from `position` on."""
        while True:
            self.position = Position(drawn=self.position.drawn + 1)
            yield torch.Generator().manual_seed((self.seed << 32) + self.position.drawn)


class Mixture(Generic[ItemT]):
    """An endless stream of items from several sources, which can start at any position."""

    def __init__(
        self, sources: Sequence[Source], opener: Callable[[Source], DataSource[ItemT]], seed: int, rank: int = 0, world: int = 1
    ):
        self.opened = [opener(source) for source in sources]
        self.probabilities = np.array([s.weight for s in sources]) / sum(s.weight for s in sources)
        self.sources, self.seed, self.rank, self.world = sources, seed, rank, world
        self.names = tuple(source.path.rstrip("/").rsplit("/", 1)[-1] for source in sources)  # a folder may have moved
        self.start(Position())

    def start(self, position: Position) -> None:
        """Go to a position. Raises ConfigError where it is one in other sources."""
        if position.names not in ((), self.names):
            names = ", ".join(position.names)
            raise ConfigError(f"the run began with {names}; give it the same sources, or name another folder: out=…")
        self.drawn = position.drawn
        self.progress = list(position.sources) or [(0, 0) for _ in self.sources]
        self.streams = [self._stream(i) for i in range(len(self.sources))]

    @property
    def position(self) -> Position:
        """Where the next item begins."""
        return Position(self.drawn, tuple(self.progress), self.names)

    def _stream(self, i: int) -> Iterator[ItemT]:
        """Yield source i's items from its place on, epoch after epoch."""
        first_epoch, offset = self.progress[i]
        for epoch in count(first_epoch):
            drawn = offset if epoch == first_epoch else 0
            self.progress[i] = epoch, drawn
            rng = np.random.default_rng([self.seed, i, epoch])
            empty = True
            for item in islice(self.opened[i].epoch(rng, self.rank, self.world), drawn, None):
                drawn += 1
                self.progress[i] = epoch, drawn
                empty = False
                yield item
            if empty and epoch > first_epoch:
                raise ConfigError(f"{self.sources[i].path} holds no pairs for process {self.rank}; give more")

    def __iter__(self) -> Iterator[tuple[int, Source, ItemT]]:
        """Yield (number of the draw, source, item)."""
        while True:
            i = np.random.default_rng([self.seed, self.rank, self.drawn]).choice(len(self.sources), p=self.probabilities)
            self.drawn += 1
            yield self.drawn, self.sources[i], next(self.streams[i])


class PrefetchLoader(ABC, Generic[ItemT, SampleT, BatchT_co]):
    """Batches of items from a mixture, read ahead in threads."""

    def __init__(self, mixture: Mixture[ItemT], batch: int, threads: int):
        self.mixture, self.batch, self.threads = mixture, batch, threads
        self.skipped, self.position = SkippedSamples(), Position()

    @abstractmethod
    def load(self, drawn: int, source: Source, item: ItemT) -> SampleT | str:
        """Return one sample, or why it is skipped. Runs in a thread."""

    @abstractmethod
    def collate(self, samples: list[SampleT]) -> BatchT_co:
        """Return samples as one batch."""

    def __iter__(self) -> Iterator[BatchT_co]:
        """Yield batches without end; after each, `position` is where the next begins."""
        self.mixture.start(self.position)
        stream, capacity = iter(self.mixture), min(2 * self.batch, PREFETCH * self.threads)
        pool = ThreadPoolExecutor(self.threads)
        pending: deque[tuple[str, Position, Future[SampleT | str]]] = deque()
        samples: list[SampleT] = []
        try:
            while True:
                while len(pending) < capacity:
                    drawn, source, item = next(stream)
                    pending.append((item.name, self.mixture.position, pool.submit(self.load, drawn, source, item)))
                name, position, future = pending.popleft()
                loaded = future.result()
                self.skipped.seen += 1
                if isinstance(loaded, str):
                    self.skipped.add(name, loaded)
                    continue
                samples.append(loaded)
                if len(samples) == self.batch:
                    self.position, batch, samples = position, self.collate(samples), []
                    yield batch
        finally:
            pool.shutdown(cancel_futures=True)


class Loader(PrefetchLoader[Item, Sample, Batch]):
    """Batches of pairs from a mixture, decoded ahead."""

    def __init__(self, mixture: Mixture[Item], words: Words, prep: Prep, batch: int, view: View, threads: int):
        super().__init__(mixture, batch, threads)
        self.words, self.prep, self.view = words, prep, view

    def load(self, drawn: int, source: Source, item: Item) -> Sample | str:
        """Return one sample, or why it is skipped. Runs in a thread."""
        rng = np.random.default_rng([self.mixture.seed, self.mixture.rank, drawn, 1])
        try:
            picture, captions = read_item(item, self.prep.resized_side)
            pixels = self.view(picture, rng, self.prep)
        except UnreadableMedia as error:
            return error.reason
        caption = captions[rng.integers(len(captions))]
        template = source.templates[rng.integers(len(source.templates))]
        return Sample(item.name, pixels, caption, template.replace("{}", caption))

    def collate(self, samples: list[Sample]) -> Batch:
        """Return samples as one batch."""
        texts = [sample.text for sample in samples]
        pixels, ids = np.stack([sample.pixels for sample in samples]), self.words.ids(texts)
        group = caption_groups([sample.caption for sample in samples])
        return Batch(torch.from_numpy(pixels), torch.from_numpy(ids), group, texts, [sample.name for sample in samples])


def read_item(item: Item, size: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Return an item's decoded picture and its captions. Raises UnreadableMedia, whatever is wrong."""
    try:
        data, captions = item.load()
        if not captions:
            raise UnreadableMedia("it has no caption")
        return image_media.read(Path(item.name), data, size)[0], captions
    except UnreadableMedia:
        raise
    except Exception as error:  # storage and readers raise many kinds of exceptions, and one bad sample must not stop a run
        raise UnreadableMedia(f"it cannot be read ({error_summary(error)})") from None


def caption_groups(captions: Sequence[str]) -> Tensor:
    """Return a number for each caption, equal for equal captions and the same on every machine: int64 (B,)."""
    digests = [hashlib.blake2b(caption_key(c).encode("utf-8", "replace"), digest_size=8).digest() for c in captions]
    return torch.tensor([int.from_bytes(d, "big", signed=True) for d in digests])


def read_pairs(
    sources: Sequence[Source], prep: Prep, skipped: SkippedSamples, threads: int = 0
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Return all pairs of sources without augmentation: pictures, uint8 (B, S, S, 3), and each picture's captions.

    The pictures are in an unlinked temporary file, of which the system keeps in memory what fits. Raises ConfigError where no
    pair can be read, or too many are skipped.
    """
    threads = threads or usable_cpus()

    def load(job: tuple[Source, Item]) -> tuple[str, np.ndarray | None, tuple[str, ...]]:
        source, item = job
        try:
            picture, texts = read_item(item, prep.resized_side)
            pixels = square(picture, prep)
        except UnreadableMedia as error:
            return item.name, None, (error.reason,)
        return item.name, pixels, tuple(source.templates[0].replace("{}", text) for text in texts)

    captions: list[tuple[str, ...]] = []
    jobs = ((source, item) for source in sources for item in open_source(source).in_order())
    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(threads) as pool:
        while window := list(islice(jobs, PREFETCH * threads)):
            for name, pixels, texts in pool.map(load, window):
                skipped.seen += 1
                if pixels is None:
                    skipped.add(name, texts[0])
                    continue
                file.write(pixels.tobytes())
                captions.append(texts)
        if not captions:
            raise ConfigError("the pairs to evaluate on cannot be read; check the paths of val")
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=(len(captions), *prep.shape)), captions
