"""The files of a table of segments, each as its first segment, newest first: what a timeline and a list without words show."""

from typing import Any

import numpy as np

from .filter import Filter
from .records import IMAGE


def newest_files(table: Any, filter: Filter) -> np.ndarray:
    """Return the row of each file's first segment that passes a filter, files that were taken last first: int64 (files,).

    table: a pyarrow.Table with the columns of a copy. A file's pictures come before its sound, its beginning before its end.
    """
    import pyarrow.compute as pc

    rows = filter.rows(table)
    if not len(rows):
        return rows
    few = table.select(["path", "modality", "start", "page", "ordinal", "time"]).take(rows).combine_chunks()
    files = np.asarray(pc.dictionary_encode(few["path"]).combine_chunks().indices)
    places = [np.asarray(pc.fill_null(few[name].cast("float64"), 0.0)) for name in ("start", "page", "ordinal")]
    is_other = np.asarray(pc.not_equal(few["modality"], IMAGE))
    order = np.lexsort((*reversed(places), is_other, files))
    first = order[np.flatnonzero(np.diff(files[order], prepend=-1))]
    times = np.asarray(few["time"])[first]
    return np.asarray(rows[first[np.lexsort((first, -times))]])
