"""Captions for a folder of images, in a table that a training run can read."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import QueryError, RequestError, UnreadableMedia
from ..core.paths import to_path, to_text
from ..library.indexing.scan import walk
from .request import AssistantBackend, Picture, question

COLUMNS = ["filepath", "title"]


@dataclass
class Counts:
    """Images of a run, by what was done with them."""

    written: int = 0
    """Captioned."""
    kept: int = 0
    """Had a caption already."""
    skipped: int = 0
    """Could not be read or captioned."""


def caption_folder(
    folder: Path, table: Path, assistant: AssistantBackend, prompt: str, max_tokens: int, on_skipped: Callable[[str], None]
) -> Counts:
    """Add a line to the table for every image that has none yet; a run that is stopped loses the unfinished caption only.

    `on_skipped` is given a line for each file that is skipped. Raises QueryError where the folder does not exist or the
    table cannot be understood.
    """
    if not folder.exists():
        raise QueryError(f"{folder} does not exist; give a folder of pictures that does")
    captions = read_captions(table) if _repair(table) else {}
    problems: list[tuple[str, str]] = []
    counts = Counts()
    with open(table, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        if not captions and not file.tell():
            writer.writerow(COLUMNS)
        for image in (found for found in walk([folder], (), problems) if found.kind == "image"):
            if image.path in captions:
                counts.kept += 1
                continue
            try:
                reply = assistant.answer(question(prompt, [Picture.read(image.path)], max_tokens=max_tokens))
                title = " ".join(reply.text.split())
            except (UnreadableMedia, RequestError) as error:
                reason = f"{error}" if isinstance(error, UnreadableMedia) else f"{image.path}: {error}"
                on_skipped(f"skipped {reason}")
                counts.skipped += 1
                continue
            writer.writerow([to_text(image.path), title])
            file.flush()
            counts.written += 1
    for path, reason in problems:
        on_skipped(f"skipped {path}: {reason}")
    counts.skipped += len(problems)
    return counts


def read_captions(table: Path) -> dict[str, str]:
    """Read a table of captions as path → caption. Raises QueryError."""
    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
    except (OSError, ValueError, csv.Error) as error:
        raise QueryError(f"{table} cannot be read ({error}); give another file with --to") from None
    if not rows or rows[0] != COLUMNS or any(len(row) != 2 for row in rows):
        raise QueryError(f"{table} is not a table of filepath, title; give another file with --to")
    return {to_path(path): title for path, title in rows[1:]}


def _repair(table: Path) -> bool:
    """Cut off a line that was only half written when a run was killed; return whether the table has content."""
    if not table.exists() or not table.stat().st_size:
        return False
    data, heading = table.read_bytes(), "\t".join(COLUMNS).encode() + b"\n"
    if heading.startswith(data) or (data.startswith(heading) and not data.endswith(b"\n")):
        with open(table, "r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
    return table.stat().st_size > 0
