"""Pairs of pictures that may show the same: by what they look like, whole and turned, and by their vectors, which find parts.

Each picture is compared with those before it, a block at a time: n² / 2 dot products of short vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...media.look import Box, descriptors, likeness, parts_of

BLOCK = 256
"""Pictures compared with all before them at once; bounds memory."""
TURNS = (0, 1, 2, 3)
"""Quarter turns."""
ALIKE = 0.94
"""Least likeness of the looks of a picture and its copy; of 468 copies of photographs, smaller, compressed or turned, none had less than 0.96."""
PROJECTED = 128
"""Numbers that vectors are projected to, at random, before the nearest are sought."""
NEAREST, LEAST_COSINE, LEAST_FIT = 8, 0.65, 0.8
"""How many of the nearest vectors are looked at, from which cosine on, and how well one look must fit into a part of the other."""
AT_MOST = 8
"""Pairs of one picture by looks, the most alike."""
EQUAL = 0.8
"""Least correlation of the looks of a picture and its copy, pixel by pixel."""
PLAIN = 4.0
"""Grey levels of contrast in a look below which there is nothing to compare."""
CHUNK = 64
"""Columns of which first only the greatest is looked at."""


@dataclass(frozen=True)
class Pair:
    """Two pictures that may show the same."""

    one: int
    other: int
    """Rows; `other` comes first."""
    turns: int | None
    """Quarter turns counterclockwise after which `one` looks like `other`; None where one may be a part of the other."""
    box: Box | None = None
    """About where the part lies in the whole."""
    one_is_part: bool = True


def pairs(looks: np.ndarray, z: np.ndarray, shapes: np.ndarray, first_new: int) -> Iterator[dict[int, list[Pair]]]:
    """Yield the pairs of each row from `first_new` on with rows before it, the most likely first, a block of rows at a time.

    looks: uint8 (n, 32, 32). z: (n, dim), unit length, zeros where there is none. shapes: width and height, (n, 2).
    """
    contrast = np.concatenate(
        [looks[i : i + 10_000].std(axis=(1, 2), dtype=np.float32) for i in range(0, len(looks), 10_000)] or [[]]
    )
    projected = _projected(z)
    upright = descriptors(looks)
    for begin in range(first_new, len(looks), BLOCK):
        end = min(begin + BLOCK, len(looks))
        rows = np.arange(begin, end)
        alike = [
            rated
            for turns in TURNS
            for rated in _equal(_alike(descriptors(looks[begin:end], turns) @ upright[:end].T, rows), looks, turns)
        ]
        found: dict[int, list[Pair]] = {row: [] for row in rows.tolist()}
        for _, pair in sorted(alike, key=lambda rated: -rated[0]):
            found[pair.one].append(pair)
        for pair in _parts(_near(projected[begin:end] @ projected[:end].T, rows, z), looks, shapes):
            found[pair.one].append(pair)
        yield {row: [pair for pair in mine if min(contrast[row], contrast[pair.other]) >= PLAIN] for row, mine in found.items()}


def _projected(z: np.ndarray) -> np.ndarray:
    """Return vectors in PROJECTED orthogonal directions: dot products are those of z, roughly. Float32 (n, PROJECTED)."""
    dim = z.shape[1]
    if dim <= PROJECTED:
        return z.astype(np.float32)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, PROJECTED)))[0].astype(np.float32)
    parts = [part.astype(np.float32) @ directions for part in np.array_split(z, len(z) // 10_000 + 1)]
    return np.asarray(np.concatenate(parts) * np.sqrt(np.float32(dim / PROJECTED)))


def _alike(products: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (row, earlier row) of those with a product ≥ ALIKE; products of descriptors: (rows, all rows up to the last of them)."""
    wide = products.shape[1]
    at, others = np.divmod(np.flatnonzero(products >= ALIKE), wide)
    earlier = others < rows[at]
    at, others = at[earlier], others[earlier]
    for i in np.unique(at).tolist():
        mine = others[at == i]
        best = mine[np.argsort(-products[i, mine], kind="stable")[:AT_MOST]]
        yield from ((int(rows[i]), int(other)) for other in best)


def _equal(found: Iterator[tuple[int, int]], looks: np.ndarray, turns: int) -> list[tuple[float, Pair]]:
    """Return which of these have looks that are equal, turned, and how much: (correlation, pair)."""
    rows = np.array(list(found), np.int64).reshape(-1, 2)
    correlations = likeness(np.rot90(looks[rows[:, 0]], turns, axes=(1, 2)), looks[rows[:, 1]])
    return [(float(c), Pair(one, other, turns)) for c, (one, other) in zip(correlations, rows.tolist()) if c >= EQUAL]


def _parts(found: Iterator[tuple[int, int]], looks: np.ndarray, shapes: np.ndarray) -> list[Pair]:
    """Return those of which the look of the one with fewer pixels fits into a part of the other's."""
    rows = np.array(list(found), np.int64).reshape(-1, 2)
    pixels, aspects = shapes.prod(axis=1), shapes[:, 0] / shapes[:, 1]
    smaller = np.where(pixels[rows[:, 0]] < pixels[rows[:, 1]], rows[:, 0], rows[:, 1])
    larger = rows.sum(axis=1) - smaller
    correlations, boxes = parts_of(looks[larger], looks[smaller], aspects[smaller] / aspects[larger])
    return [
        Pair(one, other, None, (box[0], box[1], box[2], box[3]), part == one)
        for (one, other), part, fit, box in zip(rows.tolist(), smaller.tolist(), correlations.tolist(), boxes.tolist())
        if fit >= LEAST_FIT
    ]


def _near(cosines: np.ndarray, rows: np.ndarray, z: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (row, earlier row) of the NEAREST vectors; cosines, roughly: (rows, all rows up to the last of them)."""
    cosines[np.arange(cosines.shape[1]) >= rows[:, None]] = -1
    padded = np.pad(cosines, ((0, 0), (0, -cosines.shape[1] % CHUNK)), constant_values=-1)
    chunks = padded.reshape(len(rows), -1, CHUNK)
    greatest = chunks.max(axis=2)
    few = min(2 * NEAREST, greatest.shape[1])  # each of the nearest is in one of the chunks with the greatest cosines
    best_chunks = np.argpartition(-greatest, few - 1, axis=1)[:, :few]
    for i, row in enumerate(rows.tolist()):
        columns = (best_chunks[i][:, None] * CHUNK + np.arange(CHUNK)).ravel()
        columns = columns[columns < row]
        columns = columns[np.argsort(-cosines[i, columns], kind="stable")[: 2 * NEAREST]]
        exact = z[columns].astype(np.float32) @ z[row].astype(np.float32)
        nearest = np.argsort(-exact, kind="stable")[:NEAREST]
        yield from ((row, int(columns[k])) for k in nearest if exact[k] >= LEAST_COSINE)
