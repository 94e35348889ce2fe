"""Which pictures and videos of a library are copies of one another: candidates by look and vector, each then compared with the files."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ...core.errors import UnreadableMedia
from ...core.machine import usable_cpus
from ...media import image, video
from ...media.alignment import COMPARED, comparable, is_copy, is_textured
from ...media.kinds import RAW
from ...media.look import descriptors, look_of, pixels_of
from ..store.lance import LAST_SECONDS, Store
from .groups import Groups
from .neighbours import ALIKE, Pair, pairs
from .stacks import StackedFile, stacks_of

OPEN_PICTURES = 1000
"""Small pictures that are kept while pairs are compared."""
TRIES = 4
"""Members of a group that a picture is compared with, before it is none of them: each comparison errs sometimes."""
SAME_LENGTH = 0.01
"""Largest difference in length between a video and its copy, as a share; half a second is allowed in any case."""
SAME_START = 0.5
"""Seconds between the beginnings of a shot in a video and in its copy."""
SHARED_SHOTS = 0.8
"""Least share of shots that a video and its copy have in common."""

ComparingProgress = Callable[[int, int], None]
"""Called with the number of files compared, and the number to compare."""


@dataclass(frozen=True)
class Picture:
    """An image file, or a shot of a video, as the table has it."""

    id: str
    path: str
    kind: str
    hash: str
    size: int
    width: int | None
    height: int | None
    time: int
    """Microseconds since 1970."""
    taken_at: datetime | None
    camera: str | None
    start: float | None
    """Seconds, of a shot."""
    end: float | None
    look: bytes | None
    duplicate: str | None
    stack: str | None

    @property
    def is_raw(self) -> bool:
        """Whether it is a camera's raw file: it holds more than any picture made from it, which is no copy of it."""
        return Path(self.path).suffix.lower() in RAW


def compare(store: Store, fingerprint: str, progress: ComparingProgress | None = None) -> int:
    """Compare the pictures and videos that were not compared yet with all others, and store which are copies and stacks.

    Return how many were compared. Raises LibraryError, LibraryBusy.
    """
    rows, z = store.pictures(fingerprint)
    found = _apart([Picture(**row) for row in rows])
    if missing := [i for i, picture in enumerate(found) if picture.kind == "image" and picture.look is None]:
        _add_looks(store, found, missing)
    images = [i for i, picture in enumerate(found) if picture.kind == "image"]
    images.sort(key=lambda i: found[i].duplicate is None)  # those that were compared come first
    videos = _videos(found)
    lengths = [max(shot.end or 0.0 for shot in shots) for shots in videos]
    groups = _image_groups([found[i] for i in images], z[images], progress) | _video_groups(videos, np.array(lengths))
    files = {picture.path: picture for picture in reversed(found)}  # the first segment of each
    seconds = {shots[0].path: length for shots, length in zip(videos, lengths)}
    stacks = stacks_of([_stacked(picture, groups[path], seconds.get(path, 0.0)) for path, picture in files.items()])
    changed = {
        (path, picture.hash): (groups[path], stacks.get(path, ""))
        for path, picture in files.items()
        if (picture.duplicate, picture.stack) != (groups[path], stacks.get(path, ""))
    }
    if changed:
        with store.writing(LAST_SECONDS):
            store.write_stacks(changed)
            store.finish(fingerprint)
    return sum(picture.duplicate is None for picture in files.values())


def _apart(found: list[Picture]) -> list[Picture]:
    """Return pictures with the raw files that an older version took for copies of others as not compared yet."""
    mixed = {one.duplicate for one in found if one.duplicate and not one.is_raw}
    return [replace(one, duplicate=None) if one.is_raw and one.duplicate in mixed else one for one in found]


def _stacked(picture: Picture, duplicate: str, seconds: float) -> StackedFile:
    pixels = (picture.width or 0) * (picture.height or 0)
    taken = picture.taken_at.timestamp() if picture.taken_at else None
    camera = picture.camera or ""
    return StackedFile(
        picture.path, picture.id, picture.kind, pixels, picture.size, taken, camera, duplicate, picture.look, seconds
    )


def _add_looks(store: Store, found: list[Picture], missing: list[int]) -> None:
    """Look at the images that an older version has indexed."""
    with ThreadPoolExecutor(usable_cpus()) as pool:
        looks = pool.map(lambda i: _look(found[i].path), missing)
        for i, look in zip(missing, looks):
            found[i] = replace(found[i], look=look)
    with store.writing(LAST_SECONDS):
        store.write_looks({found[i].id: look for i in missing if (look := found[i].look)})


def _look(path: str) -> bytes | None:
    try:
        return look_of(_opened(path))
    except UnreadableMedia:
        return None


def _opened(path: str) -> Image.Image:
    """Open an image file, small. Raises UnreadableMedia."""
    try:
        return image.opaque(image.read(Path(path), Path(path).read_bytes(), COMPARED // 2)[0])
    except OSError as error:
        raise UnreadableMedia(str(error)) from None


def _comparable(path: str) -> Image.Image | None:
    """Return an image file as images are compared; None where there is no texture to compare. Raises UnreadableMedia."""
    picture = comparable(_opened(path))
    return picture if is_textured(picture) else None


def _names(groups: Groups, members: Sequence[Picture]) -> dict[str, str]:
    """Return path → what the members of its group have in common; empty for those that are alone."""
    together: dict[int, list[Picture]] = defaultdict(list)
    for i, picture in enumerate(members):
        together[groups.root(i)].append(picture)
    return {
        picture.path: min(one.duplicate or one.id for one in group) if len(group) > 1 else ""
        for group in together.values()
        for picture in group
    }


# Images.


def _image_groups(images: list[Picture], z: np.ndarray, progress: ComparingProgress | None) -> dict[str, str]:
    """Return path → group of copies. Those that were compared already come first."""
    groups = Groups(len(images))
    groups.join_equal(picture.hash for picture in images)
    groups.join_equal(picture.duplicate for picture in images)
    first_new = sum(picture.duplicate is not None for picture in images)
    looks = (
        np.stack([pixels_of(picture.look or bytes(1024)) for picture in images]) if images else np.empty((0, 32, 32), np.uint8)
    )
    opened = lru_cache(OPEN_PICTURES)(_comparable)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        done = 0
        shapes = np.array([(picture.width or 1, picture.height or 1) for picture in images])
        for found in pairs(looks, z, shapes, first_new):
            tries: Counter[tuple[int, int]] = Counter()
            while wave := [pair for row in found.values() if (pair := _next(row, groups, tries))]:
                for pair, copy in zip(wave, pool.map(lambda pair: _is_copy(images, pair, opened), wave)):
                    if copy:
                        groups.join(pair.one, pair.other)
            done += len(found)
            if progress:
                progress(done, len(images) - first_new)
    return _names(groups, images)


def _next(row: list[Pair], groups: Groups, tries: Counter[tuple[int, int]]) -> Pair | None:
    """Remove and return the next of a picture's pairs to be compared: with nobody of its own group, and few of any other."""
    while row:
        pair = row.pop(0)
        group = groups.root(pair.other)
        if groups.root(pair.one) != group and tries[pair.one, group] < TRIES:
            tries[pair.one, group] += 1
            return pair
    return None


def _is_copy(images: list[Picture], pair: Pair, opened: Callable[[str], Image.Image | None]) -> bool:
    """Whether one of a pair is a copy of the other, or of a part of it."""
    one, other = images[pair.one], images[pair.other]
    if one.look is None or other.look is None or one.is_raw != other.is_raw or _at_other_moments(one, other):
        return False
    try:
        whole, part = (opened(picture.path) for picture in ((other, one) if pair.one_is_part else (one, other)))
        if whole is None or part is None:
            return False
        return is_copy(whole, part.rotate(90 * pair.turns, expand=True) if pair.turns else part, pair.box)
    except UnreadableMedia:
        return False


def _at_other_moments(one: Picture, other: Picture) -> bool:
    """Whether a camera says of two pictures that it took them at different times."""
    dated = one.taken_at and other.taken_at and one.camera and one.camera == other.camera
    return bool(dated) and abs(one.time - other.time) >= 1_000_000


# Videos.


def _videos(found: list[Picture]) -> list[list[Picture]]:
    """Return the shots of each video, in order."""
    shots: dict[str, list[Picture]] = defaultdict(list)
    for picture in found:
        if picture.kind == "video":
            shots[picture.path].append(picture)
    return list(shots.values())


def _video_groups(videos: list[list[Picture]], lengths: np.ndarray) -> dict[str, str]:
    """Return path → group of copies; `lengths` are seconds."""
    firsts = [shots[0] for shots in videos]
    groups = Groups(len(videos))
    groups.join_equal(first.hash for first in firsts)
    groups.join_equal(first.duplicate for first in firsts)
    for i in (i for i, first in enumerate(firsts) if first.duplicate is None):
        for j in np.flatnonzero(np.abs(lengths - lengths[i]) <= max(0.5, SAME_LENGTH * lengths[i])).tolist():
            if groups.root(i) != groups.root(j) and _is_video_copy(videos[i], videos[j]):
                groups.join(i, j)
    return _names(groups, firsts)


def _is_video_copy(one: list[Picture], other: list[Picture]) -> bool:
    """Whether two videos have the same shots at the same times."""
    if any(shot.look is None for shot in (*one, *other)):
        return False
    here, there = (descriptors(np.stack([pixels_of(shot.look or b"") for shot in shots])) for shots in (one, other))
    starts = np.abs(np.subtract.outer(*([shot.start or 0.0 for shot in shots] for shots in (one, other))))
    shared = (here @ there.T >= ALIKE) & (starts <= SAME_START)
    if min(shared.any(axis=1).mean(), shared.any(axis=0).mean()) < SHARED_SHOTS:
        return False
    longest = heapq.nlargest(3, one, key=lambda shot: (shot.end or 0.0) - (shot.start or 0.0))
    try:
        return all(_is_same_frame(one[0].path, other[0].path, ((shot.start or 0.0) + (shot.end or 0.0)) / 2) for shot in longest)
    except UnreadableMedia:
        return False


def _is_same_frame(one: str, other: str, time: float) -> bool:
    here, there = (comparable(image.opaque(video.frame_at(path, time, COMPARED))) for path in (one, other))
    return is_textured(here) and is_copy(here, there)
