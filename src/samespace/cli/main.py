"""The `samespace` command. Results go to stdout, talk to stderr; errors are one sentence and a non-zero exit."""

import contextlib
import json
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import __version__
from ..core.errors import QueryError, SamespaceError
from ..core.paths import absolute, expanded
from . import ask as cli_ask
from . import spaces as cli_spaces
from . import train as cli_train
from .console import (
    Json,
    LibraryPath,
    OneSentence,
    SpaceName,
    lines_of,
    one_line,
    out,
    progress_bar,
    say,
    show_hits,
    show_paths,
    show_report,
)

app = typer.Typer(
    cls=OneSentence,
    help="Search pictures by what is in them, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def tell_version(asked: bool) -> None:
    if asked:
        out(f"samespace {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Say which version this is.", callback=tell_version)
    ] = False,
) -> None:
    """What stands before every command."""


@app.command()
def index(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", readable=False, help="Folders or files to index.")],
    library: LibraryPath = None,
    space: SpaceName = None,
    exclude_dir: Annotated[list[str] | None, typer.Option(help="Name of folders to leave out; may be repeated.")] = None,
    beside: Annotated[bool, typer.Option("--beside", help="Add this space's vectors beside another's.")] = False,
    ray: Annotated[str, typer.Option(help="Address of a Ray cluster that embeds the files; local to start one here.")] = "",
    json_: Json = False,
) -> None:
    """Index folders: new and changed pictures, sound, films and documents are embedded, the rest is kept."""
    from ..library.library import Library

    lib = Library(library, space, ray)
    with progress_bar() as progress:
        report = lib.add(folders, exclude_dir or (), beside, progress)
    show_report(report, lib.home, json_)


@app.command()
def forget(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders or files, there or not.")],
    library: LibraryPath = None,
    space: SpaceName = None,
) -> None:
    """Let go of what was indexed of folders and files. The files themselves are not touched."""
    from ..library.library import Library

    count = Library(library, space).forget(paths)
    say(f"{count} {'file' if count == 1 else 'files'} forgotten" + ("" if count else "; nothing of these was indexed"))


@app.command()
def search(
    query: Annotated[list[str], typer.Argument(help="Words, a file, or: 2:golden retriever + ./pool.jpg - cat")],
    library: LibraryPath = None,
    space: SpaceName = None,
    top: Annotated[int, typer.Option("--top", "-t", min=1, help="How many.")] = 10,
    filepath_only: Annotated[bool, typer.Option("--filepath-only", "-f", help="Print paths only, each once.")] = False,
    null: Annotated[bool, typer.Option("--null", "-0", help="The same, each ended by NUL, for: xargs -0")] = False,
    kind: Annotated[list[str] | None, typer.Option(help="Only image, audio, video or document; may be repeated.")] = None,
    under: Annotated[Path | None, typer.Option(help="Only files below this folder.")] = None,
    since: Annotated[str | None, typer.Option(help="Taken on this day or later: 2024, 2024-06 or 2024-06-30.")] = None,
    until: Annotated[str | None, typer.Option(help="Taken on this day or earlier.")] = None,
    min_relevance: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out hits that are less probably meant than this: 0.5.")
    ] = 0.0,
    grid: Annotated[Path | None, typer.Option(help="Write a contact sheet to this HTML file.")] = None,
    moments: Annotated[bool, typer.Option("--moments", help="Every moment and page, not only the best of each file.")] = False,
    preview: Annotated[bool, typer.Option("--preview", "-p", help="Draw the pictures in the terminal.")] = False,
    json_: Json = False,
) -> None:
    """Find pictures, moments of sound and film, and pages, by words, by a file, or by both."""
    from ..library.library import Library
    from ..library.store.filter import Filter
    from ..media.kinds import KINDS

    if unknown := set(kind or ()) - set(KINDS):
        raise QueryError(f"there is no kind {unknown.pop()!r}; choose one of {', '.join(KINDS)}")
    filter = Filter(tuple(kind or ()), absolute(under) if under else "", day(since, 0), day(until, 1))
    if filter.since and filter.until and filter.since >= filter.until:
        raise QueryError(f"--since {since} is after --until {until}; exchange them")
    hits = Library(library, space).search(" ".join(query), top, filter, min_relevance, each=moments)
    if grid:
        from ..library.contact_sheet import write_sheet

        write_sheet(grid, " ".join(query), hits)
        say(f"contact sheet: {grid}")
    if min_relevance and any(hit.relevance is None for hit in hits):
        say("--min-relevance has no effect here: the query has a picture in it, or the space has no calibration")
    if (filepath_only or null) and not json_:
        show_paths(hits, "\0" if null else "\n")
    else:
        show_hits(hits, "json" if json_ else "preview" if preview else "plain")


@app.command("import")
def import_(
    program: Annotated[Literal["rclip", "clip-retrieval"], typer.Argument(help="Which program made the vectors.")],
    source: Annotated[Path, typer.Argument(help="rclip's db.sqlite3, or clip-retrieval's output folder.")],
    library: LibraryPath = None,
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """Take over another program's vectors, where the space is the same checkpoint: nothing is embedded again."""
    from ..library.importers import READERS, take_over
    from ..library.library import Library

    lib = Library(library, space)
    with progress_bar() as progress:
        report = take_over(lib, READERS[program](expanded(source)), progress)
    show_report(report, lib.home, json_)


@app.command()
def classify(
    pictures: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures.")],
    labels: Annotated[str, typer.Option(help="Comma-separated labels, or @FILE with one a line.")],
    templates: Annotated[Path | None, typer.Option(help="File of sentences with {} for the label, one a line.")] = None,
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """Say which label fits each picture best, with probabilities."""
    from ..evaluate.zeroshot import TEMPLATES, label_vectors, probabilities
    from ..spaces import hub

    loaded = hub.load(space or "starter")
    names = lines_of(Path(labels[1:])) if labels.startswith("@") else [n.strip() for n in labels.split(",")]
    z_labels = label_vectors(loaded, names, lines_of(templates) if templates else TEMPLATES)
    failed = 0
    for picture in pictures:
        try:
            chances = probabilities(loaded, loaded.image([picture]), z_labels)[0]
        except SamespaceError as error:
            say(f"skipped {one_line(str(error))}")
            failed += 1
            continue
        ranked = sorted(zip(names, map(float, chances)), key=lambda pair: -pair[1])
        if json_:
            out(json.dumps({"path": str(picture), "labels": [{"label": n, "probability": p} for n, p in ranked]}))
        else:
            out(f"{one_line(str(picture))}\t" + "  ".join(f"{n} {p:.1%}" for n, p in ranked[:5]))
    if failed == len(pictures):
        raise typer.Exit(1)


@app.command()
def embed(
    items: Annotated[
        list[str], typer.Argument(metavar="FILE|TEXT...", help="Existing files are pictures, anything else is words.")
    ],
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """Print vectors."""
    from ..library.indexing.embed import Embedder, term_of
    from ..media.kinds import kind_of
    from ..spaces import hub

    embedder = Embedder(hub.load(space or "starter"))
    for item in items:
        term = term_of(item, weighted=False)
        z = embedder.encode(term)
        if json_:
            kind = kind_of(term.path) or "image" if term.path else "text"
            out(
                json.dumps(
                    {"input": item, "kind": kind, "space": embedder.space.fingerprint, "z": [round(float(v), 6) for v in z]}
                )
            )
        else:
            out(f"{one_line(item)}\t" + " ".join(f"{v:.4f}" for v in z[:8]) + f" … ({len(z)} numbers)")


@app.command()
def doctor() -> None:
    """Say what is installed, which spaces there are, and how to get what is missing."""
    from .doctor import lines

    for line in lines():
        out(line)


@app.command()
def demo(
    library: Annotated[
        Path | None, typer.Option(help="Keep the photographs in this library; a temporary one by default.")
    ] = None,
) -> None:
    """Index six photographs and search them."""
    from ..library.demo import run

    run(library, out)


for command in (cli_ask.ask, cli_ask.chat, cli_ask.caption, cli_ask.trace, cli_ask.serve, cli_ask.mcp, cli_train.train):
    app.command()(command)
app.add_typer(cli_train.evaluate, name="eval")
app.add_typer(cli_spaces.spaces, name="spaces")
app.add_typer(cli_ask.assistants, name="assistants")


def day(text: str | None, later: int) -> datetime | None:
    """The start of a day, month or year in local time; `later` 1 gives the start of the next."""
    if text is None:
        return None
    for form in ("%Y-%m-%d", "%Y-%m", "%Y"):
        with contextlib.suppress(ValueError):
            start = datetime.strptime(text, form)
            if later:
                months = start.year * 12 + start.month - 1 + {"%Y-%m": 1, "%Y": 12}.get(form, 0)
                start = start.replace(year=months // 12, month=months % 12 + 1)
                start = start.fromordinal(start.toordinal() + 1) if form == "%Y-%m-%d" else start
            return start.astimezone(UTC)
    raise QueryError(f"{text!r} is not a date; write 2024, 2024-06 or 2024-06-30")


def main() -> None:
    """The command's entry point."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # odd headers are not the reader's concern
    app()
