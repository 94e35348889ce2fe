"""Files that are shown as one: copies, a raw file with its JPEG, a live photo with its film, and bursts."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...media.kinds import RAW
from ...media.look import likeness, pixels_of
from .groups import Groups

BURST_GAP = 1.0
"""Seconds between the pictures of a burst, at most."""
LEAST_ALIKE = 0.5
"""Correlation of the looks of pictures that follow one another in a burst."""
FEWEST_IN_BURST = 3
"""Names without their endings; two pictures are what people take to be sure."""
LIVE = (".mov", ".mp4")
"""Endings of the film of a live photo; it has the name of the photo."""
LONGEST_LIVE = 10.0
"""Seconds; cameras film three. A longer one has a poster, not a photo."""


@dataclass(frozen=True)
class StackedFile:
    """What decides which stack a file is in."""

    path: str
    id: str
    """Of its first segment."""
    kind: str
    pixels: int
    size: int
    """Bytes."""
    taken: float | None
    """Seconds since 1970, where it is recorded."""
    camera: str
    duplicate: str
    """What it has in common with its copies, or nothing."""
    look: bytes | None = None
    """As of a Segment."""
    seconds: float = 0.0
    """How long a video is."""


def stacks_of(files: Iterable[StackedFile]) -> dict[str, str]:
    """Return path → the id of the file that stands for its stack, for files that are in one."""
    files = sorted(files, key=lambda file: file.path)
    number, groups = {file.path: i for i, file in enumerate(files)}, Groups(len(files))
    groups.join_equal(file.duplicate for file in files)
    for group in (*_same_names(files), *_bursts(files)):
        for file in group[1:]:
            groups.join(number[file.path], number[group[0].path])
    stacks: dict[int, list[StackedFile]] = defaultdict(list)
    for i, file in enumerate(files):
        stacks[groups.root(i)].append(file)
    return {file.path: max(stack, key=_worth).id for stack in stacks.values() if len(stack) > 1 for file in stack}


def _worth(file: StackedFile) -> tuple[bool, bool, int, int]:
    """Return what is compared to find the file that stands for others: a picture that every program opens, the largest."""
    return file.kind == "image", _ending(file) not in RAW, file.pixels, file.size


def _ending(file: StackedFile) -> str:
    return os.path.splitext(file.path)[1].lower()


def _is_live(file: StackedFile) -> bool:
    return file.kind == "video" and _ending(file) in LIVE and file.seconds <= LONGEST_LIVE


def _same_names(files: list[StackedFile]) -> Iterator[list[StackedFile]]:
    """Yield raw files with the pictures made from them, and live photos with their videos: of one name in one folder."""
    groups: dict[str, list[StackedFile]] = defaultdict(list)
    for file in files:
        groups[os.path.splitext(file.path)[0].lower()].append(file)
    for group in groups.values():
        pictures = [file for file in group if file.kind == "image"]
        raw = [file for file in pictures if _ending(file) in RAW]
        live_videos = [file for file in group if _is_live(file)]
        if len(raw) < len(pictures) and (raw or live_videos):
            yield [*pictures, *live_videos]


def _bursts(files: list[StackedFile]) -> Iterator[list[StackedFile]]:
    """Yield pictures that a camera took within a second after one another, into one folder."""
    groups: dict[tuple[str, str], list[StackedFile]] = defaultdict(list)
    for file in files:
        if file.kind == "image" and file.camera and file.taken is not None:
            groups[os.path.dirname(file.path), file.camera].append(file)
    for group in groups.values():
        yield from _runs(sorted(group, key=lambda file: (file.taken or 0.0, file.path)))


def _alike(one: StackedFile, other: StackedFile) -> bool:
    """Whether two pictures may be of one burst, by what they look like; where that is not known they may."""
    if one.look is None or other.look is None:
        return True
    return float(likeness(pixels_of(one.look)[None], pixels_of(other.look)[None])[0]) >= LEAST_ALIKE


def _runs(files: list[StackedFile]) -> Iterator[list[StackedFile]]:
    """Yield the runs of at least FEWEST_IN_BURST pictures that look alike, without a longer gap than BURST_GAP.

    Pictures of one time need not be a burst: people give all scans of a day the same.
    """
    run: list[StackedFile] = []
    for file in (*files, None):
        if file and run and (file.taken or 0) - (run[-1].taken or 0) <= BURST_GAP and _alike(run[-1], file):
            run.append(file)
            continue
        if len({os.path.splitext(one.path)[0] for one in run}) >= FEWEST_IN_BURST:
            yield run
        run = [file] if file else []
