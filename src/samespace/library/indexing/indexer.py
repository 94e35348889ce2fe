"""One run of indexing: scan, embed what changed, write, remove what is gone."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...core.paths import to_path
from ...media import speech
from ...media.kinds import kind_of
from ...spaces.space import Space
from ..store.lance import Store
from ..store.metadata import SpaceRecord
from ..store.records import File, IndexedFile, Segment, SegmentWrite
from .describe import describe_again, described
from .embed import Embedded, Embedder, FileEncoder, Skipped
from .report import Progress, Report
from .scan import Changes, compare, walk, was_moved

FLUSH_ROWS, FLUSH_SECONDS = 1024, 10
"""Vectors are written this often; a killed run loses no more than this and does it again."""
WITH_AUDIO = ("audio", "video")
"""Kinds of files that may have audio."""


def listeners(space: Space, before: str = "") -> str:
    """Return what names the models that listen: the audio tower's weights, and after a plus the speech model.

    Where no speech model is installed now, that of `before` stays: what it wrote down is as true as it was.
    """
    words = speech.model_name() or before.partition("+")[2]
    return f"{space.config.audio_weights}+{words}" if words else space.config.audio_weights


class AudioRefresh:
    """Replaces a library's audio vectors and transcripts where other models made them than those that there are now.

    Audio and video files then count as not yet embedded, their old audio vectors are removed, and the new models are recorded as
    soon as no file has old ones.
    """

    def __init__(self, store: Store, space: Space):
        self._store, self._space = store, space
        self._record = store.metadata.spaces[space.fingerprint]
        self._listeners = listeners(space, self._record.audio)
        self.changed = self._record.audio != self._listeners
        self._others_wrote = self._record.audio.partition("+")[2] != self._listeners.partition("+")[2]

    def begin(self, changes: Changes) -> None:
        """Remove what was heard in files that are about to be embedded again: their windows and sentences may begin elsewhere."""
        paths = [file.path for file in changes.to_embed if file.kind in WITH_AUDIO]
        if self.changed:
            self._store.remove_audio_vectors(paths, self._space.fingerprint)
        if self._others_wrote:
            self._store.remove_texts(paths)

    def finish(self, changes: Changes, indexed: dict[str, IndexedFile], report: Report) -> None:
        """Remove files that could not be read, and so have lost their audio vectors; record the tower if none are old."""
        if not self.changed:
            return
        unread = {path for path, _ in report.skipped}
        self._store.remove([f.path for f in changes.to_embed if f.kind in WITH_AUDIO and f.path in unread])
        seen = {file.path for file in changes.to_embed} | set(changes.gone)
        stale = {path for path, old in indexed.items() if not old.has_vector and kind_of(Path(path)) in WITH_AUDIO}
        if not stale - seen:
            record = replace(self._record, name=self._space.handle, audio=self._listeners)
            self._store.metadata.record_space(self._space.fingerprint, record)


@dataclass
class _Run:
    """The state of one run."""

    indexed: dict[str, IndexedFile]
    gone: set[str]
    report: Report
    embedded: list[Embedded] = field(default_factory=list)
    """Waiting to be written."""
    copies: list[Embedded] = field(default_factory=list)
    """Files of known content, waiting for its vectors."""
    unlisted: int = 0
    """Folders and files in the report that are none of those to be embedded."""


class Indexer:
    """Brings a library up to date with folders, in one space."""

    def __init__(self, store: Store, space: Space, encoder: FileEncoder):
        self._store, self._space, self._encoder = store, space, encoder
        self._local = Embedder(space)

    def run(
        self, roots: list[Path], exclude: Iterable[str], report: Report, progress: Progress | None, settle: float = 0.0
    ) -> None:
        """Index folders and files into `report`; those that changed in the last `settle` seconds are left alone. Whatever interrupts it, everything written so far is kept.

        The library is held for writing. Raises LibraryError, LibraryBusy.
        """
        fingerprint = self._space.fingerprint
        with self._store.writing():
            record = SpaceRecord(self._space.handle, self._space.dim, audio=listeners(self._space))
            self._store.add_space(fingerprint, record)
            audio = AudioRefresh(self._store, self._space)
            indexed = self._store.indexed(fingerprint, stale_audio=audio.changed)
            folders = [] if all(root.is_dir() for root in roots) else [to_path(folder) for folder, _ in self._store.folders()]
            changes = compare(walk(roots, exclude, report.skipped, folders), indexed, roots, settle)
            report.same, report.unsettled = changes.same, changes.unsettled
            audio.begin(changes)
            unseen = [path for paths in changes.unseen.values() for path in paths]
            report.skipped += [
                (folder, f"it is empty now, and {len(paths)} of its files are indexed; mount its disk, or remove them: samespace forget {folder}")
                for folder, paths in changes.unseen.items()
            ]  # fmt: skip
            run = _Run(indexed, {*changes.gone, *unseen}, report)
            try:
                self._embed(changes, run, progress)
                self._remove([*changes.gone, *(path for path in unseen if path not in run.gone)], run)
                describe_again(self._store, changes.to_describe, report)
                audio.finish(changes, indexed, report)
                report.removed += sum(path in run.gone for path in changes.gone)
            finally:
                if not self._store.is_finished():
                    report.wrote = True
                    self._store.finish(fingerprint)

    def _remove(self, paths: list[str], run: _Run) -> None:
        """Remove files from the library, with their thumbnails."""
        run.report.lost_copies |= self._store.has_copies_below(paths)
        self._store.remove(paths)
        self._store.location.remove_thumbnails(run.indexed[path].hash for path in paths)

    def _embed(self, changes: Changes, run: _Run, progress: Progress | None) -> None:
        """Embed the changed files and write their segments, every few seconds."""
        seen = {old.hash for old in run.indexed.values() if old.has_vector}
        run.unlisted = run.report.processed

        def show() -> None:
            if progress:
                done = run.report.processed - run.unlisted + len(run.embedded) + len(run.copies)
                progress(run.report, done, len(changes.to_embed))

        show()
        due = time.monotonic() + FLUSH_SECONDS
        try:
            for outcomes in self._encoder.files(changes.to_embed, seen):
                self._collect(outcomes, run)
                waiting = sum(len(outcome.segments) for outcome in run.embedded) + len(run.copies)
                if waiting >= FLUSH_ROWS or time.monotonic() > due:
                    self._flush(run)
                    due = time.monotonic() + FLUSH_SECONDS
                show()
        finally:
            self._flush(run)

    def _collect(self, outcomes: list[Embedded | Skipped], run: _Run) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Skipped):
                self._skip(outcome, run)
            else:
                (run.embedded if outcome.segments else run.copies).append(outcome)
                run.report.skipped += outcome.description.problems
                run.unlisted += len(outcome.description.problems)

    def _flush(self, run: _Run) -> None:
        """Write what is waiting."""
        self._write(run.embedded, run)
        run.report.added += len(run.embedded)
        run.embedded.clear()
        self._reuse(run.copies, run)
        run.copies.clear()

    def _skip(self, skipped: Skipped, run: _Run) -> None:
        """Report a file that cannot be read, and remove it where its content has changed since it was embedded."""
        run.report.skipped.append((skipped.file.path, skipped.reason))
        old = run.indexed.get(skipped.file.path)
        if old and skipped.hash and old.hash != skipped.hash:
            self._remove([skipped.file.path], run)
            run.report.removed += 1

    def _reuse(self, copies: list[Embedded], run: _Run) -> None:
        """Write files of known content with the vectors of that content; embed those that no longer have any, equal ones once."""
        while copies:
            writes: list[SegmentWrite] = []
            replaced: list[str] = []
            replaced_elsewhere: list[str] = []
            first: dict[str, File] = {}
            later: list[Embedded] = []
            twins = self._store.by_hash([copy.hash for copy in copies], self._space.fingerprint)
            for copy in copies:
                if not (twin := twins.get(copy.hash)):  # the file with that content could not be read, or has changed since
                    if first.setdefault(copy.hash, copy.file) is not copy.file:
                        later.append(copy)
                    continue
                writes += [replace(write, segment=at_file(write.segment, copy)) for write in twin]
                source = twin[0].segment.path
                if copy.file.path in run.indexed and copy.file.path != source:
                    replaced.append(copy.file.path)  # it may have had more pages, or shots, than it has now
                if source in run.gone:
                    run.gone.discard(source)
                    run.report.moved += 1
                elif source != copy.file.path and was_moved(source, copy.file.path):
                    replaced_elsewhere.append(source)
                    run.report.moved += 1
                else:
                    run.report.reused += 1
            self._store.remove(replaced)
            self._store.upsert(writes)
            self._store.remove(replaced_elsewhere)
            self._embed_here(list(first.values()), run)
            copies = later

    def _embed_here(self, files: list[File], run: _Run) -> None:
        """Embed files of different contents in this process, and write their segments."""
        for outcomes in self._local.files(files, set()):
            for outcome in outcomes:
                if isinstance(outcome, Skipped):
                    self._skip(outcome, run)
                else:
                    self._write([outcome], run)
                    run.report.added += 1

    def _write(self, outcomes: list[Embedded], run: _Run) -> None:
        """Write the segments of files; those of an older content are removed."""
        again = [outcome for outcome in outcomes if outcome.file.path in run.indexed]
        changed = {outcome.file.path for outcome in again if run.indexed[outcome.file.path].hash != outcome.hash}
        self._store.remove([o.file.path for o in again if o.file.path in changed])
        unchanged = {outcome.file.path for outcome in again} - changed
        self._store.upsert(write for o in outcomes for write in self._writes(o, o.file.path in changed, o.file.path in unchanged))

    def _writes(self, outcome: Embedded, changed: bool, unchanged: bool) -> list[SegmentWrite]:
        """Return a file's segments for the store; where the content has changed, other spaces' vectors and captions go.

        The text of an image is a caption given to it, and is kept, as is what was read in it; other files' texts come from the files.
        """
        others = dict.fromkeys(self._store.metadata.spaces) if changed else {}
        keeps_text = outcome.file.kind == "image" and unchanged
        writes = []
        for encoded in outcome.segments:
            segment = Segment(
                "", outcome.file.kind, encoded.start, encoded.end, encoded.page, encoded.modality, encoded.ordinal,
                text=encoded.text or None, look=encoded.look,
            )  # fmt: skip
            if encoded.size:
                segment = replace(segment, width=encoded.size[0], height=encoded.size[1])
            vectors = others | {self._space.fingerprint: encoded.z}
            writes.append(SegmentWrite(at_file(segment, outcome), vectors, keeps_text))
        return writes


def at_file(segment: Segment, outcome: Embedded) -> Segment:
    """Return a segment as one of this file."""
    file = outcome.file
    moved = replace(
        segment, path=file.path, root=file.root, kind=file.kind, size=file.size, mtime=file.mtime, hash=outcome.hash,
        duplicate=None, stack=None,
    )  # fmt: skip
    return described(moved, file, outcome.description)
