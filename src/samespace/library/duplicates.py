"""Copies of one picture or video, for people who decide: which is the best, and why."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from stat import S_ISREG

import numpy as np

from ..core.errors import MissingLibrary, UnreadableMedia
from ..core.paths import to_path, to_text
from ..media import image
from ..media.locator import HasPlace
from ..media.thumbnails import thumbnail
from .search.hits import Hit
from .store.conditions import DUPLICATE, AllOf, Condition
from .store.filter import Filter
from .store.lance import Store
from .store.marks import Mark, Marks
from .store.records import Candidate, Segment
from .trash import Problem, move_to_trash, restore

TRASHED = "trashed.json"
"""What was moved to the trash, so that it can be taken back."""
PARTS = 8
"""Parts along a side, of which the middle one says how sharp a picture is."""
MEASURED = 1000
"""Pixels along the shorter side at which sharpness is measured, if a picture has so many."""
CLEARLY = 1.3
"""How many times as sharp the sharper of two pictures must be to be preferred."""


@dataclass(frozen=True)
class Copy:
    """A file of a group."""

    hit: Hit
    sharpness: float
    """Difference between neighbouring pixels, in grey levels, as it is in half of its parts; 0 where it cannot be opened."""

    @property
    def pixels(self) -> int:
        """How many it has."""
        return (self.hit.width or 0) * (self.hit.height or 0)

    @property
    def facts(self) -> tuple[str, ...]:
        """What it says of itself, for people."""
        hit = self.hit
        present = {
            "date": hit.taken_at,
            "camera": hit.camera,
            "place": hit.lat is not None,
            "caption": hit.caption,
            "tags": hit.keywords,
        }
        return tuple(name for name, value in present.items() if value)

    @property
    def shape(self) -> str:
        """Its size in pixels, for people."""
        return f"{self.hit.width} × {self.hit.height} px" if self.pixels else "unknown size"


@dataclass(frozen=True)
class DuplicateGroup:
    """Copies of one picture or video."""

    id: str
    """The same as long as its files are."""
    copies: tuple[Copy, ...]
    """The best first."""
    why: str
    """Why the first is the best."""


@dataclass(frozen=True)
class TrashReport:
    """What was done with files."""

    moved: list[str]
    """To the trash, or back."""
    problems: list[Problem]
    """Files that were not, and why."""


class Leaving:
    """Files that are to go away, by whatever paths lead to them."""

    def __init__(self, paths: Iterable[str]):
        files = [path for path in paths if not os.path.islink(path)]  # where a link goes, what it points to stays
        self._real = set(map(os.path.realpath, files))
        self._ids = {(status.st_dev, status.st_ino) for path in files if (status := _status(path))}

    def leaves(self, path: str) -> bool:
        """Whether a file that is there is none of those that go, by another path (a linked folder, a bind mount)."""
        status = os.stat(path)
        is_same = status.st_nlink == 1 and (status.st_dev, status.st_ino) in self._ids  # with more links each is a file
        return not is_same and os.path.realpath(path) not in self._real


def is_file_of(path: str, size_and_time: tuple[int, int] | None) -> bool:
    """Whether a file is there, of the size and time (nanoseconds since 1970) that it had when it was indexed."""
    status = _status(path)
    return status is not None and S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == size_and_time


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


class DuplicateReview:
    """The copies in a library, one group after the other, and what people decide about them."""

    def __init__(self, store: Store, fingerprint: str, marks: Marks):
        self._store, self._fingerprint, self._marks = store, fingerprint, marks

    def _members(self, condition: Condition = DUPLICATE) -> dict[str, list[Segment]]:
        """Return group → its files that meet a condition, the newest first. Raises LibraryError."""
        members: dict[str, list[Segment]] = defaultdict(list)
        for segment in self._store.newest(self._fingerprint, Filter(where=condition), 1_000_000, "file"):
            members[segment.duplicate or ""].append(segment)
        return members

    def groups(self, where: Condition | None = None, first: int = 0) -> Iterator[DuplicateGroup]:
        """Yield the groups that nobody has reviewed, the newest first, without hidden files; each is measured when it is asked for.

        `first` groups are left out, and not measured. With a condition, only those of which a file meets it. Raises LibraryError.
        """
        contents = self._marks.read()
        wanted = self._members(AllOf((DUPLICATE, where))) if where else None
        for id, files in self._members().items():
            seen = [file for file in files if not contents.files.get(file.path, Mark("")).hidden]
            is_reviewed = {file.hash for file in files} <= contents.reviewed
            if len(seen) < 2 or is_reviewed or (wanted is not None and id not in wanted):
                continue
            first -= 1
            if first < 0:
                yield _group(id, [Hit.of(Candidate.listed(file), rank) for rank, file in enumerate(seen, 1)])

    def accept(self, id: str) -> None:
        """Want all files of a group: it is not shown again. Raises MissingLibrary where there is no such group, LibraryError, LibraryBusy."""
        files = self._members().get(id)
        if not files:
            raise MissingLibrary("there are no copies of this group any more; look at the list again")
        self._marks.review(file.hash for file in files)

    def trash(self, paths: Iterable[str]) -> TrashReport:
        """Move copies to the system's trash; what is the last of its copies stays where it is, and takes their marks.

        The library is to be held for writing, and the files are to be removed from it afterwards. Raises LibraryError, OSError.
        """
        wanted, allowed, problems = dict.fromkeys(paths), list[str](), list[Problem]()
        groups = {file.path: files for files in self._members().values() for file in files}
        hidden = {path for path, mark in self._marks.read().files.items() if mark.hidden}
        leaving, indexed = Leaving(wanted), self._store.sizes_and_times({f.path for path in wanted for f in groups.get(path, ())})
        for path in wanted:
            copies = [file.path for file in groups.get(path, ())]
            here = [copy for copy in copies if is_file_of(copy, indexed.get(copy))]
            if path in copies and path not in here and os.path.exists(path):
                problems.append((path, "it has changed since it was indexed; index its folder again"))
            elif any(copy not in wanted and copy not in hidden and leaving.leaves(copy) for copy in here):
                allowed.append(path)
            else:
                problems.append((path, "no other copy of it is there that is shown; choose one that stays"))
        before = self._trashed()
        if allowed:  # written first: whatever interrupts the moving, `restore` knows of all that were moved
            self._write_trashed([*before, allowed])
        moved, refused = move_to_trash(allowed)
        if refused:
            self._write_trashed([*before, moved] if moved else before)
        passed = hidden.union(moved)
        kept = {path: next((f for f in groups[path] if f.path not in passed and os.path.exists(f.path)), None) for path in moved}
        self._marks.pass_on({path: (file.path, file.hash) for path, file in kept.items() if file})
        return TrashReport(moved, [*problems, *refused])

    def restore(self) -> TrashReport:
        """Take back the files that were moved to the trash last. They are to be indexed again. Raises MissingLibrary where there are none, LibraryError, OSError."""
        batches = self._trashed()
        if not batches:
            raise MissingLibrary("nothing was moved to the trash from here, or all of it was taken back")
        restored, problems = restore(batches[-1])
        left = [path for path, _ in problems]
        self._write_trashed([*([left] if left else []), *batches[:-1]])  # a disk that is away may come back
        return TrashReport(restored, problems)

    def _trashed(self) -> list[list[str]]:
        """Return what was moved to the trash, the last batch last."""
        try:
            return [list(map(to_path, batch)) for batch in json.loads(self._store.location.read(TRASHED) or "[]")]
        except (ValueError, TypeError, AttributeError):
            return []

    def _write_trashed(self, batches: list[list[str]]) -> None:
        self._store.location.files.write(TRASHED, json.dumps([list(map(to_text, batch)) for batch in batches]))


def _group(id: str, hits: Sequence[Hit]) -> DuplicateGroup:
    copies = [Copy(hit, _sharpness(hit)) for hit in hits]
    first = copies[0]
    for copy in copies[1:]:
        if _reason(copy, first):
            first = copy
    rest = sorted(
        (copy for copy in copies if copy is not first), key=lambda copy: (-copy.pixels, -(copy.hit.size or 0), copy.hit.path)
    )
    reasons = dict.fromkeys(_reason(first, copy) for copy in reversed(rest))
    why = "; ".join(filter(None, reasons)) or "all are alike: it comes first"
    return DuplicateGroup(id, (first, *rest), why)


def _reason(one: Copy, other: Copy) -> str:
    """Return why one copy is better than another; nothing where it is not."""
    for compare in COMPARISONS:
        if better := compare(one, other):
            return better
        if compare(other, one):
            return ""
    return ""


def _more_pixels(one: Copy, other: Copy) -> str:
    return f"most pixels ({one.shape})" if one.pixels > other.pixels else ""


def _says_more(one: Copy, other: Copy) -> str:
    more = [fact for fact in one.facts if fact not in other.facts]
    return f"has {', '.join(more)}" if len(one.facts) > len(other.facts) else ""


def _sharper(one: Copy, other: Copy) -> str:
    return "sharpest" if one.sharpness > CLEARLY * other.sharpness else ""


def _larger(one: Copy, other: Copy) -> str:
    return "largest file, and so compressed least" if (one.hit.size or 0) > (other.hit.size or 0) else ""


COMPARISONS: tuple[Callable[[Copy, Copy], str], ...] = (
    _more_pixels, _sharper, _says_more, _larger,
)  # fmt: skip
"""What is compared, the most important first: each returns why one copy is better than another, or nothing."""


def _sharpness(place: HasPlace) -> float:
    """Return how sharp a picture or frame is; what was written into a corner of it changes nothing."""
    try:
        picture = image.opaque(thumbnail(place, MEASURED)).convert("L")
    except UnreadableMedia:
        return 0.0
    left, top = max(0, picture.width - 1500) // 2, max(0, picture.height - 1500) // 2
    levels = np.asarray(picture.crop((left, top, picture.width - left, picture.height - top)), np.float32)
    steps = np.abs(np.diff(levels, axis=0))[:, :-1] + np.abs(np.diff(levels, axis=1))[:-1]
    height, width = steps.shape[0] // PARTS, steps.shape[1] // PARTS
    if not (height and width):
        return 0.0
    parts = steps[: height * PARTS, : width * PARTS].reshape(PARTS, height, PARTS, width).mean(axis=(1, 3))
    return round(float(np.median(parts)) / 2, 2)
