"""Captions for a folder of pictures, into a table that a run card can train on."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import QueryError, RequestError, UnreadableMedia
from ..core.paths import to_path, to_text
from ..library.indexing.scan import walk
from .request import Answers, Picture, question

COLUMNS = ["filepath", "title"]


@dataclass
class Counts:
    """What a run did."""

    written: int = 0
    kept: int = 0
    skipped: int = 0


def caption_folder(
    folder: Path, to: Path, assistant: Answers, prompt: str, max_tokens: int, say: Callable[[str], None]
) -> Counts:
    """Add a line to the table for every picture that has none yet; a run that is stopped loses the caption under way.

    Raises QueryError where the table cannot be understood.
    """
    if not folder.exists():
        raise QueryError(f"{folder} does not exist; give a folder of pictures that does")
    known, problems, counts = read_captions(to) if mended(to) else {}, [], Counts()
    with open(to, "a", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        if not known and not file.tell():
            table.writerow(COLUMNS)
        for found in (file for file in walk([folder], (), problems) if file.kind == "image"):
            if found.path in known:
                counts.kept += 1
                continue
            try:
                reply = assistant.answer(question(prompt, [Picture.read(found.path)], max_tokens=max_tokens))
                title = " ".join(reply.text.split())
            except (UnreadableMedia, RequestError) as error:
                say(f"skipped {error}" if isinstance(error, UnreadableMedia) else f"skipped {found.path}: {error}")
                counts.skipped += 1
                continue
            table.writerow([to_text(found.path), title])
            file.flush()
            counts.written += 1
    for path, reason in problems:
        say(f"skipped {path}: {reason}")
    counts.skipped += len(problems)
    return counts


def read_captions(table: Path) -> dict[str, str]:
    """Path → caption. Raises QueryError."""
    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
    except (OSError, ValueError, csv.Error) as error:
        raise QueryError(f"{table} cannot be read ({error}); give another file with --to") from None
    if not rows or rows[0] != COLUMNS or any(len(row) != 2 for row in rows):
        raise QueryError(f"{table} is not a table of filepath, title; give another file with --to")
    return {to_path(path): title for path, title in rows[1:]}


def mended(table: Path) -> bool:
    """Whether the table is there; a line that was being written when a run was killed is cut off."""
    if not table.exists() or not table.stat().st_size:
        return False
    data, heading = table.read_bytes(), "\t".join(COLUMNS).encode() + b"\n"
    if heading.startswith(data) or (data.startswith(heading) and not data.endswith(b"\n")):
        with open(table, "r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
    return table.stat().st_size > 0
