"""Pairs of pictures that may show the same: by what they look like, whole and turned, and by their vectors, which find parts.

Each picture is compared with those before it, a block at a time: n² / 2 dot products of short vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...media.look import descriptors

BLOCK = 256
"""Pictures compared with all before them at once; bounds memory."""
TURNS = (0, 1, 2, 3)
"""Quarter turns."""
ALIKE = 0.94
"""Least likeness of the looks of a picture and its copy; of 832 copies of photographs, smaller, compressed, turned, none had less than 0.96."""
PROJECTED = 128
"""Numbers that vectors are projected to, at random, before the nearest are sought."""
NEAREST, LEAST_COSINE = 8, 0.65
"""How many of the nearest vectors are looked at, and from which cosine on: parts of a picture can be as far from it."""
AT_MOST = 32
"""Pairs of one picture by looks, the most alike."""
CHUNK = 64
"""Columns of which first only the greatest is looked at."""


@dataclass(frozen=True)
class Pair:
    """Two pictures that may show the same."""

    one: int
    other: int
    """Rows; `other` comes first."""
    turns: int | None
    """Quarter turns counterclockwise after which `one` looks like `other`; None for vectors that are near."""


def pairs(looks: np.ndarray, z: np.ndarray, first_new: int) -> Iterator[dict[int, list[Pair]]]:
    """Yield the pairs of each row from `first_new` on with rows before it, the most likely first, a block of rows at a time.

    looks: uint8 (n, 32, 32). z: (n, dim), unit length, zeros where there is none.
    """
    projected = _projected(z)
    upright = descriptors(looks)
    for begin in range(first_new, len(looks), BLOCK):
        end = min(begin + BLOCK, len(looks))
        rows = np.arange(begin, end)
        alike = [
            (likeness, Pair(one, other, turns))
            for turns in TURNS
            for one, other, likeness in _alike(descriptors(looks[begin:end], turns) @ upright[:end].T, rows)
        ]
        found: dict[int, list[Pair]] = {row: [] for row in rows.tolist()}
        for _, pair in sorted(alike, key=lambda rated: -rated[0]):
            found[pair.one].append(pair)
        for one, other in _near(projected[begin:end] @ projected[:end].T, rows, z):
            found[one].append(Pair(one, other, None))
        yield found


def _projected(z: np.ndarray) -> np.ndarray:
    """Return vectors in PROJECTED orthogonal directions: dot products are those of z, roughly. Float32 (n, PROJECTED)."""
    dim = z.shape[1]
    if dim <= PROJECTED:
        return z.astype(np.float32)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, PROJECTED)))[0].astype(np.float32)
    parts = [part.astype(np.float32) @ directions for part in np.array_split(z, len(z) // 10_000 + 1)]
    return np.asarray(np.concatenate(parts) * np.sqrt(np.float32(dim / PROJECTED)))


def _alike(likeness: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Yield (row, earlier row, likeness) of those with likeness ≥ ALIKE; likeness: (rows, all rows up to the last of them)."""
    wide = likeness.shape[1]
    at, others = np.divmod(np.flatnonzero(likeness >= ALIKE), wide)
    earlier = others < rows[at]
    at, others = at[earlier], others[earlier]
    for i in np.unique(at).tolist():
        mine = others[at == i]
        best = mine[np.argsort(-likeness[i, mine], kind="stable")[:AT_MOST]]
        yield from ((int(rows[i]), int(other), float(likeness[i, other])) for other in best)


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
