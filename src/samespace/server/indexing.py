"""Indexing from the page: one folder at a time, in a thread, watched as it goes."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from ..core.errors import LibraryBusy, SamespaceError
from ..core.paths import absolute, to_path, to_text
from ..library.library import Library
from ..library.results import Report

PACE = 0.3
"""Seconds between two reports."""
NAMED = 200
"""Skipped files that are named."""


class Indexing:
    """What is being indexed, or was last."""

    def __init__(self, library: Library):
        self.library, self.lock = library, threading.Lock()
        self.state: dict[str, Any] = {"running": False}

    def start(self, folder: str) -> None:
        """Begin. Raises LibraryBusy while another folder is being indexed."""
        path = absolute(to_path(folder))
        with self.lock:
            if self.state["running"]:
                raise LibraryBusy(f"{self.state['folder']} is being indexed; wait until it is done")
            self.state = {"running": True, "folder": to_text(path), "done": 0, "total": 0}
        threading.Thread(target=self.run, args=(path,), daemon=True).start()

    def run(self, path: str) -> None:
        try:
            self.state |= told(self.library.add([path], progress=self.note))
        except SamespaceError as error:
            self.state["error"] = str(error)
        except Exception as error:  # the page must hear of it; the server goes on
            self.state["error"] = f"something went wrong here ({type(error).__name__}: {error}); the server goes on"
        finally:
            self.state["running"] = False

    def note(self, report: Report, done: int, total: int) -> None:
        began = self.state.setdefault("began", time.monotonic())
        self.state |= told(report) | {"done": done, "total": total, "elapsed": round(time.monotonic() - began, 1)}

    async def events(self) -> AsyncIterator[str]:
        """The state as server-sent events, until nothing runs any more."""
        while True:
            state = dict(self.state)
            yield f"data: {json.dumps(state)}\n\n"
            if not state["running"]:
                return
            await asyncio.sleep(PACE)


def told(report: Report) -> dict[str, Any]:
    """A report as the page shows it."""
    counts = {name: getattr(report, name) for name in ("added", "reused", "moved", "removed", "same")}
    return counts | {
        "seconds": round(report.seconds, 1),
        "skipped": [[to_text(path), reason] for path, reason in report.skipped[:NAMED]],
        "skipped_count": len(report.skipped),
    }
