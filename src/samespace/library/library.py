"""A library: folders of media indexed into one store, searched by words and pictures. What CLI and HTTP both call."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import LibraryError, MissingLibrary, WrongSpace
from ..core.paths import absolute, expanded
from ..media.kinds import kind_of
from ..spaces import hub
from ..spaces.space import Space
from .indexing.cluster import Cluster
from .indexing.embed import Embedded, Embedder, Skipped
from .indexing.scan import Changes, File, Known, compare, walk
from .results import Hit, Progress, Report
from .search.ranking import agreed, by_relevance, by_score, credit, fused
from .store.filter import Filter, micros
from .store.lance import Store
from .store.location import Home
from .store.metadata import Held
from .store.records import column

THUMBNAILS = ".thumbnails"
"""Where pages keep small pictures; its name begins with a dot, so that indexing never enters it."""
DEPTH = 50
"""Of each sense at least so many are looked at: which is first depends on what else several senses find, not on how many are asked for."""
SOUNDING = ("audio", "video")
"""Kinds of files that may have sound."""
FLUSH_ROWS, FLUSH_SECONDS = 1024, 10
"""Vectors are written this often; a killed run loses no more than this and does it again."""


class Library:
    """One library, seen in one space."""

    def __init__(self, path: str | Path | None = None, space: Space | str | Path | None = None, cluster: str = ""):
        """Open it; nothing is created yet. Without `space`, the newest complete one it holds, else the starter.

        `path` is a folder, or a place on object storage: "s3://bucket/photos", reached by the usual AWS_… variables.
        `cluster` is the address of a Ray cluster that embeds files; without one this process does.
        """
        self.store = Store(path or default_path())
        self.space = space if isinstance(space, Space) else hub.load(space or self.store.usual_space())
        self.embedder = Embedder(self.space)
        self.reader: Embedder | Cluster = Cluster(cluster, self.space) if cluster else self.embedder

    @property
    def home(self) -> Home:
        """Where it lives, as people call it."""
        return self.store.home

    def add(
        self, paths: Iterable[str | Path], exclude: Iterable[str] = (), beside: bool = False, progress: Progress | None = None
    ) -> Report:
        """Index files and folders: what is new is embedded, what moved keeps its vector, what is gone leaves.

        Everything written so far is kept whatever interrupts it. `beside` lets a second space's vectors in.
        Raises LibraryError, LibraryBusy, WrongSpace.
        """
        roots, started, report = [expanded(p) for p in paths], time.monotonic(), Report()
        for root in roots:
            if not root.exists():
                remedy = f"let go of what is indexed of it: samespace forget {root}" if self.below(root) else "give one that does"
                raise MissingLibrary(f"{root} does not exist; {remedy}")
        self.check_space(beside)
        self.check_emptied(roots)
        fingerprint = self.space.fingerprint
        with self.store.writing():
            audio = self.space.config.audio_weights
            self.store.add_space(fingerprint, Held(self.space.handle, self.space.dim, audio=audio))
            held = self.store.spaces[fingerprint]
            other_ears = held.audio != audio
            known = self.store.known(fingerprint, unheard=other_ears)
            changes = compare(walk(roots, exclude, report.skipped), known, roots)
            report.same = changes.same
            if other_ears:  # the windows of these may begin elsewhere
                self.store.forget_sound([file.path for file in changes.look if file.kind in SOUNDING], fingerprint)
            try:
                self.embed(changes, known, report, progress)
                self.store.remove(changes.gone)
                if other_ears:  # what could not be read has lost its sound, and is to be new when it can
                    unread = {path for path, _ in report.skipped}
                    self.store.remove([file.path for file in changes.look if file.kind in SOUNDING and file.path in unread])
                report.removed += len(changes.gone) - report.moved
                if other_ears and not self.unheard(changes, known):  # from now on these are its ears
                    self.store.note_space(fingerprint, replace(held, name=self.space.handle, audio=audio))
            finally:
                self.store.finish(fingerprint)
                if report.removed:  # what is gone is not to be seen any more; the others are made again when they are looked at
                    shutil.rmtree(self.home.folder / THUMBNAILS, ignore_errors=True)
        report.seconds = time.monotonic() - started
        return report

    def unheard(self, changes: Changes, known: dict[str, Known]) -> set[str]:
        """Sound and films of other folders, which are as other ears heard them."""
        looked = {file.path for file in changes.look} | set(changes.gone)
        return {path for path, held in known.items() if not held.has_vector and kind_of(Path(path)) in SOUNDING} - looked

    def check_space(self, beside: bool) -> None:
        """Raises WrongSpace where this space's vectors would come beside another's unasked."""
        held = self.store.spaces
        if held and self.space.fingerprint not in held and not beside:
            names = ", ".join(f"{h.name} ({f})" for f, h in held.items())
            raise WrongSpace(
                f"{self.home} holds vectors of {names}, not of {self.space.handle} ({self.space.fingerprint}); to add "
                f"them beside the old ones: samespace index DIR --library {self.home} --space {self.space.handle} --beside"
            )

    def check_emptied(self, roots: list[Path]) -> None:
        """Raises LibraryError where an indexed folder has become empty, as a disk that is not mounted looks."""
        for root in roots:
            if root.is_dir() and not any(root.iterdir()) and (held := self.below(root)):
                raise LibraryError(
                    f"{root} is empty now, and {len(held)} of its files are indexed; mount its disk, or let them go: "
                    f"samespace forget {root}"
                )

    def forget(self, paths: Iterable[str | Path]) -> int:
        """Let go of files, and of all that were below folders, whether they are still there or not; how many they were.

        Raises LibraryError, LibraryBusy.
        """
        self.check_exists()
        with self.store.writing():
            gone = sorted({path for given in paths for path in self.below(given)})
            self.store.remove(gone)
            self.store.finish(self.space.fingerprint)
            shutil.rmtree(self.home.folder / THUMBNAILS, ignore_errors=True)
        return len(gone)

    def below(self, path: str | Path) -> set[str]:
        """The indexed files of a folder, or the file itself."""
        return self.store.below(absolute(path)) if self.store.exists else set()

    def embed(self, changes: Changes, known: dict[str, Known], report: Report, progress: Progress | None) -> None:
        """Embed the changed files and write their segments, every few seconds."""
        seen = {k.hash for k in known.values() if k.has_vector}
        gone, made, copies = set(changes.gone), [], []
        before = report.looked  # what the walk could not look into
        due = time.monotonic() + FLUSH_SECONDS

        def tell() -> None:
            if progress:
                progress(report, report.looked - before + len(made) + len(copies), len(changes.look))

        def flush() -> None:
            self.write(made, known)
            report.added += len(made)
            made.clear()
            self.take_over(copies, gone, known, report)
            copies.clear()

        tell()
        try:
            for outcomes in self.reader.files(changes.look, seen):
                for outcome in outcomes:
                    if isinstance(outcome, Skipped):
                        self.skip(outcome, known, report)
                    elif not outcome.segments:
                        copies.append(outcome)
                    else:
                        made.append(outcome)
                if sum(len(done.segments) for done in made) + len(copies) >= FLUSH_ROWS or time.monotonic() > due:
                    flush()
                    due = time.monotonic() + FLUSH_SECONDS
                tell()
        finally:
            flush()

    def skip(self, skipped: Skipped, known: dict[str, Known], report: Report) -> None:
        """Name a file that cannot be read; if its content has changed, its vector says what is no longer there."""
        report.skipped.append((skipped.file.path, skipped.reason))
        old = known.get(skipped.file.path)
        if old and skipped.hash and old.hash != skipped.hash:
            self.store.remove([skipped.file.path])
            report.removed += 1

    def take_over(self, copies: list[Embedded], gone: set[str], known: dict[str, Known], report: Report) -> None:
        """Give files whose bytes are known the vector of those bytes; encode the rest after all, one of each content first."""
        while copies:
            rows, replaced, first, later = [], [], {}, []
            twins = self.store.by_hash([c.hash for c in copies], self.space.fingerprint)
            for copy in copies:
                if not (twin := twins.get(copy.hash)):  # it could not be read, or has changed since
                    if first.setdefault(copy.hash, copy.file) is not copy.file:
                        later.append(copy)
                    continue
                rows += [row | on_disk(copy.file, row["taken_at"]) | {"hash": copy.hash} for row in twin]
                if copy.file.path in known and copy.file.path != twin[0]["path"] and copy.file.kind != "image":
                    replaced.append(copy.file.path)  # it may have had more pages, or shots, than it has now
                if twin[0]["path"] in gone:
                    gone.discard(twin[0]["path"])
                    report.moved += 1
                else:
                    report.reused += 1
            self.store.remove(replaced)
            self.store.upsert(rows)
            self.embed_now(list(first.values()), known, report)
            copies = later

    def embed_now(self, files: list[File], known: dict[str, Known], report: Report) -> None:
        """Embed files of different contents in this process, and write their segments."""
        for outcomes in self.embedder.files(files, set()):
            for outcome in outcomes:
                if isinstance(outcome, Skipped):
                    self.skip(outcome, known, report)
                else:
                    self.write([outcome], known)
                    report.added += 1

    def search(
        self,
        query: str,
        top: int = 10,
        filter: Filter = Filter(),
        min_relevance: float = 0.0,
        files: bool = True,
        also: Sequence[tuple[float, np.ndarray]] = (),
        each: bool = False,
    ) -> list[Hit]:
        """The best files for words, a picture, or algebra over both (see Embedder.query), best first; the best moment or
        page of each, or where `each` all of them.

        A picture that the query names is not among its own answers. Hits that are less probably meant than
        `min_relevance` are left out. Not `files`: no part of the query opens one, as for queries from outside. `also` are
        weighted vectors beside it, of pictures that are not files. Raises LibraryError, WrongSpace, QueryError.
        """
        self.check_searchable()
        parsed = self.embedder.query(query, files, also)
        named = tuple(os.path.abspath(term.path) for term in parsed.terms if term.path)
        filter = replace(filter, without=filter.without + named)
        plain = len(parsed.terms) == 1 and parsed.terms[0].weight > 0 and not (named or also)
        rows = self.ranked(parsed.z, parsed.terms[0].text if plain else "", not (named or also), top, filter, each)
        hits = [Hit(rank, **{name: row.get(name) for name in HIT_FIELDS}) for rank, row in enumerate(rows, 1)]
        return [hit for hit in hits if hit.relevance is None or hit.relevance >= min_relevance]

    def ranked(self, z: np.ndarray, words: str, judged: bool, top: int, filter: Filter, each: bool) -> list[dict[str, Any]]:
        """What is seen, heard and read, each ranked for itself and then as one list: `words` also by their letters.

        For words, cosines of different senses do not compare; probabilities do, and where a space has none, ranks. What is
        like a file is near to it in whatever sense.
        """
        rankings, senses = [], self.store.senses
        by_words, depth = bool(words) and self.store.captioned, max(top, DEPTH) if len(senses) > 1 else top
        for sense in senses:
            sensed = replace(filter, sense=sense) if len(senses) > 1 else filter
            rows = self.store.search(z, depth, self.space.fingerprint, sensed, each)
            found = self.store.search_texts(words, z, depth, self.space.fingerprint, sensed) if by_words else []
            if judged:
                self.judge([*rows, *found], z, sense)
                credit(found, words)
            rankings.append(fused(found, rows, each=each) if found else rows)  # at a tie, words decide
        if len(rankings) == 1:
            return rankings[0][:top]
        if not judged:
            return by_score(rankings, each)[:top]
        comparable = all("relevance" in row for rows in rankings for row in rows)
        return (by_relevance([*rankings, agreed(rankings)], each) if comparable else fused(*rankings, each=each))[:top]

    def check_searchable(self) -> None:
        """Raises LibraryError where there is no library yet, WrongSpace where it has no vectors of this space."""
        self.check_exists()
        if self.space.fingerprint not in self.store.spaces:
            self.check_space(beside=False)

    def warm(self) -> None:
        """Load what the first search would have to load; nothing where there is no library yet, or none of this space."""
        with contextlib.suppress(LibraryError, WrongSpace):
            self.check_exists()
            self.store.count()
            self.search("warm", files=False)

    def check_exists(self) -> None:
        """Raises LibraryError where there is no library yet."""
        if not self.store.exists:
            raise MissingLibrary(f"there is no library at {self.home} yet; make one with: samespace index DIR")

    def segment(self, id: str) -> dict[str, Any] | None:
        """An indexed segment by its id (see Hit.id), with its vector as `z`; None where there is none."""
        self.check_searchable()
        return self.store.segment(id, self.space.fingerprint)

    def judge(self, rows: list[dict[str, Any]], z: np.ndarray, sense: str) -> None:
        """Add to each row the probability that it is relevant, where the space is calibrated for this sense."""
        if rows and (calibration := self.space.calibration(sense)):
            crowd, count = self.store.crowd(z, self.space.fingerprint, sense)
            scores, z_hits = np.array([row["score"] for row in rows]), np.stack([row["z"] for row in rows])
            for row, p in zip(rows, calibration.probability(scores, z_hits, crowd, count)):
                row["relevance"] = round(float(p), 4)

    def write_captions(self, captions: dict[str, str]) -> int:
        """Give indexed files a text each, which searches with words then read too; how many of them are indexed.

        Raises LibraryError, LibraryBusy.
        """
        self.check_exists()
        with self.store.writing():
            count = self.store.write_texts({os.path.abspath(path): text for path, text in captions.items()})
            self.store.finish(self.space.fingerprint)
        return count

    def holds(self, path: str | Path) -> bool:
        """Whether a file is indexed here."""
        return self.store.exists and self.store.holds(absolute(path))

    def write(self, made: list[Embedded], known: dict[str, Known]) -> None:
        """Write the segments of files; those of an older content go."""
        again = [d for d in made if d.file.path in known]
        changed = {d.file.path for d in again if known[d.file.path].hash != d.hash}
        self.store.remove([d.file.path for d in again if d.file.path in changed and d.file.kind != "image"])
        self.store.upsert([row for d in made for row in self.rows_of(d, d.file.path in changed)])

    def rows_of(self, done: Embedded, changed: bool) -> list[dict[str, Any]]:
        """A file's segments for the store; where the content has changed, other spaces' vectors and the old text go."""
        other: dict[str, Any] = {column(fingerprint): None for fingerprint in self.store.spaces if changed}
        other |= {"text": None} if changed else {}
        rows = []
        for segment in done.segments:
            facts = asdict(segment.facts) if segment.facts else {"taken_at": None}
            place = {name: getattr(segment, name) for name in ("start", "end", "page", "part")}
            own: dict[str, Any] = {column(self.space.fingerprint): segment.z}
            if done.file.kind != "image":  # its text comes from the file; all its segments name it, to be written all together
                own["text"] = segment.text or None
            rows.append(facts | place | on_disk(done.file, facts["taken_at"]) | {"hash": done.hash} | other | own)
        return rows


HIT_FIELDS = [f.name for f in fields(Hit) if f.name != "rank"]


def on_disk(file: File, taken_at: datetime | None) -> dict[str, Any]:
    """The columns that come from the file system."""
    moment = micros(taken_at) if taken_at else file.mtime // 1000
    return asdict(file) | {"moment": moment}


def default_path() -> str | Path:
    """$SAMESPACE_LIBRARY, or a folder in the user's data."""
    named = os.environ.get("SAMESPACE_LIBRARY", "")
    return named if "://" in named else hub.data_folder("SAMESPACE_LIBRARY", "library")
