"""The files of a table of segments, each as its first segment, newest first: what a timeline and a list without words show."""

import os
from pathlib import PurePath
from typing import Any

import numpy as np

from .filter import Filter
from .records import IMAGE, Grouping


def newest_files(table: Any, filter: Filter, group_by: Grouping = "stack") -> np.ndarray:
    """Return the row of each file's first segment that passes a filter, files that were taken last first: int64 (files,).

    table: a pyarrow.Table with the columns of a copy. A file's pictures come before its sound, its beginning before its end. Of a
    stack only the best that passes is returned, unless `group_by` is "file".
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
    newest = np.asarray(rows[first[np.lexsort((first, -times))]])
    return newest if group_by == "file" else _one_of_each_stack(table, newest)


def _one_of_each_stack(table: Any, rows: np.ndarray) -> np.ndarray:
    """Return rows without those of files that another stands for: the one a stack is named after or, where it does not pass, the first."""
    import pyarrow.compute as pc

    stacks = table["stack"].take(rows).combine_chunks()
    stacked = np.flatnonzero(pc.fill_null(pc.greater(pc.binary_length(stacks), 0), False))
    if not len(stacked):
        return rows
    names, ids = (column.take(stacked).to_pylist() for column in (stacks, table["id"].take(rows).combine_chunks()))
    chosen = dict(zip(reversed(names), reversed(stacked.tolist())))  # of equal names the first stays
    chosen |= {name: i for name, id, i in zip(names, ids, stacked.tolist()) if name == id}
    left_out = set(stacked.tolist()) - set(chosen.values())
    return np.asarray(np.delete(rows, list(left_out)))


def folder_counts(table: Any, rows: np.ndarray) -> dict[str, int]:
    """Return the folders that hold the files of some rows of a pyarrow.Table, and how many each holds, with those of folders in it."""
    import pyarrow.compute as pc

    folders = pc.replace_substring_regex(table["path"].take(rows), r"/[^/]*$" if os.sep == "/" else r"\\[^\\]*$", "")
    own = {one["values"]: one["counts"] for one in pc.value_counts(folders).to_pylist()}
    counts = dict.fromkeys(own, 0)
    for folder, count in own.items():
        for place in (folder, *map(str, PurePath(folder).parents)):
            if place in counts:
                counts[place] += count
    return counts
