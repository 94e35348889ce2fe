"""The whole library in two dimensions: what is near in the space is near on the map.

Some of the files are laid out by t-SNE (van der Maaten & Hinton 2008, as openTSNE computes it), the others among them; what is indexed
later is placed at its nearest neighbours, and nothing that has a place moves. Groups are named by the words nearest to them.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import LibraryError, MissingExtra, MissingLibrary
from ...core.files import content_hash, write_atomically
from ...core.machine import usable_cpus
from ...core.paths import to_path
from ...spaces.space import Space
from ..store.lance import Store
from ..store.records import TEXT

WORDS = Path(__file__).with_name("map_words.txt")
"""What groups may be called."""
FITTED = 10_000
"""Most segments that are laid out together."""
DIMENSIONS, ITERATIONS = 50, 250
"""Principal components that are laid out, and steps after the early ones."""
SPREAD = 1e-4
"""Deviation of what is added to vectors, so that equal ones are not at one point."""
FEW = 8
"""Most segments of a file that are on the map: a film has a thousand shots."""
NEIGHBOURS = 10
"""Mapped segments that say where a new one goes."""
GROUPS = (12, 48, 192)
"""Named groups of the whole map, of its quarters, and nearer."""
LEAST_GROUP = 8
"""Segments of the smallest group, on average."""
MapProgress = Callable[[str], object]
"""It is told what is done now."""


@dataclass(frozen=True)
class Label:
    """A named group."""

    level: int
    """0 for the largest groups, which are seen from far; see GROUPS."""
    x: float
    """Of its middle."""
    y: float
    text: str
    count: int
    """Segments in it."""


@dataclass(frozen=True)
class Layout:
    """A map."""

    ids: np.ndarray
    """Of segments: bytes (N,), 32 hex digits each."""
    xy: np.ndarray
    """float32 (N, 2): across and down, 0 to 1."""
    labels: tuple[Label, ...] = ()
    made: str = ""
    """Hex digits, others for each time that all was laid out anew; none of a map that an older version made."""

    def inside(self, polygon: Sequence[tuple[float, float]]) -> list[str]:
        """Return the ids of the segments inside a polygon, by the even-odd rule."""
        x, y = self.xy.T
        odd = np.zeros(len(x), bool)
        for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], *polygon[:1]]):
            if y0 != y1:
                odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        return [id.decode() for id in self.ids[odd]]


class SpaceMap:
    """The map of one library, in one space."""

    def __init__(self, store: Store, space: Space):
        self._store, self._space = store, space
        self._last: tuple[tuple[str, int], Layout] | None = None  # the versions of the table and of the map, and the map

    @property
    def _path(self) -> Path:
        return self._store.location.folder / f"map-{self._space.fingerprint}.npz"

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self._path.exists()

    @property
    def version(self) -> tuple[str, int]:
        """What changes when the library does, or its map is made again."""
        return self._store.newest_version(), self._path.stat().st_mtime_ns if self.exists else 0

    def read(self) -> Layout:
        """Return the map of what is indexed now; what is new since it was made is placed on it. Raises MissingLibrary where there is none."""
        if self._last is None or self._last[0] != self.version:
            layout = self._with_all_segments(self._load())
            self._last = self.version, layout
        return self._last[1]

    def points_of(self, segments: Iterable[tuple[str, str, float]]) -> dict[str, str]:
        """Return segment → what shows it on the map: itself, or what of its file is nearest; those of which nothing is mapped are left out.

        segments: (id, path, page or seconds). Raises MissingLibrary where there is no map.
        """
        mapped = {id.decode() for id in self.read().ids.tolist()}
        asked = list(segments)
        points: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for other in self._store.of_files(self._space.fingerprint, {path for id, path, _ in asked if id not in mapped}):
            if other["id"] in mapped:
                points[to_path(other["path"])].append((other["page"] or other["start"] or 0.0, other["id"]))
        found = {id: id for id, _, _ in asked if id in mapped}
        for id, path, place in asked:
            if id not in found and points[path]:
                found[id] = min(points[path], key=lambda one: abs(one[0] - place))[1]
        return found

    def make(self, progress: MapProgress = lambda doing: None) -> Layout:
        """Lay the library out anew. Raises MissingLibrary where there is nothing, MissingExtra."""
        progress("reading vectors")
        ids, z = self._segments(self._wanted())
        if not len(ids):
            raise MissingLibrary("there is no picture and no sound to map; index some first: samespace index DIR")
        progress(f"laying out {len(ids):,} pictures and sounds")
        xy = laid_out(z)
        progress("naming groups")
        layout = Layout(ids, xy, self._named(xy, z), content_hash(xy.tobytes())[:8])
        self._save(layout)
        return layout

    def _with_all_segments(self, layout: Layout) -> Layout:
        """Return a map with what is new, and without what is gone; it is kept like that."""
        wanted = self._wanted()
        if set(wanted.tolist()) == set(layout.ids.tolist()):
            return layout
        ids, z = self._segments(wanted)
        row = {id: i for i, id in enumerate(layout.ids.tolist())}
        old = np.array([row.get(id, -1) for id in ids.tolist()], np.int64)
        xy = np.zeros((len(ids), 2), np.float32)
        xy[old >= 0] = layout.xy[old[old >= 0]]
        if (old < 0).any():
            anchors = (z[old >= 0], xy[old >= 0]) if (old >= 0).any() else (z[:1], np.full((1, 2), 0.5, np.float32))
            xy[old < 0] = place_among(z[old < 0], *anchors)
        layout = Layout(ids, xy, counted(layout.labels, xy), layout.made)
        self._save(layout)
        return layout

    def _wanted(self) -> np.ndarray:
        """Return the ids of what is on the map: bytes (N,)."""
        return mapped_ids(self._store.readable(self._space.fingerprint))

    def _segments(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of those of these segments that have a vector, and their vectors: float32 (N, E)."""
        ids, z = self._store.vectors(self._space.fingerprint)
        row = {id: i for i, id in enumerate(ids)}
        kept = [row[id] for id in (one.decode() for one in wanted.tolist()) if id in row]
        return np.array([ids[i].encode() for i in kept], "S32"), z[kept].astype(np.float32)

    def _named(self, xy: np.ndarray, z: np.ndarray) -> tuple[Label, ...]:
        """Return groups of the map, each named by the word that is nearer to it than to the rest of the library."""
        if not self._space.config.has_words:
            return ()
        from sklearn.cluster import KMeans

        words = [line for line in WORDS.read_text("utf-8").splitlines() if line]
        scores = z @ self._space.text(words).T  # (N, words)
        scores = (scores - scores.mean(axis=0)) / (scores.std(axis=0) + 1e-6)
        labels: list[Label] = []
        for level, most in enumerate(GROUPS):
            count = min(most, len(xy) // LEAST_GROUP)
            if count <= (GROUPS[level - 1] if level else 0):
                break
            groups = KMeans(count, n_init=1, random_state=0).fit(xy)
            means = np.stack([scores[groups.labels_ == group].mean(axis=0) for group in range(count)])
            sizes = np.bincount(groups.labels_, minlength=count)
            for group, word in best_names(means * np.sqrt(sizes)[:, None]):
                x, y = map(float, groups.cluster_centers_[group])
                labels.append(Label(level, x, y, words[word].removeprefix("a ").removeprefix("an "), int(sizes[group])))
        return tuple(labels)

    def _save(self, layout: Layout) -> None:
        labels = json.dumps([asdict(label) for label in layout.labels], ensure_ascii=False)
        arrays: dict[str, Any] = {"ids": layout.ids, "xy": layout.xy, "labels": np.array(labels), "made": np.array(layout.made)}
        write_atomically(self._path, lambda file: np.savez(file, allow_pickle=False, **arrays))

    def _load(self) -> Layout:
        """Raises MissingLibrary where there is no map."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                labels = tuple(Label(**one) for one in json.loads(str(file["labels"])))
                return Layout(file["ids"], file["xy"], labels, str(file["made"]) if "made" in file else "")
        except FileNotFoundError:
            raise MissingLibrary("there is no map of this library yet; make one with: samespace map") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LibraryError(f"{self._path} cannot be read ({error}); make it again with: samespace map --again") from None


def mapped_ids(table: Any) -> np.ndarray:
    """Return the ids of the segments of a library that are on its map: pictures and sounds, a few of each file: bytes (N,).

    table: a pyarrow.Table with the columns of a copy.
    """
    columns = (table[name].to_pylist() for name in ("id", "path", "modality", "ordinal"))
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for id, path, modality, ordinal in zip(*columns):
        if modality != TEXT and not ordinal:  # neither halves of pages nor parts of panoramas
            files[path, modality].append(id)
    kept = [ids if len(ids) <= FEW else [ids[i * len(ids) // FEW] for i in range(FEW)] for ids in files.values()]
    return np.array([id.encode() for ids in kept for id in ids], "S32")


def laid_out(z: np.ndarray) -> np.ndarray:
    """Return a place for each vector (N, E): float32 (N, 2), 0 to 1. Raises MissingExtra."""
    if len(z) < 4:
        return np.linspace([0.3, 0.5], [0.7, 0.5], len(z), dtype=np.float32)
    try:
        from openTSNE import TSNE
        from sklearn.decomposition import PCA
    except ImportError:
        raise MissingExtra("the map of the space", "map") from None
    rng = np.random.default_rng(0)
    z = z + rng.normal(0, SPREAD, z.shape).astype(np.float32)
    fitted = np.sort(rng.permutation(len(z))[:FITTED])
    reduction = PCA(min(DIMENSIONS, len(fitted) - 1, z.shape[1]), random_state=0).fit(z[fitted])
    reduced = reduction.transform(z)
    perplexity = min(30.0, max(1.0, (len(fitted) - 1) / 4))
    tsne = TSNE(perplexity=perplexity, n_iter=ITERATIONS, initialization="pca", random_state=0, n_jobs=usable_cpus())
    places = tsne.fit(reduced[fitted])
    xy = np.empty((len(z), 2))
    xy[fitted] = places
    others = np.setdiff1d(np.arange(len(z)), fitted)
    if len(others):
        partial = places.prepare_partial(reduced[others], initialization="median", k=25)
        xy[others] = partial.optimize(50)
    low, high = xy.min(axis=0), xy.max(axis=0)
    return np.asarray((xy - low) / np.maximum(high - low, 1e-9), np.float32)


def place_among(z: np.ndarray, mapped: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return a place for each new vector (n, E), among the mapped ones (N, E) at xy (N, 2): float32 (n, 2).

    It is the median of its nearest neighbours' places, and a little aside, so that nothing covers another.
    """
    places = np.empty((len(z), 2), np.float32)
    for i, one in enumerate(z):
        scores = mapped @ one
        near = np.argpartition(-scores, min(NEIGHBOURS, len(scores)) - 1)[:NEIGHBOURS]
        digest = hashlib.blake2b(one.tobytes(), digest_size=2).digest()
        aside = (np.array(list(digest), np.float32) / 255 - 0.5) * 0.004
        places[i] = np.clip(np.median(xy[near], axis=0) + aside, 0, 1)
    return places


def counted(labels: Sequence[Label], xy: np.ndarray) -> tuple[Label, ...]:
    """Return the labels of groups that have segments at xy (N, 2), with how many: each is in the group whose middle is nearest."""
    found: list[Label] = []
    for level in range(len(GROUPS)):
        same = [label for label in labels if label.level == level]
        if not same:
            break
        middles = np.array([(label.x, label.y) for label in same])
        nearest = np.argmin([((xy - middle) ** 2).sum(axis=1) for middle in middles], axis=0)
        counts = np.bincount(nearest, minlength=len(same)).tolist()
        found += [replace(label, count=count) for label, count in zip(same, counts) if count]
    return tuple(found)


def best_names(scores: np.ndarray) -> list[tuple[int, int]]:
    """Return (group, word) for every group (groups, words): the best pair first, and no word twice while there are others."""
    free, named = scores.copy(), []
    for _ in range(len(scores)):
        group, word = np.unravel_index(np.argmax(free), free.shape)
        named.append((int(group), int(word)))
        free[group] = -np.inf
        free[:, word] -= np.float32(1e6)
    return named
