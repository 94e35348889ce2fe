"""A library on disk: one LanceDB table of segments, a note of its spaces, and the copies made from the table."""

import os
from collections import defaultdict
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...core.errors import LibraryBusy
from ...core.paths import to_path, to_text
from ..indexing.scan import Known
from .db_errors import clear_errors, locked, uninterrupted
from .exact_index import MAX_ROWS, ROW_ID, Flat, Shown, matrices, widened, write_copy
from .filter import SENSES, Filter, literals
from .metadata import Held, Note
from .records import SHOWN, column, halved, place_of, placed, segment_fields, segment_id, shown_fields

TABLE = "segments"
SHOWN_COPY = "shown.arrow"
INDEX_ROWS = MAX_ROWS
"""From here on searches use an approximate index."""
SAMPLE = 2048
"""Vectors that stand for the library where a score is judged."""
Copy = TypeVar("Copy", Flat, Shown)
REFINE, EFFORT = 4, 128
"""How many times k the index ranks again with the stored vectors, and how many candidates it keeps at the least."""


class Store(Note):
    """Opened lazily: a search that the flat copy can answer never opens the database."""

    def __init__(self, where: str | Path):
        super().__init__(where)
        self.opened: dict[Path, tuple[str, Any]] = {}  # copies in use, and the version they are of
        self.sampled: dict[tuple[str, str], tuple[str, np.ndarray, int]] = {}  # version, some vectors, number of all

    def writing(self) -> AbstractContextManager[None]:
        """Hold the library for writing. Raises LibraryBusy at once where another process of this machine does."""
        return locked(self.home)

    @cached_property
    def database(self):
        import lancedb

        where = str(self.home) if self.home.remote else self.home.folder
        return lancedb.connect(  # another process may be writing
            where, read_consistency_interval=timedelta(0), storage_options=self.home.storage or None
        )

    @cached_property
    def table(self):
        """The table of segments."""
        return self.database.open_table(TABLE)

    # --- writing --------------------------------------------------------------------------------

    @uninterrupted
    @clear_errors
    def add_space(self, fingerprint: str, held: Held) -> None:
        """Make the table, and the column for a space's vectors, if they are not there."""
        import pyarrow as pa

        if not self.home.names(f"{TABLE}.lance"):
            self.database.create_table(TABLE, schema=pa.schema(segment_fields(pa)))
        wanted = [*segment_fields(pa), pa.field(column(fingerprint), pa.list_(pa.float16(), held.dim))]
        for field in wanted:  # an older version's table lacks columns, too
            if field.name not in self.table.schema.names:
                self.table.add_columns(field)
        if fingerprint not in self.spaces:
            self.note_space(fingerprint, held)

    @clear_errors
    def known(self, fingerprint: str, unheard: bool = False) -> dict[str, Known]:
        """What is held of each file; `unheard`: what has sound, or may, counts as without vectors."""
        rows = self.table.search().select(["path", "size", "mtime", "hash"]).to_arrow().to_pylist()
        seen = self.paths(f"{column(fingerprint)} IS NOT NULL" + (" AND kind NOT IN ('audio', 'video')" if unheard else ""))
        return {to_path(r["path"]): Known(r["size"], r["mtime"], r["hash"], r["path"] in seen) for r in rows}

    def paths(self, sql: str) -> set[str]:
        """The files, as text, of which some segment is so."""
        return set(self.table.search().where(sql).select(["path"]).to_arrow()["path"].to_pylist())

    @clear_errors
    def by_hash(self, hashes: list[str], fingerprint: str) -> dict[str, list[dict[str, Any]]]:
        """One file's segments, with all their vectors, for each content hash that has one of this space."""
        found = self.table.search().where(f"hash IN ({literals(hashes)}) AND {column(fingerprint)} IS NOT NULL")
        rows = found.to_arrow().to_pylist() if hashes else []
        files: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            files[row["path"]].append(placed(row))
        return {held[0]["hash"]: held for held in sorted(files.values(), key=len)}  # of twins, the one that has most: sound too

    @uninterrupted
    @clear_errors
    def upsert(self, segments: list[dict[str, Any]]) -> None:
        """Write segments, replacing those of the same path and place in it.

        A segment carries its vectors as `z_<fingerprint>`, and its text: what it does not name is kept, None is forgotten.
        Segments that name the same are written all together or not at all.
        """
        alike = defaultdict(dict)
        for row in segments:  # a dict, because several source rows for one key are undefined in a merge
            alike[frozenset(name for name in row if name.startswith("z_") or name == "text")][segment_id(row)] = row
        for named, rows in alike.items():
            data = self.arrow([row | {"id": key} for key, row in rows.items()], named)
            self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(data)

    def arrow(self, rows: list[dict[str, Any]], named: frozenset[str]) -> Any:
        """Rows as an Arrow table in the shape of the database's."""
        import pyarrow as pa

        dims = {column(fingerprint): held.dim for fingerprint, held in self.spaces.items()}
        fields = [f for f in segment_fields(pa) if f.name != "text" or "text" in named]
        fields += [pa.field(z, pa.list_(pa.float16(), dims[z])) for z in sorted(named & dims.keys())]
        rows = [row | {"path": to_text(row["path"]), "root": to_text(row["root"])} for row in rows]
        columns = [pa.array([halved(row.get(f.name)) for row in rows], f.type) for f in fields]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    @uninterrupted
    @clear_errors
    def remove(self, paths: list[str]) -> None:
        """Forget files."""
        for i in range(0, len(paths), 500):
            self.table.delete(f"path IN ({literals([to_text(p) for p in paths[i : i + 500]])})")

    @uninterrupted
    @clear_errors
    def forget_sound(self, paths: list[str], fingerprint: str) -> None:
        """Take a space's vectors from the sound of files, whose windows may come to begin elsewhere; the rest stays."""
        for i in range(0, len(paths), 500):
            of = f"part = 'sound' AND path IN ({literals([to_text(p) for p in paths[i : i + 500]])})"
            self.table.update(where=of, values_sql={column(fingerprint): "NULL"})

    @uninterrupted
    @clear_errors
    def write_texts(self, texts: dict[str, str]) -> int:
        """Give files a text each, which searches read beside the vectors; path → text. How many of them are here."""
        import pyarrow as pa

        ids = [segment_id({"path": path}) for path in texts]
        rows = pa.table({"id": ids, "text": list(texts.values())}, schema=pa.schema([("id", pa.string()), ("text", pa.string())]))
        done = self.table.merge_insert("id").when_matched_update_all().execute(rows)
        self.index_texts()
        return done.num_updated_rows

    def index_texts(self) -> None:
        """Make texts searchable by their words."""
        from lancedb.index import FTS

        self.table.create_index("text", config=FTS(), replace=True)
        self.write_note(captioned=True)

    @clear_errors
    def finish(self, fingerprint: str) -> None:
        """After writing: join small files, drop stale versions, keep indexes and the flat copy in step."""
        if self.table.count_rows(bare := " AND ".join(f"{column(other)} IS NULL" for other in self.spaces)):
            self.table.delete(bare)
        for other, held in self.spaces.items():
            lacking = self.paths(f"{column(other)} IS NULL")
            complete = not lacking or lacking <= self.paths(f"{column(other)} IS NOT NULL")
            self.note_space(other, replace(held, complete=complete))
        self.table.optimize(cleanup_older_than=timedelta(hours=1))
        self.write_note(senses=[sense for sense, sql in SENSES.items() if self.table.count_rows(sql)] or ["sight"])
        if "text" in self.senses and not any(i.columns == ["text"] for i in self.table.list_indices()):
            self.index_texts()
        rows = self.table.count_rows()
        if rows > 10_000 and not any(i.columns == ["id"] for i in self.table.list_indices()):
            from lancedb.index import BTree

            self.table.create_index("id", config=BTree())
        if rows > INDEX_ROWS:
            self.index_vectors(fingerprint)
            if not self.shown():
                self.write_shown()
        for other in self.spaces:
            if rows > INDEX_ROWS:
                self.flat_path(other).unlink(missing_ok=True)
            elif not self.flat(other):
                self.write_flat(other)

    def index_vectors(self, fingerprint: str) -> None:
        """Build the approximate index of a space's vectors, unless there is one (new rows join it in `optimize`)."""
        from lancedb.index import HnswSq

        if not any(i.columns == [column(fingerprint)] for i in self.table.list_indices()):
            self.table.create_index(column(fingerprint), config=HnswSq(distance_type="cosine"))

    def flat_path(self, fingerprint: str) -> Path:
        return self.home.folder / f"flat-{fingerprint}.arrow"

    def write_flat(self, fingerprint: str) -> None:
        import pyarrow as pa

        version, z = self.newest_version(), column(fingerprint)
        rows = self.table.search().where(f"{z} IS NOT NULL").select([*self.showable, z])
        vectors = pa.field("z", pa.list_(pa.float32(), self.spaces[fingerprint].dim))
        batches = (widened(b) for b in rows.to_batches(4096))
        write_copy(self.flat_path(fingerprint), version, pa.schema([*shown_fields(pa, self.showable), vectors]), batches)

    def write_shown(self) -> None:
        import pyarrow as pa

        version = self.newest_version()
        batches = self.table.search().select(self.showable).with_row_id(True).to_batches(65_536)
        schema = pa.schema([*shown_fields(pa, self.showable), pa.field(ROW_ID, pa.uint64())])
        write_copy(self.home.folder / SHOWN_COPY, version, schema, (b.select(schema.names) for b in batches))

    # --- reading --------------------------------------------------------------------------------

    @property
    def showable(self) -> list[str]:
        """Columns a search returns; a table of an older version lacks some until it is indexed into again."""
        return [name for name in SHOWN if name in self.table.schema.names]

    @clear_errors
    def search(self, z: np.ndarray, k: int, fingerprint: str, filter: Filter, each: bool = False) -> list[dict[str, Any]]:
        """The k best files as their best segments, best first, each with `score` (cosine) and `z`.

        `each`: places in files instead, several of one file.
        """
        limit = k = min(k, 1_000_000)
        while True:
            segments = self.search_segments(z, limit, fingerprint, filter)
            best: dict[tuple, dict[str, Any]] = {}
            for segment in segments:
                best.setdefault(place_of(segment) if each else (segment["path"],), segment)
            if len(best) >= k or len(segments) < limit:
                return [s | {"path": to_path(s["path"])} for s in list(best.values())[:k]]
            limit *= 4

    def search_segments(self, z: np.ndarray, limit: int, fingerprint: str, filter: Filter) -> list[dict[str, Any]]:
        if flat := self.flat(fingerprint):
            return flat.search(z, limit, filter)
        copy, vectors = self.shown(), column(fingerprint)
        query = self.table.search(z, vector_column_name=vectors).distance_type("cosine")
        query = query.limit(limit).refine_factor(REFINE).ef(max(EFFORT, REFINE * limit)).with_row_id(copy is not None)
        if filter.sql:
            query = query.where(filter.sql, prefilter=True)
        names = self.showable
        found = query.select([*(() if copy else names), vectors, "_distance"]).to_arrow()
        try:
            shown = copy.rows(found[ROW_ID].to_pylist()) if copy else found.select(names).to_pylist()
        except KeyError:  # another process has written since the copy was opened, which is no longer used then
            return self.search_segments(z, limit, fingerprint, filter)
        z = (np.float32(z) for chunk in matrices(found[vectors]) for z in chunk)
        return [row | {"score": 1 - d, "z": z} for row, d, z in zip(shown, found["_distance"].to_pylist(), z, strict=True)]

    @clear_errors
    def search_texts(self, words: str, z: np.ndarray, k: int, fingerprint: str, filter: Filter) -> list[dict[str, Any]]:
        """The k segments whose texts fit the words best (BM25; no phrases), in the shape of `search`, with the `text`."""
        from lancedb.query import MatchQuery

        vectors, names = column(fingerprint), self.showable
        has = f"{vectors} IS NOT NULL"
        query = self.table.search(MatchQuery(words, "text"), query_type="fts").select([*names, "text", vectors, "_score"])
        found = query.where(f"{has} AND ({filter.sql})" if filter.sql else has, prefilter=True).limit(k).to_arrow()
        stored = [np.float32(v) for chunk in matrices(found[vectors]) for v in chunk]
        shown = (row | {"path": to_path(row["path"])} for row in found.select([*names, "text"]).to_pylist())
        return [row | {"score": float(v @ z), "z": v} for row, v in zip(shown, stored, strict=True)]

    @clear_errors
    def crowd(self, z: np.ndarray, fingerprint: str, sense: str = "sight") -> tuple[np.ndarray, int]:
        """Cosines of z with a sample of what the library has of a sense, and how many segments that is."""
        version, key = self.newest_version(), (fingerprint, sense)
        if key not in self.sampled or self.sampled[key][0] != version:
            some = Filter(sense=sense if len(self.senses) > 1 else "")
            flat = self.flat(fingerprint)
            self.sampled[key] = version, *(flat.sample(SAMPLE, some) if flat else self.sample(fingerprint, some))
        _, vectors, count = self.sampled[key]
        return vectors @ z, count

    def sample(self, fingerprint: str, filter: Filter) -> tuple[np.ndarray, int]:
        """Some vectors, by the beginning of their segments' ids, which are hashes; and the number of all."""
        name, count = column(fingerprint), self.table.count_rows(filter.sql)
        until = f"{min(0xFFFFFFFF, SAMPLE * 2**32 // max(1, count)):08x}"
        wanted = " AND ".join([f"id < '{until}'", f"{name} IS NOT NULL", *([filter.sql] if filter.sql else [])])
        rows = self.table.search().where(wanted).select([name]).limit(2 * SAMPLE).to_arrow()
        return np.array(rows[name].to_pylist(), np.float32), count

    def flat(self, fingerprint: str) -> Flat | None:
        """The flat copy, where there is one as new as the table; of object storage one is made here, once for each version."""
        copy = self.open_copy(Flat, self.flat_path(fingerprint))
        if copy is None and self.home.remote and self.table.count_rows() <= INDEX_ROWS:
            with suppress(LibraryBusy), self.writing():  # who comes meanwhile asks the database
                self.write_flat(fingerprint)
            copy = self.open_copy(Flat, self.flat_path(fingerprint))
        return copy

    def shown(self) -> Shown | None:
        """What hits show, where there is a copy as new as the table."""
        return self.open_copy(Shown, self.home.folder / SHOWN_COPY)

    def open_copy(self, kind: type[Copy], path: Path) -> Copy | None:
        version = self.newest_version()
        if path in self.opened and self.opened[path][0] == version:
            return self.opened[path][1]
        try:
            copy = kind(path, version)
        except (OSError, ValueError):
            return None
        self.opened[path] = version, copy
        return copy

    @clear_errors
    def holds(self, path: str) -> bool:
        """Whether a file has a segment."""
        return self.table.count_rows(f"path IN ({literals([to_text(path)])})") > 0

    @clear_errors
    def below(self, path: str) -> set[str]:
        """The files of a folder and of those in it, or the file itself."""
        inside = literals([to_text(os.path.join(path, ""))])
        return {to_path(p) for p in self.paths(f"path = {literals([to_text(path)])} OR starts_with(path, {inside})")}

    @clear_errors
    def segment(self, id: str, fingerprint: str) -> dict[str, Any] | None:
        """One segment, with its vector of one space as `z`."""
        shown = ("path", "root", "kind", "hash", "size", "mtime", "start", "end", "page", "part", "text")
        names = {c: c for c in shown if c in self.table.schema.names} | {"z": column(fingerprint)}
        rows = self.table.search().where(f"id IN ({literals([id])})").select(names).to_arrow().to_pylist()
        return placed(rows[0]) | {"z": np.asarray(rows[0]["z"], np.float32)} if rows and rows[0]["z"] else None

    @clear_errors
    def pictures(self, count: int) -> list[dict[str, Any]]:
        """Some of the library's pictures, the same each time."""
        of = {name: name for name in ("id", "path", "root", "kind", "hash", "size", "mtime")}
        share = 2**32 * count // max(1, self.table.count_rows("kind = 'image'"))
        few = f"kind = 'image' AND id < '{min(0xFFFFFFFF, share):08x}'"
        return [placed(row) for row in self.table.search().where(few).select(of).limit(count).to_arrow().to_pylist()]

    @clear_errors
    def folders(self) -> list[tuple[str, int]]:
        """The folders that were indexed, as text, and how many segments each has."""
        counted = self.table.search().select(["root"]).to_arrow()["root"].value_counts().to_pylist()
        return sorted((entry["values"], entry["counts"]) for entry in counted)

    @clear_errors
    def count(self) -> int:
        """Number of segments."""
        return self.table.count_rows()

    def newest_version(self) -> str:
        """Name of the table's newest manifest; Lance names them so that the newest sorts first."""
        names = self.home.names(f"{TABLE}.lance/_versions")
        return min((name for name in names if name.endswith(".manifest")), default="")
