"""Indexing from the page: one folder at a time, in a thread, with its progress as events."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace

from ...core.errors import LibraryBusy
from ...core.paths import absolute, to_path, to_text
from ...library.indexing.report import Report
from ...library.library import Library
from .errors import sentence

INTERVAL = 0.3
"""Seconds between two events."""
MAX_SKIPPED = 200
"""Skipped files that are listed."""


@dataclass(frozen=True)
class ReportSummary:
    """A report as the page shows it."""

    added: int
    reused: int
    moved: int
    removed: int
    same: int
    seconds: float
    skipped: list[tuple[str, str]]
    """Some skipped files: (path as text, reason)."""
    skipped_count: int
    """Number of all skipped files."""

    @staticmethod
    def of(report: Report) -> "ReportSummary":
        """Summarize a report."""
        skipped = [(to_text(path), reason) for path, reason in report.skipped[:MAX_SKIPPED]]
        return ReportSummary(
            report.added, report.reused, report.moved, report.removed, report.same, round(report.seconds, 1), skipped,
            len(report.skipped),
        )  # fmt: skip


@dataclass(frozen=True)
class IndexingState:
    """The current run of indexing, or the last one."""

    running: bool = False
    folder: str = ""
    """As text; empty before the first run."""
    done: int = 0
    """Files embedded or skipped."""
    total: int = 0
    """Files to embed; 0 while the folder is scanned."""
    elapsed: float = 0.0
    """Seconds since the scan ended."""
    report: ReportSummary | None = None
    error: str | None = None


class IndexingJob:
    """Indexes a folder in the background."""

    def __init__(self, library: Library):
        self.library, self.lock = library, threading.Lock()
        self.state = IndexingState()

    def start(self, folder: str) -> None:
        """Begin to index a folder, given as text. Raises LibraryBusy while another is being indexed."""
        path = absolute(to_path(folder))
        with self.lock:
            if self.state.running:
                raise LibraryBusy(f"{self.state.folder} is being indexed; wait until it is done")
            self.state = IndexingState(running=True, folder=to_text(path))
        threading.Thread(target=self._run, args=(path,), daemon=True).start()

    def _run(self, path: str) -> None:
        scan_ended: float | None = None

        def on_progress(report: Report, done: int, total: int) -> None:
            nonlocal scan_ended
            now = time.monotonic()
            scan_ended = now if scan_ended is None else scan_ended
            elapsed = round(now - scan_ended, 1)
            self.state = replace(self.state, report=ReportSummary.of(report), done=done, total=total, elapsed=elapsed)

        error = None
        try:
            report = self.library.add([path], progress=on_progress)
            self.state = replace(self.state, report=ReportSummary.of(report))
        except Exception as failure:  # for the page; the server goes on
            error = sentence(failure)
        finally:
            self.state = replace(self.state, running=False, error=error)

    async def events(self) -> AsyncIterator[str]:
        """Yield the state as server-sent events, until nothing is running."""
        while True:
            state = self.state
            yield f"data: {json.dumps(asdict(state))}\n\n"
            if not state.running:
                return
            await asyncio.sleep(INTERVAL)
