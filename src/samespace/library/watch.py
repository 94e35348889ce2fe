"""Folders that are watched: what is new in them is indexed within seconds of being complete.

A file that changed a moment ago may still be being written, and waits. A folder that goes away, as with its disk, is no deletion: its
files stay indexed, and it is watched again when it comes back.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from ..core.errors import LibraryBusy, LibraryError, MissingExtra, MissingLibrary, error_summary
from .indexing.report import Report
from .library import Library

SETTLE_SECONDS = 2.0
"""A file is complete when it has not changed for so long."""
LOOK_SECONDS = 1.0
"""How often it is looked whether files that waited are complete, and folders still there."""
TRYING_SECONDS = 10.0
"""How long it is waited after what could not be written, before it is tried again."""
READING_SECONDS = 20.0
"""How long text in pictures is read before it is looked again whether there is something new."""


def watch(
    library: Library,
    roots: Sequence[Path],
    on_report: Callable[[Report], None],
    on_trouble: Callable[[str], None],
    stop: Event,
    exclude: Iterable[str] = (),
    poll: bool = False,
) -> None:
    """Index folders, and again whenever something in them changes, until `stop` is set.

    `on_report` is called with what was done, where it was anything, and `on_trouble` with a sentence about what hinders it, once.
    `poll`: look at the files instead of being told by the system, for network drives. Raises MissingExtra.
    """
    try:
        import watchfiles
    except ImportError:
        raise MissingExtra("watching folders", "watch") from None
    run = _Watch(library, on_report, on_trouble, exclude, unread=library.reads_pictures)
    while not stop.is_set():
        present = [root for root in roots if root.is_dir()]
        if missing := set(roots) - set(present):
            run.say(f"{min(missing)} is not there; it is watched again when it is")
        if not present:
            stop.wait(LOOK_SECONDS)
            continue
        changes = watchfiles.watch(
            *present, stop_event=stop, force_polling=poll, debounce=400, rust_timeout=int(1000 * LOOK_SECONDS),
            yield_on_timeout=True, ignore_permission_denied=True, watch_filter=None,
        )  # fmt: skip
        waiting, begun = run.index(present), False
        while (changed := run.next_of(changes)) is not None:
            # the watching begins with the first: what changed while files were indexed is found by indexing again
            if changed or waiting or not begun:
                waiting, begun = run.index(present), True
            if [root for root in roots if root.is_dir()] != present:
                break
        poll |= run.is_blind


@dataclass
class _Watch:
    """What is done when something has changed."""

    library: Library
    on_report: Callable[[Report], None]
    on_trouble: Callable[[str], None]
    exclude: Iterable[str]
    last: str = ""
    """What was said last of what hinders it."""
    unread: bool = False
    """Whether there may be pictures whose text was not read yet."""
    resumes: float = 0.0
    """When it is tried again, by the monotonic clock."""
    skipped: set[tuple[str, str]] = field(default_factory=set)
    """What was said of files that cannot be read."""
    is_blind: bool = False
    """Whether the system does not tell of changes."""

    def next_of(self, changes: Iterator[object]) -> object | None:
        """Return the next changes, which may be none yet; None where no more are told of."""
        try:
            return next(changes, None)
        except FileNotFoundError:  # a folder has just gone away
            return None
        except OSError as error:  # there are more than the system watches
            self.say(f"the system does not watch them ({error_summary(error)}); they are looked at instead, as with --poll")
            self.is_blind = True
            return None

    def index(self, roots: list[Path]) -> bool:
        """Index folders, but for those that look as if their disk were not there; return whether something in them waits."""
        if time.monotonic() < self.resumes:
            return True
        try:
            emptied = self.library.emptied(roots)
            if emptied:
                self.say(
                    f"{min(emptied)} is empty now, and {emptied[min(emptied)]} of its files are indexed; it is watched again when its disk is there"
                )
            roots = [root for root in roots if root not in emptied]
            if not roots:
                return False
            report = self.library.add(roots, self.exclude, settle=SETTLE_SECONDS)
        except LibraryBusy:
            self.unread |= self.library.reads_pictures
            return True
        except (LibraryError, OSError) as error:  # a full disk, say
            if all(root.is_dir() for root in roots):  # otherwise one has just gone away
                self.say(f"{error if isinstance(error, LibraryError) else error_summary(error)} (it is tried again)")
            self.resumes = time.monotonic() + TRYING_SECONDS
            return True
        report.skipped = [one for one in report.skipped if one not in self.skipped]  # each is said once
        self.skipped.update(report.skipped)
        if report.processed or report.removed:
            self.on_report(report)
        self.unread |= report.stored > 0 and self.library.reads_pictures
        if self.unread:
            self._read()
        return report.unsettled > 0 or self.unread

    def _read(self) -> None:
        """Read text in pictures for a while."""
        begun = time.monotonic()
        try:
            self.library.read_pictures(seconds=READING_SECONDS)
            self.unread = time.monotonic() - begun >= READING_SECONDS
        except LibraryBusy:
            pass  # later
        except MissingLibrary:  # nothing was found in the folders yet
            self.unread = False
        except (LibraryError, MissingExtra) as error:
            self.say(str(error))
            self.unread = False

    def say(self, sentence: str) -> None:
        """Say what hinders it, unless that was said last."""
        if sentence != self.last:
            self.on_trouble(sentence)
        self.last = sentence
