"""What the page of the map asks: the layout as bytes, made in a thread where there is none."""

import base64
import threading
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...core.errors import LibraryBusy
from ...core.paths import to_path
from ...library.library import Library
from ...library.search.where import MAP_UNITS
from .errors import sentence


@dataclass(frozen=True)
class MapState:
    """Whether a map is being made."""

    exists: bool
    running: bool = False
    doing: str = ""
    error: str = ""


class MapPage:
    """The map of one library, for its page."""

    def __init__(self, library: Library):
        self.library, self._lock = library, threading.Lock()
        self._state = MapState(False)

    @property
    def state(self) -> MapState:
        """Whether there is a map, or one is being made."""
        if self._state.running or not self.library.exists:
            return self._state
        return MapState(self.library.map.exists, error=self._state.error)

    def start(self) -> None:
        """Begin to lay the library out. Raises LibraryBusy while that is being done."""
        self.library.check_searchable()
        with self._lock:
            if self._state.running:
                raise LibraryBusy("the map is being made; wait until it is done")
            self._state = MapState(self.library.map.exists, True)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        error = ""
        try:
            self.library.map.make(self._tell)
        except Exception as problem:  # for the page; the server goes on
            error = sentence(problem)
        self._state = MapState(self.library.map.exists, error=error)

    def _tell(self, doing: str) -> None:
        self._state = MapState(self.library.map.exists, True, doing)

    def with_points(self, hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return hits with the id of the `point` that shows each: itself, or what of its file is on the map and nearest; None where nothing is."""
        points = self.library.map.points_of((hit["id"], to_path(hit["path"]), hit["page"] or hit["start"] or 0.0) for hit in hits)
        return [hit | {"point": points.get(hit["id"])} for hit in hits]

    def layout(self, where: str) -> dict[str, Any]:
        """Return what is on the map and meets conditions: ids (16 bytes each), across and down (0 to MAP_UNITS, 16 bits each) in base64.

        Raises QueryError, LibraryError.
        """
        self.library.check_searchable()
        layout = self.library.map.read()
        table = self.library.store.readable(self.library.space.fingerprint)
        passing = set(table["id"].take(self.library.filter_of(where).rows(table)).to_pylist())
        shown = np.array([id.decode() in passing for id in layout.ids.tolist()], bool)
        ids = b"".join(bytes.fromhex(id.decode()) for id in layout.ids[shown].tolist())
        across, down = np.round(layout.xy[shown].T * MAP_UNITS).astype("<u2")
        return {
            "count": int(shown.sum()),
            "made": layout.made,
            "ids": base64.b64encode(ids).decode(),
            "x": base64.b64encode(across.tobytes()).decode(),
            "y": base64.b64encode(down.tobytes()).decode(),
            "labels": [asdict(label) for label in layout.labels],
        }
