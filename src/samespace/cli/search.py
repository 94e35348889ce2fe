"""`samespace search`."""

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import QueryError
from ..core.paths import absolute
from .console import (
    AssistantName,
    Json,
    LibraryPath,
    SpaceName,
    counting_bar,
    escape_control,
    needs_extra,
    print_result,
    print_status,
)

if TYPE_CHECKING:
    from ..library.library import Library
    from ..library.search.hits import Hit
    from ..library.store.filter import Filter
    from ..library.store.records import Grouping

FIRST = 50
"""Hits that are read again."""
NO_HITS = "nothing found; index more files, or loosen the filters and --min-relevance"
NOT_LIKELY = "none of these is likely what you mean; they are the nearest"


def search(
    query: Annotated[list[str], typer.Argument(help="Words, a file, or both: 2:golden retriever + ./pool.jpg - cat")],
    library: LibraryPath = None,
    space: SpaceName = None,
    top: Annotated[int, typer.Option("--top", "-t", min=1, help="Number of hits.")] = 10,
    filepath_only: Annotated[bool, typer.Option("--filepath-only", "-f", help="Print paths only, each once.")] = False,
    null: Annotated[bool, typer.Option("--null", "-0", help="Print paths only, each ended by NUL, for: xargs -0")] = False,
    kind: Annotated[list[str] | None, typer.Option(help="Only image, audio, video or document; may be repeated.")] = None,
    under: Annotated[Path | None, typer.Option(help="Only files below this folder.")] = None,
    since: Annotated[str | None, typer.Option(help="Taken on this date or later: 2024, 2024-06 or 2024-06-30.")] = None,
    until: Annotated[str | None, typer.Option(help="Taken on this date or earlier.")] = None,
    where: Annotated[
        str, typer.Option(help='Only what meets conditions: "year:2019 -kind:video (near:45.07,7.68,5km OR path:turin)"')
    ] = "",
    min_relevance: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out hits whose probability of being relevant is lower, such as 0.5.")
    ] = 0.0,
    grid: Annotated[Path | None, typer.Option(help="Write a contact sheet to this HTML file.")] = None,
    segments: Annotated[
        bool, typer.Option("--segments", help="Every shot, window of audio and page, not only the best of each file.")
    ] = False,
    no_stack: Annotated[
        bool, typer.Option("--no-stack", help="Every copy and every picture of a burst, not only the best of each.")
    ] = False,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Read the first 50 hits again: texts by a cross-encoder, pictures by the assistant.")
    ] = False,
    assistant: AssistantName = "starter",
    preview: Annotated[bool, typer.Option("--preview", "-p", help="Draw the hits in the terminal.")] = False,
    json_: Json = False,
) -> None:
    """Find images, moments of audio and video, and pages, by words, by a file, or by both."""
    from ..library.library import Library

    filter = filter_of(kind or [], under, since, until)
    text = " ".join(query)
    group_by: Grouping = "place" if segments else "file" if no_stack else "stack"
    opened = Library(library, space)
    hits = opened.search(text, max(top, FIRST) if rerank else top, filter, min_relevance, group_by=group_by, where=where)
    if rerank:
        hits = reranked(opened, text, hits, assistant)[:top]
    if grid:
        from ..library.contact_sheet import write_contact_sheet

        write_contact_sheet(grid, text, hits)
        print_status(f"contact sheet: {grid}")
    tell(opened, text, hits, min_relevance)
    if json_:
        print_json(hits)
    elif filepath_only or null:
        print_paths(hits, "\0" if null else "\n")
    else:
        print_hits(hits, preview)


def reranked(library: "Library", text: str, hits: "list[Hit]", assistant: str) -> "list[Hit]":
    """Return hits, the first of them read again."""
    with needs_extra("reading hits again", "ask"):
        from ..assistant.open import open_assistant
        from ..assistant.rerank import open_reranker, rerank
    with counting_bar("reading hits again") as count:
        return rerank(library, text, hits, lambda: open_reranker(lambda: open_assistant(assistant)), FIRST, count)


def tell(library: "Library", text: str, hits: "list[Hit]", min_relevance: float) -> None:
    """Say what of a query was not understood as it may have been meant."""
    from ..library.search.hits import LIKELY
    from ..library.search.query import missing_files

    if min_relevance and any(hit.relevance is None for hit in hits):
        print_status(
            "--min-relevance has no effect here: the query names a file or what is not wanted, or the space has no calibration"
        )
    if unknown := library.unknown_words(text):
        words = ", ".join(f'"{escape_control(word)}"' for word in unknown[:5])
        print_status(
            f"the space {library.space.name} does not know {words}: found only where written; others do: samespace spaces recommend"
        )
    for name in missing_files(text):
        print_status(f"there is no file {escape_control(name)}: it is searched as words")
    if not hits:
        print_status(NO_HITS)
    elif all(hit.relevance is not None and hit.relevance < LIKELY for hit in hits):
        print_status(NOT_LIKELY)
    if sys.stderr.isatty():
        offer_meanings(text)


def filter_of(kinds: list[str], under: Path | None, since: str | None, until: str | None) -> "Filter":
    """Return what the options let through. Raises QueryError."""
    from ..library.store.filter import Filter
    from ..media.kinds import KINDS

    if unknown := set(kinds) - set(KINDS):
        raise QueryError(f"there is no kind {unknown.pop()!r}; choose one of {', '.join(KINDS)}")
    if under and not under.exists():
        print_status(f"{escape_control(str(under))} does not exist; what was indexed below it may be on a disk that is not there")
    days = parse_date(since), parse_date(until, end=True)
    filter = Filter(tuple(kinds), absolute(under) if under else "", *days)
    if filter.since and filter.until and filter.since >= filter.until:
        raise QueryError(f"--since {since} is after --until {until}; swap them")
    return filter


def offer_meanings(text: str) -> None:
    """Say how to mean the times that a query names in words, and what it says is not wanted."""
    from ..library.search.date_words import date_words
    from ..library.search.negation import negations

    for words in (*date_words(text, date.today()), *negations(text)):
        print_status(f'"{escape_control(words.text)}" is searched as words; to mean it, write {escape_control(words.condition)}')


def parse_date(text: str | None, end: bool = False) -> datetime | None:
    """Return the start of a day, month or year in local time, or with `end` its end. Raises QueryError."""
    if text is None:
        return None
    from ..library.search.dates import date_range

    try:
        return date_range(text)[int(end)]
    except ValueError as error:
        raise QueryError(str(error)) from None


def print_json(hits: "list[Hit]") -> None:
    """Print each hit as a JSON object."""
    for hit in hits:
        fields = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(hit).items()}
        print_result(json.dumps(fields))


def print_paths(hits: "list[Hit]", end: str) -> None:
    """Print the files of hits, each once."""
    for path in dict.fromkeys(hit.path for hit in hits):
        print_result(path, end)


def print_hits(hits: "list[Hit]", preview: bool) -> None:
    """Print hits as a table; with `preview` also as pictures."""
    from ..media.locator import locator

    for hit in hits:
        relevance = "" if hit.relevance is None else f"  {hit.relevance:4.0%}"
        listed = hit.score == 0 and hit.relevance is None  # by conditions alone, which have no score
        day = f"{hit.taken_at.astimezone():%Y-%m-%d}" if hit.taken_at else "    -     "
        stack = f"  ({hit.stacked} in its stack)" if hit.stacked > 1 else ""
        line = f"{hit.rank:3}  {day if listed else f'{hit.score:6.3f}'}{relevance}  {escape_control(hit.path)}  {locator(hit)}"
        print_result(line.rstrip() + stack)
        if preview:
            from .preview import draw

            print_result(draw(hit))
