"""A library on disk: one LanceDB table of segments, its metadata, and the copies made from the table."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from ...core.errors import LibraryBusy
from ...core.paths import to_path, to_text
from .arrow import (
    COPIED,
    DISPLAYED,
    SCHEMA,
    SEGMENT_FIELDS,
    matrices,
    row_of,
    segment_of,
    segments_of,
    vector_column,
    vectors_of,
)
from .conditions import Condition
from .db_errors import clear_errors, local_lock, uninterrupted, write_lock
from .exact_index import (
    MAX_ROWS,
    ROW_ID,
    ExactIndex,
    MetadataCache,
    TableCopy,
    segments_at,
    widened,
    with_all_columns,
    write_copy,
)
from .filter import WORDS, Filter, literals
from .lease import Lease
from .location import Location
from .marks import Mark
from .metadata import LibraryMetadata, SpaceRecord
from .records import AUDIO, IMAGE, MODALITIES, TEXT, Candidate, Grouping, IndexedFile, Segment, SegmentWrite
from .words import VERSION, match, terms_of

TABLE = "segments"
VERSIONS = f"{TABLE}.lance/_versions"
"""Where Lance keeps a manifest for each version of the table."""
MANIFEST = ".manifest"
NEWEST_FIRST = 2**64 - 1
"""What Lance takes a version from to name its manifest, so that the newest sorts first."""
METADATA_CACHE = "metadata.arrow"
INDEX_ROWS = MAX_ROWS
"""From here on searches use an approximate index."""
ID_INDEX_ROWS = 10_000
"""From here on ids have a scalar index, which makes merges fast."""
SAMPLE = 2048
"""Vectors sampled as the calibration cohort."""
REFINE, EFFORT = 4, 128
"""Approximate search: candidates that are ranked again by their stored vectors, per hit, and fewest candidates at all."""
ROWS_AT_A_TIME = 65_536
"""Rows that are turned into Python's values at a time."""
BATCH = 500
"""Paths, or ids, in one SQL condition."""
ANNOTATED = (
    "id", "taken_at", "time", "lat", "lon", "text", "written", "caption", "keywords", "people", "camera", "rating", "place", "described", "words",
)  # fmt: skip
"""Columns that `annotate` writes."""
COMPARED = (
    "id", "path", "kind", "hash", "size", "width", "height", "time", "taken_at", "camera", "start", "end", "look", "duplicate", "stack",
)  # fmt: skip
"""Columns that copies are found by."""
FIRST_PICTURE = f"modality = '{IMAGE}' AND kind = 'image' AND ordinal = 0 AND page IS NULL AND start IS NULL"
"""SQL condition of being the first picture of an image file."""
SEEN = f"(({FIRST_PICTURE}) OR (modality = '{IMAGE}' AND kind = 'video'))"
"""SQL condition of being the first picture of an image file, or a shot."""
LAST_SECONDS = 3600
"""How long it is waited until a library that is busy can be written, where what is to be written took long to find."""
Copy = TypeVar("Copy", ExactIndex, MetadataCache)


_IMPORTING = Lock()
"""Threads that import the database at once find half of it."""


class Store:
    """A library's table. Opened lazily: a search that the exact index can answer never opens the database."""

    def __init__(self, where: Location | str | Path):
        self.location = where if isinstance(where, Location) else Location(where)
        self.metadata = LibraryMetadata(self.location)
        self._copies: dict[Path, tuple[str, Any]] = {}  # open copies, and the table's version they are of
        self._stack_sizes: tuple[str, Mapping[str, int]] | None = None  # the table's version, and what it is for that
        self._read: tuple[str, TableCopy] | None = None  # the table's version, and what was read of it
        self._reading = Lock()
        self._lease: Lease | None = None
        self._holder: int | None = None  # the thread that writes
        self._samples: dict[tuple[str, str], tuple[str, np.ndarray, int]] = {}  # version, some vectors, number of all

    @property
    def exists(self) -> bool:
        """Whether there is a library. Raises LibraryError."""
        return self.metadata.exists

    @contextmanager
    def writing(self, seconds: float = 0.0) -> Iterator[None]:
        """Hold the library for writing, within itself too. Raises LibraryBusy where another thread, process or machine does, for so long."""
        if self._holder == get_ident():
            yield
            return
        with write_lock(self.location, seconds=seconds) as self._lease:
            self._holder = get_ident()
            try:
                yield
            finally:
                self._holder = None

    def check_lease(self) -> None:
        """Raises LibraryError where another machine has begun to write, because this one was cut off."""
        if self._lease:
            self._lease.check()

    @cached_property
    def _database(self) -> Any:
        with _IMPORTING:
            import lancedb

        where = str(self.location) if self.location.remote else self.location.folder
        return lancedb.connect(  # another process may be writing
            where, read_consistency_interval=timedelta(0), storage_options=self.location.storage_options or None
        )

    @cached_property
    def table(self) -> Any:
        """The LanceDB table of segments."""
        return self._database.open_table(TABLE)

    def reopen(self) -> None:
        """Forget what was opened: files have been exchanged."""
        for name in ("_database", "table"):
            vars(self).pop(name, None)
        self._copies.clear()

    # --- writing --------------------------------------------------------------------------------

    @uninterrupted
    @clear_errors
    def add_space(self, fingerprint: str, record: SpaceRecord) -> None:
        """Make the table, and the column for a space's vectors, if they do not exist."""
        if not self.location.files.names(f"{TABLE}.lance"):
            self._database.create_table(TABLE, schema=SCHEMA)
        if missing := [field for field in SCHEMA if field.name not in self.table.schema.names]:  # an older version made it
            self.table.add_columns(missing)
        if (name := vector_column(fingerprint)) not in self.table.schema.names:
            self.table.add_columns(pa.field(name, pa.list_(pa.float16(), record.dim)))
        recorded = self.metadata.spaces.get(fingerprint)
        if recorded is None or recorded.name == fingerprint:  # which is all that mending knows of a space that is not installed
            self.metadata.record_space(fingerprint, record if recorded is None else replace(recorded, name=record.name))

    @clear_errors
    def indexed(self, fingerprint: str, stale_audio: bool = False) -> dict[str, IndexedFile]:
        """Return path → what is stored of each file. `stale_audio`: treat audio and video files as not yet embedded."""
        fresh = " AND kind NOT IN ('audio', 'video')" if stale_audio else ""
        columns = {name: name for name in ("path", "size", "mtime", "hash", "described")}
        columns["embedded"] = f"{vector_column(fingerprint)} IS NOT NULL{fresh}"
        files: dict[str, IndexedFile] = {}
        for batch in self.table.search().select(columns).to_batches(ROWS_AT_A_TIME):  # millions of rows do not fit as Python's
            for path, size, mtime, hash, described, embedded in zip(*(batch[name].to_pylist() for name in columns)):
                if path not in files or embedded:
                    files[path] = IndexedFile(size, mtime, hash, embedded, described or 0)
        return {to_path(path): file for path, file in files.items()}

    @clear_errors
    def by_hash(self, hashes: list[str], fingerprint: str) -> dict[str, list[SegmentWrite]]:
        """Return content hash → one file's segments, with all vectors and texts, of contents that have a vector of this space."""
        if not hashes:
            return {}
        found = self.table.search().where(f"hash IN ({literals(hashes)}) AND {vector_column(fingerprint)} IS NOT NULL")
        files: dict[str, list[SegmentWrite]] = defaultdict(list)
        spaces = self.metadata.spaces
        for row in found.to_arrow().to_pylist():
            vectors = {f: None if (z := row[vector_column(f)]) is None else np.asarray(z, np.float32) for f in spaces}
            files[row["path"]].append(SegmentWrite(segment_of(row), vectors))
        by_size = sorted(files.values(), key=len)  # of copies, the one with most segments is kept: it has audio, too
        return {writes[0].segment.hash: writes for writes in by_size}

    @uninterrupted
    @clear_errors
    def upsert(self, writes: Iterable[SegmentWrite]) -> None:
        """Write segments; those with the same id are replaced. Segments that write the same columns are written all or none."""
        groups: dict[frozenset[str], dict[str, SegmentWrite]] = defaultdict(dict)
        for write in writes:  # by id, because several source rows for one key are undefined in a merge
            groups[frozenset(write.vectors)][write.segment.id] = write
        for fingerprints, group in groups.items():
            data = self._arrow(self._with_stored_texts(group), sorted(fingerprints))
            self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(data)

    def _with_stored_texts(self, writes: dict[str, SegmentWrite]) -> list[SegmentWrite]:
        """Return writes, those that keep their texts with the texts that are stored."""
        stored: dict[str, tuple[str | None, str | None]] = {}
        for condition in id_conditions(id for id, write in writes.items() if write.keeps_text):
            rows = self.table.search().where(condition).select(["id", "text", "written"])
            stored |= {row["id"]: (row["text"], row["written"]) for row in rows.to_arrow().to_pylist()}
        with_texts = []
        for id, write in writes.items():
            text, written = stored.get(id, (write.segment.text, write.segment.written))
            with_texts.append(replace(write, segment=replace(write.segment, text=text, written=written)))
        return with_texts

    def _arrow(self, writes: list[SegmentWrite], fingerprints: list[str]) -> pa.Table:
        """Return segments as an Arrow table with the columns that they write."""
        rows = [row_of(write.segment) for write in writes]
        fields = list(SCHEMA)
        columns = [pa.array([row[f.name] for row in rows], f.type) for f in fields]
        spaces = self.metadata.spaces
        for fingerprint in fingerprints:
            halves = [None if (z := write.vectors[fingerprint]) is None else z.astype(np.float16) for write in writes]
            fields.append(pa.field(vector_column(fingerprint), pa.list_(pa.float16(), spaces[fingerprint].dim)))
            columns.append(pa.array(halves, fields[-1].type))
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    @uninterrupted
    @clear_errors
    def annotate(self, where: str, change: Callable[[Segment], Segment]) -> int:
        """Change what is said of the segments that meet an SQL condition: ANNOTATED; return how many were."""
        rows = self.table.search().where(where).select(["id", *SEGMENT_FIELDS]).to_arrow().to_pylist()
        changed = [row_of(change(segment_of(row))) for row in rows]
        if changed:
            self._merge({name: [row[name] for row in changed] for name in ANNOTATED})
        return len(changed)

    @uninterrupted
    @clear_errors
    def remove(self, paths: Iterable[str]) -> None:
        """Remove the segments of files."""
        for condition in path_conditions(paths):
            self.table.delete(condition)

    @uninterrupted
    @clear_errors
    def remove_below(self, paths: Iterable[str]) -> None:
        """Remove the segments of files, and of all that is below folders."""
        for condition in _below_any(paths):
            self.table.delete(condition)

    @uninterrupted
    @clear_errors
    def remove_ids(self, ids: Iterable[str]) -> None:
        """Remove segments."""
        for condition in id_conditions(ids):
            self.table.delete(condition)

    @uninterrupted
    @clear_errors
    def keep_one_of(self, ids: Iterable[str]) -> None:
        """Remove all but the first of the segments that have the same id."""
        for condition in id_conditions(ids):
            rows = self.table.search().where(condition).select(["id"]).with_row_id(True).to_arrow()
            first = dict(zip(reversed(rows["id"].to_pylist()), reversed(rows[ROW_ID].to_pylist())))
            more = sorted(set(rows[ROW_ID].to_pylist()) - set(first.values()))
            self.table.delete(f"{ROW_ID} IN ({', '.join(map(str, more))})")

    @uninterrupted
    @clear_errors
    def remove_audio_vectors(self, paths: Iterable[str], fingerprint: str) -> None:
        """Remove a space's vectors of files' audio, whose windows may come to begin elsewhere; the rest stays."""
        for condition in path_conditions(paths):
            where = f"modality = '{AUDIO}' AND {condition}"
            self.table.update(where=where, values_sql={vector_column(fingerprint): "NULL"})

    @uninterrupted
    @clear_errors
    def remove_texts(self, paths: Iterable[str]) -> None:
        """Remove the segments of files that are made from text: what is said in them."""
        for condition in path_conditions(paths):
            self.table.delete(f"modality = '{TEXT}' AND {condition}")

    @uninterrupted
    @clear_errors
    def write_captions(self, captions: dict[str, str]) -> int:
        """Store captions (path → text) of images, for searches with words; return how many of the images are in the library."""
        texts = {Segment(path, "image").id: text for path, text in captions.items()}
        return sum(
            self.annotate(condition, lambda segment: replace(segment, text=texts[segment.id]))
            for condition in id_conditions(texts)
        )

    def _index_texts(self) -> None:
        """Make texts searchable by their words."""
        with _IMPORTING:
            from lancedb.index import FTS

        self.table.create_index("text", config=FTS(), replace=True)

    @clear_errors
    def finish(self, fingerprint: str) -> None:
        """After writing: drop segments without vectors, join small files, keep indexes and copies up to date, and all of it on the disk."""
        self.check_lease()
        spaces = self.metadata.spaces
        self._fold_again()
        if self.table.count_rows(bare := " AND ".join(f"{vector_column(other)} IS NULL" for other in spaces)):
            self.table.delete(bare)
        for other, record in spaces.items():
            lacking = self._paths_where(f"{vector_column(other)} IS NULL")
            complete = not lacking or lacking <= self._paths_where(f"{vector_column(other)} IS NOT NULL")
            self.metadata.record_space(other, replace(record, complete=complete))
        self.table.optimize(cleanup_older_than=timedelta(hours=1))
        present = tuple(m for m in MODALITIES if self.table.count_rows(Filter(modality=m).sql))
        self.metadata.update(modalities=present or (IMAGE,))
        if TEXT in present and not self._has_index("text"):
            self._index_texts()
        rows = self.table.count_rows()
        if rows > ID_INDEX_ROWS and not self._has_index("id"):
            with _IMPORTING:
                from lancedb.index import BTree

            self.table.create_index("id", config=BTree())
        self.location.files.sync(f"{TABLE}.lance")
        self._refresh_copies(rows, fingerprint)

    @clear_errors
    def is_finished(self) -> bool:
        """Whether nothing was written since `finish`, and nothing is left to be done of it."""
        if self.metadata.read().words != VERSION:
            return False
        if self.table.count_rows() > INDEX_ROWS:
            return self.metadata_cache() is not None
        return all(self.exact_index(other) for other in self.metadata.spaces)

    def _fold_again(self) -> None:
        """Write the words of segments anew where an older version has folded them in another way."""
        if self.metadata.read().words != VERSION and self._present([WORDS]):
            for digit in "0123456789abcdef":  # a part of the library at a time
                self.annotate(f"starts_with(id, '{digit}')", lambda segment: segment)
            self.metadata.update(words=VERSION)

    def _refresh_copies(self, rows: int, fingerprint: str) -> None:
        """Keep an exact index of each space in a small library; a vector index and a metadata cache in a large one."""
        if rows > INDEX_ROWS:
            self._index_vectors(fingerprint)
            if not self.metadata_cache():
                self._write_metadata_cache()
        for other in self.metadata.spaces:
            if rows > INDEX_ROWS:
                self.exact_path(other).unlink(missing_ok=True)
            elif not self.exact_index(other):
                self._write_exact_index(other)

    def _index_vectors(self, fingerprint: str) -> None:
        """Build the approximate index of a space's vectors, unless there is one (new rows join it in `optimize`)."""
        with _IMPORTING:
            from lancedb.index import HnswSq

        if not self._has_index(vector_column(fingerprint)):
            self.table.create_index(vector_column(fingerprint), config=HnswSq(distance_type="cosine"))

    def _has_index(self, column: str) -> bool:
        return any(index.columns == [column] for index in self.table.list_indices())

    @clear_errors
    def dims(self) -> dict[str, int]:
        """Return the spaces that the table has a column for: fingerprint → length of their vectors."""
        start = vector_column("")
        fields = [field for field in self.table.schema if field.name.startswith(start)]
        return {field.name.removeprefix(start): field.type.list_size for field in fields}

    @clear_errors
    def indexes(self) -> dict[str, str]:
        """Return the table's indexes: name → column."""
        return {index.name: index.columns[0] for index in self.table.list_indices()}

    @clear_errors
    def index_finds(self, column: str) -> bool:
        """Whether the index of a column finds a sample of what is there. Raises LibraryError where it cannot be read."""
        if column.startswith(vector_column("")):
            dim = self.table.schema.field(column).type.list_size
            some = self.table.search(np.full(dim, dim**-0.5, np.float32), vector_column_name=column).limit(SAMPLE)
            return bool(len(some.to_arrow()) > 0)
        if column == "text":
            texts = self.table.search().where("text IS NOT NULL").select(["text"]).limit(100).to_arrow()["text"].to_pylist()
            words = [max(text.split(), key=len) for text in texts if text.split()]
            hits = [len(self.table.search(self._match(word), query_type="fts").limit(1).to_arrow()) for word in words]
            return not words or any(hits)
        ids = self.table.search().select([column]).to_arrow()[column].to_pylist()
        some = ids[:: max(1, len(ids) // SAMPLE)]
        return bool(sum(self.table.count_rows(condition) for condition in _conditions(column, some)) == len(some))

    @uninterrupted
    @clear_errors
    def drop_index(self, name: str) -> None:
        """Remove an index; `finish` builds it again where it is needed."""
        self.table.drop_index(name)

    @staticmethod
    def _match(words: str) -> Any:
        """Return a query of the full-text index."""
        with _IMPORTING:
            from lancedb.query import MatchQuery

        return MatchQuery(words, "text")  # type: ignore[call-arg]  # a dataclass of pydantic's, whose defaults mypy does not see

    def exact_path(self, fingerprint: str) -> Path:
        """Return where the exact index of a space is, or would be."""
        return self.location.folder / f"exact-{fingerprint}.arrow"

    def _write_exact_index(self, fingerprint: str) -> None:
        version, z = self.newest_version(), vector_column(fingerprint)
        rows = self.table.search().where(f"{z} IS NOT NULL").select([*COPIED, z])
        vectors = pa.field("z", pa.list_(pa.float32(), self.metadata.spaces[fingerprint].dim))
        batches = (widened(b) for b in rows.to_batches(4096))
        write_copy(self.exact_path(fingerprint), version, pa.schema([*map(SCHEMA.field, COPIED), vectors]), batches)

    def _write_metadata_cache(self) -> None:
        version = self.newest_version()
        batches = self.table.search().select(list(COPIED)).with_row_id(True).to_batches(ROWS_AT_A_TIME)
        schema = pa.schema([*map(SCHEMA.field, COPIED), pa.field(ROW_ID, pa.uint64())])
        write_copy(self.location.folder / METADATA_CACHE, version, schema, (b.select(schema.names) for b in batches))

    # --- reading --------------------------------------------------------------------------------

    @clear_errors
    def search(self, z: np.ndarray, k: int, fingerprint: str, filter: Filter, group_by: Grouping = "stack") -> list[Candidate]:
        """Return the k best stacks, files or places in files, each as its best segment, best first."""
        return _best(lambda limit: self._search_segments(z, limit, fingerprint, filter), k, group_by)

    def _search_segments(self, z: np.ndarray, limit: int, fingerprint: str, filter: Filter) -> list[Candidate]:
        if exact := self.exact_index(fingerprint):
            return exact.search(z, limit, filter)
        cache, vectors = self.metadata_cache(), vector_column(fingerprint)
        query = self.table.search(z, vector_column_name=vectors).distance_type("cosine")
        query = query.limit(limit).refine_factor(REFINE).ef(max(EFFORT, REFINE * limit)).with_row_id(cache is not None)
        if filter.sql:
            query = query.where(filter.sql, prefilter=True)
        found = query.select([*(() if cache else self._present(DISPLAYED)), vectors, "_distance"]).to_arrow()
        try:
            segments = cache.segments(found[ROW_ID].to_pylist()) if cache else segments_of(found)
        except KeyError:  # another process has written since the cache was opened, which is no longer used then
            return self._search_segments(z, limit, fingerprint, filter)
        scores = (1 - distance for distance in found["_distance"].to_pylist())
        return [Candidate(*values) for values in zip(segments, scores, vectors_of(found[vectors]), strict=True)]

    @clear_errors
    def within(self, z: np.ndarray, cosine: float, fingerprint: str, filter: Filter) -> list[str]:
        """Return the ids of the segments that have at least a cosine with z, which has unit length; the nearest first."""
        limit, count = 1000, self.count()
        while True:
            candidates = self._search_segments(z, min(limit, count), fingerprint, filter)
            if len(candidates) < limit or candidates[-1].score < cosine:
                return [candidate.segment.id for candidate in candidates if candidate.score >= cosine]
            limit *= 8

    @clear_errors
    def newest(self, fingerprint: str, filter: Filter, limit: int, group_by: Grouping = "stack") -> list[Segment]:
        """Return the stacks or files that pass, as their first segments, those that were taken last first."""
        from .files import newest_files

        table = self.readable(fingerprint)
        return segments_at(table, newest_files(table, filter, group_by)[:limit])

    @clear_errors
    def readable(self, fingerprint: str) -> pa.Table:
        """Return what the copies hold of all segments: one of them, or read from the table where they are out of date."""
        return self._readable(fingerprint).table

    def _readable(self, fingerprint: str) -> TableCopy:
        """Return a copy of all segments; where they are out of date, for files are being indexed, what was read of the newest version."""
        if copy := self.exact_index(fingerprint) or self.metadata_cache():
            self._read = None
            return copy
        with self._reading:  # of many requests one reads
            version = self.newest_version()
            if self._read is None or self._read[0] != version:
                self._read = version, TableCopy(with_all_columns(self.table.search().select(self._present(COPIED)).to_arrow()))
            return self._read[1]

    @clear_errors
    def stack_sizes(self, fingerprint: str) -> Mapping[str, int]:
        """Return stack → how many files are in it."""
        version = self.newest_version()
        if self._stack_sizes is None or self._stack_sizes[0] != version:
            table = self.readable(fingerprint)
            stacked = {pair for pair in zip(table["stack"].to_pylist(), table["path"].to_pylist()) if pair[0]}
            self._stack_sizes = version, Counter(stack for stack, _ in stacked)
        return self._stack_sizes[1]

    @clear_errors
    def search_words(
        self, phrase: str, z: np.ndarray, k: int, fingerprint: str, filter: Filter, group_by: Grouping = "stack"
    ) -> list[Candidate]:
        """Return up to k stacks, files or places in which words of a phrase stand, or parts of them, each as its best segment.

        The most relevant come first, and of equals the nearest.
        """
        if not (terms := terms_of(phrase)):
            return []
        exact = self.exact_index(fingerprint)
        copy = exact or self._readable(fingerprint)
        table, (rows, scores) = copy.table, copy.words.search(terms)
        if filter != Filter():
            passing = np.isin(rows, filter.rows(table))
            rows, scores = rows[passing], scores[passing]
        order = np.lexsort((-exact.cosines(z)[rows], -scores)) if exact else np.argsort(-scores, kind="stable")
        if group_by != "place" and len(rows) > k:  # a film's name stands in each of its shots
            order = order[first_of_each(table["path"], rows[order])]

        def found(limit: int) -> list[Candidate]:
            if exact:
                return self._matching(terms, exact.candidates(rows[order[:limit]], z))
            ids = [segment.id for segment in segments_at(table, rows[order[: 4 * limit]])]
            return self._matching(terms, self._with_cosines(ids, z, fingerprint))[:limit]

        return _best(found, k, group_by)

    def _with_cosines(self, ids: list[str], z: np.ndarray, fingerprint: str) -> list[Candidate]:
        """Return the segments of these ids that have a vector, nearest first."""
        vectors, found = vector_column(fingerprint), []
        for condition in id_conditions(ids):
            rows = (
                self.table.search()
                .where(f"{condition} AND {vectors} IS NOT NULL")
                .select([*self._present(DISPLAYED), vectors])
                .to_arrow()
            )
            pairs = zip(segments_of(rows), vectors_of(rows[vectors]), strict=True)
            found += [Candidate(segment, float(stored @ z), stored) for segment, stored in pairs]
        return sorted(found, key=lambda candidate: -candidate.score)

    @staticmethod
    def _matching(terms: tuple[str, ...], candidates: list[Candidate]) -> list[Candidate]:
        """Return candidates with the relevance of their words, most relevant first."""
        judged = [replace(candidate, relevance=round(match(candidate.segment, terms), 4)) for candidate in candidates]
        return sorted(judged, key=lambda candidate: -(candidate.relevance or 0))

    @clear_errors
    def search_texts(self, words: str, z: np.ndarray, k: int, fingerprint: str, filter: Filter) -> list[Candidate]:
        """Return the k segments whose texts match the words best (BM25; no phrases), with their texts."""
        vectors = vector_column(fingerprint)
        query = self.table.search(self._match(words), query_type="fts").select([*self._present(DISPLAYED), vectors, "_score"])
        conditions = [f"{vectors} IS NOT NULL", *([filter.sql] if filter.sql else [])]
        found = query.where(" AND ".join(conditions), prefilter=True).limit(k).to_arrow()
        pairs = zip(segments_of(found), vectors_of(found[vectors]), strict=True)
        return [Candidate(segment, float(stored @ z), stored) for segment, stored in pairs]

    @clear_errors
    def calibration_sample(self, z: np.ndarray, fingerprint: str, modality: str = IMAGE) -> tuple[np.ndarray, int]:
        """Return cosines of z with a sample of the library's segments of a modality, and how many there are."""
        vectors, count = self.sample(fingerprint, modality)
        return vectors @ z, count

    @clear_errors
    def sample(self, fingerprint: str, modality: str = IMAGE) -> tuple[np.ndarray, int]:
        """Return some vectors of a modality, spread over the library: float32 (n, dim); and how many there are."""
        version, key = self.newest_version(), (fingerprint, modality)
        if key not in self._samples or self._samples[key][0] != version:
            filter = Filter(modality=modality if len(self.metadata.read().modalities) > 1 else "")
            exact = self.exact_index(fingerprint)
            self._samples[key] = version, *(exact.sample(SAMPLE, filter) if exact else self._sample(fingerprint, filter))
        return self._samples[key][1:]

    def _sample(self, fingerprint: str, filter: Filter) -> tuple[np.ndarray, int]:
        """Return some vectors, by the beginning of their segments' ids, which are hashes; and the number of all."""
        name = vector_column(fingerprint)
        wanted = " AND ".join([f"{name} IS NOT NULL", *([filter.sql] if filter.sql else [])])
        count = self.table.count_rows(wanted)
        until = f"{min(0xFFFFFFFF, SAMPLE * 2**32 // max(1, count)):08x}"
        rows = self.table.search().where(f"id < '{until}' AND {wanted}").select([name]).limit(2 * SAMPLE).to_arrow()
        return np.array(rows[name].to_pylist(), np.float32).reshape(-1, self.metadata.spaces[fingerprint].dim), count

    def exact_index(self, fingerprint: str) -> ExactIndex | None:
        """Return the exact index, where there is one as new as the table; of object storage one is made here, once per version."""
        copy = self._open_copy(ExactIndex, self.exact_path(fingerprint))
        if copy is None and self.location.remote and self.table.count_rows() <= INDEX_ROWS:
            with suppress(LibraryBusy), local_lock(self.location, "copy.lock"):  # concurrent readers fall back to LanceDB
                self._write_exact_index(fingerprint)
            copy = self._open_copy(ExactIndex, self.exact_path(fingerprint))
        return copy

    def metadata_cache(self) -> MetadataCache | None:
        """Return the metadata cache, where there is one as new as the table."""
        return self._open_copy(MetadataCache, self.location.folder / METADATA_CACHE)

    def _open_copy(self, kind: type[Copy], path: Path) -> Copy | None:
        version = self.newest_version()
        if path in self._copies and self._copies[path][0] == version:
            opened: Copy = self._copies[path][1]
            return opened
        try:
            copy = kind(path, version)
        except (OSError, ValueError):
            return None
        self._copies[path] = version, copy
        return copy

    @clear_errors
    def contains(self, path: str) -> bool:
        """Whether a file has a segment."""
        return bool(self.table.count_rows(f"path IN ({literals([to_text(path)])})"))

    @clear_errors
    def files_below(self, path: str) -> set[str]:
        """Return the indexed files of a folder and its subfolders, or the file itself."""
        return {to_path(p) for p in self._paths_where(_below(path))}

    @clear_errors
    def has_copies_below(self, paths: Iterable[str]) -> bool:
        """Whether any of these files, or of those below these folders, has copies or is in a stack."""
        if not self._present(["duplicate"]):
            return False
        return any(self.table.count_rows(f"({one}) AND (duplicate <> '' OR stack <> '')") for one in _below_any(paths))

    @clear_errors
    def hashes_below(self, paths: Iterable[str]) -> dict[str, str]:
        """Return path → hash of the content of these files, and of all that are below these folders."""
        return self._hashes_where(_below_any(paths))

    @clear_errors
    def hashes(self, paths: Iterable[str]) -> dict[str, str]:
        """Return path → hash of the content, of those of these files that are indexed."""
        return self._hashes_where(path_conditions(paths))

    @clear_errors
    def sizes_and_times(self, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return path → size and time of change (nanoseconds since 1970) of those of these files that are indexed."""
        found: dict[str, tuple[int, int]] = {}
        for condition in path_conditions(paths):
            rows = self.table.search().where(condition).select(["path", "size", "mtime"]).to_arrow().to_pylist()
            found |= {to_path(row["path"]): (row["size"], row["mtime"]) for row in rows}
        return found

    def of_files(self, fingerprint: str, paths: Collection[str]) -> list[dict[str, Any]]:
        """Return the id, path (as text), start and page of all segments of these files. Raises LibraryError."""
        import pyarrow.compute as pc

        table = self.readable(fingerprint).select(["id", "path", "start", "page"])
        texts = pa.array([to_text(path) for path in paths], pa.string())
        rows: list[dict[str, Any]] = table.filter(pc.is_in(table["path"], texts)).to_pylist() if len(texts) else []
        return rows

    @clear_errors
    def hashes_of_marked(self, marked: Mapping[str, Mark]) -> dict[str, str]:
        """Return path → hash of the files that have one of these paths, or the content of one."""
        return self._hashes_where([*path_conditions(marked), *_conditions("hash", {mark.hash for mark in marked.values()})])

    def _hashes_where(self, conditions: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for condition in conditions:
            rows = self.table.search().where(condition).select(["path", "hash"]).to_arrow().to_pylist()
            found |= {to_path(row["path"]): row["hash"] for row in rows}
        return found

    @clear_errors
    def segment(self, id: str, fingerprint: str) -> tuple[Segment, np.ndarray] | None:
        """Return a segment with a vector of the space, and that vector; None where there is none."""
        names = {name: name for name in self._present(SEGMENT_FIELDS)} | {"z": vector_column(fingerprint)}
        rows = self.table.search().where(f"id IN ({literals([id])})").select(names).to_arrow().to_pylist()
        return (segment_of(rows[0]), np.asarray(rows[0]["z"], np.float32)) if rows and rows[0]["z"] else None

    @clear_errors
    def unread(self) -> list[Segment]:
        """Return the pictures and shots in which text was not looked for yet."""
        if not self._present(["written"]):
            return []
        names = ["path", "root", "kind", "hash", "mtime", "start", "end"]
        return list(segments_of(self.table.search().where(f"{SEEN} AND written IS NULL").select(names).to_arrow()))

    @clear_errors
    def uncompared(self) -> bool:
        """Whether there are pictures or videos that were not compared with the others."""
        return bool(self.table.count_rows(f"{SEEN} AND duplicate IS NULL"))

    @clear_errors
    def pictures(self, fingerprint: str) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Return what is compared to find copies, of all image files and shots, by path; and their vectors: float16 (rows, dim)."""
        vectors = vector_column(fingerprint)
        table = self.table.search().where(SEEN).select([*COMPARED, vectors]).to_arrow()
        z = np.zeros((len(table), self.metadata.spaces[fingerprint].dim), np.float16)
        for i, vector in enumerate(table[vectors]):
            if vector.is_valid:
                z[i] = vector.values.to_numpy()
        rows = [row | {"path": to_path(row["path"])} for row in table.select(list(COMPARED)).to_pylist()]
        order = sorted(range(len(rows)), key=lambda i: (rows[i]["path"], rows[i]["start"] or 0.0))
        return [rows[i] for i in order], z[order]

    @clear_errors
    def vectors(self, fingerprint: str) -> tuple[list[str], np.ndarray]:
        """Return the ids of all segments that have a vector of a space, and these vectors: float16 (rows, dim)."""
        name = vector_column(fingerprint)
        table = self.table.search().where(f"{name} IS NOT NULL").select(["id", name]).to_arrow()
        parts = matrices(table[name]) or [np.empty((0, self.metadata.spaces[fingerprint].dim), np.float16)]
        return table["id"].to_pylist(), np.concatenate(parts)

    @uninterrupted
    @clear_errors
    def write_looks(self, looks: Mapping[str, bytes]) -> None:
        """Store what segments look like, by id."""
        self._merge({"id": list(looks), "look": list(looks.values())})

    @uninterrupted
    @clear_errors
    def write_stacks(self, files: Mapping[tuple[str, str], tuple[str, str]]) -> None:
        """Store what files have in common with their copies, and their stacks: path and hash of the content → both.

        A file that has changed since is left to be compared again.
        """
        rows = self.table.search().where("kind IN ('image', 'video')").select(["id", "path", "hash"]).to_arrow().to_pylist()
        found = [(row["id"], *files[key]) for row in rows if (key := (to_path(row["path"]), row["hash"])) in files]
        if found:
            ids, duplicates, stacks = (list(column) for column in zip(*found))
            self._merge({"id": ids, "duplicate": duplicates, "stack": stacks})

    def _merge(self, columns: Mapping[str, list[Any]]) -> None:
        """Replace some columns of segments, by id."""
        schema = pa.schema([SCHEMA.field(name) for name in columns])
        data = pa.Table.from_arrays(
            [pa.array(values, field.type) for values, field in zip(columns.values(), schema)], schema=schema
        )
        self.table.merge_insert("id").when_matched_update_all().execute(data)

    @clear_errors
    def some_images(self, count: int) -> list[Segment]:
        """Return up to `count` of the library's images, the same each time."""
        names = ["path", "root", "kind", "hash", "size", "mtime"]
        share = 2**32 * count // max(1, self.table.count_rows("kind = 'image'"))
        few = f"kind = 'image' AND id < '{min(0xFFFFFFFF, share):08x}'"
        rows = self.table.search().where(few).select(names).limit(count).to_arrow()
        return list(segments_of(rows))

    @clear_errors
    def folders(self) -> list[tuple[str, int]]:
        """Return the folders that were indexed, as text, and how many segments each has."""
        counted = self.table.search().select(["root"]).to_arrow()["root"].value_counts().to_pylist()
        return sorted((entry["values"], entry["counts"]) for entry in counted)

    @clear_errors
    def count(self) -> int:
        """Return the number of segments."""
        return int(self.table.count_rows())

    def _present(self, names: Iterable[str]) -> list[str]:
        """Return the columns that the table has; one that an older version made has fewer until files are indexed again."""
        columns = set(self.table.schema.names)
        return [name for name in names if name in columns]

    @clear_errors
    def paths_meeting(self, condition: Condition) -> set[str]:
        """Return the files, as text, of which a segment meets a condition."""
        return self._paths_where(condition.sql) if self.exists else set()

    def _paths_where(self, sql: str) -> set[str]:
        """Return the files, as text, with a segment that satisfies a condition."""
        return set(self.table.search().where(sql).select(["path"]).to_arrow()["path"].to_pylist())

    def newest_version(self) -> str:
        """Return the name of the table's newest manifest."""
        return min(self._manifests(), default="")

    def versions(self) -> dict[int, str]:
        """Return the table's versions, each with the name of its manifest, the newest first."""
        return {NEWEST_FIRST - int(name.removesuffix(MANIFEST)): name for name in sorted(self._manifests())}

    def _manifests(self) -> list[str]:
        names = self.location.files.names(VERSIONS)
        return [name for name in names if name.endswith(MANIFEST) and name.removesuffix(MANIFEST).isdigit()]

    @clear_errors
    def at_version(self, version: int) -> Any:
        """Return the table as it was. Raises LibraryError where that version's manifest cannot be read."""
        table = self._database.open_table(TABLE)
        table.checkout(version)
        return table

    @clear_errors
    def can_be_read(self, version: int, rows: int) -> bool:
        """Whether a version has all the rows that it says, reading so many at a time. Raises LibraryError where it cannot be read."""
        table = self.at_version(version)
        return bool(sum(batch.num_rows for batch in table.search().to_batches(rows)) == table.count_rows())


def first_of_each(column: pa.ChunkedArray, rows: np.ndarray) -> np.ndarray:
    """Return where in some rows, by number, each value of a column stands first: ascending."""
    codes = column.take(pa.array(rows)).combine_chunks().dictionary_encode().indices.to_numpy()
    return np.sort(np.unique(codes, return_index=True)[1])


def _best(found: Callable[[int], list[Candidate]], k: int, group_by: Grouping) -> list[Candidate]:
    """Return the k best stacks, files or places. `found` returns up to so many candidates, best first."""
    limit = k = min(k, 1_000_000)
    while True:
        candidates = found(limit)
        best = Candidate.first_of_each(candidates, group_by)
        if len(best) >= k or len(candidates) < limit:
            return best[:k]
        limit *= 4


def _below(path: str) -> str:
    """Return the SQL condition of being a file, or below a folder."""
    return f"path = {literals([to_text(path)])} OR starts_with(path, {literals([to_text(os.path.join(path, ''))])})"


def _below_any(paths: Iterable[str]) -> Iterator[str]:
    """Yield SQL conditions of being one of some files, or below one of some folders."""
    conditions = list(map(_below, paths))
    for i in range(0, len(conditions), BATCH):
        yield " OR ".join(conditions[i : i + BATCH])


def path_conditions(paths: Iterable[str]) -> Iterator[str]:
    """Yield SQL conditions that are true for these paths, a batch at a time."""
    return _conditions("path", map(to_text, paths))


def id_conditions(ids: Iterable[str]) -> Iterator[str]:
    """Yield SQL conditions that are true for these ids, a batch at a time."""
    return _conditions("id", ids)


def _conditions(column: str, values: Iterable[str]) -> Iterator[str]:
    """Yield SQL conditions that are true for these values of a column, a batch at a time."""
    texts = list(values)
    for i in range(0, len(texts), BATCH):
        yield f"{column} IN ({literals(texts[i : i + BATCH])})"
