"""`samespace index`, `forget`, `import` and `demo`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.errors import MissingExtra
from ..core.paths import expanded
from .console import Json, LibraryPath, SpaceName, counting_bar, escape_control, indexing_bar, print_result, print_status

if TYPE_CHECKING:
    from types import FrameType

    from ..library.indexing.report import Report
    from ..library.library import Library

COUNTED = {"added": "new", "reused": "copies", "moved": "moved", "removed": "gone", "same": "unchanged"}
"""What a report counts → its words."""
MAX_NAMED = 20
"""Files skipped for the same reason are named one by one up to this number."""


def index(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", readable=False, help="Folders or files to index.")],
    library: LibraryPath = None,
    space: SpaceName = None,
    exclude_dir: Annotated[list[str] | None, typer.Option(help="Name of folders to skip; may be repeated.")] = None,
    additional: Annotated[
        bool, typer.Option("--additional", help="Add the vectors of this space to a library that has those of another.")
    ] = False,
    ray: Annotated[
        str, typer.Option(help="Address of a Ray cluster that embeds the files; local starts one on this machine.")
    ] = "",
    read: Annotated[
        bool | None,
        typer.Option("--read/--no-read", help="Read the text in pictures and videos, too; the library remembers it."),
    ] = None,
    json_: Json = False,
) -> None:
    """Index folders: embed new and changed images, audio, videos and documents, and keep the rest."""
    from ..library.library import Library

    if read:
        from ..media import ocr

        if ocr.reader() is None:  # before it is kept as the library's setting
            raise MissingExtra("reading text in pictures", "ocr")
    opened = Library(library, space, ray)
    first = not opened.exists
    with indexing_bar() as progress:
        report = opened.add(folders, exclude_dir or (), additional, progress)
    print_report(report, opened, json_)
    if read is not None:
        opened.reads_pictures = read
    if opened.reads_pictures:
        try:
            read_text(opened)
        except MissingExtra as error:
            print_status(f"{error}; or leave text unread: samespace index DIR --no-read")
    if first and opened.space.name == "starter":
        print_status("the starter reads English; larger spaces see more and read other languages: samespace spaces recommend")


def watch(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders to watch.")],
    library: LibraryPath = None,
    space: SpaceName = None,
    exclude_dir: Annotated[list[str] | None, typer.Option(help="Name of folders to skip; may be repeated.")] = None,
    poll: Annotated[bool, typer.Option("--poll", help="Look at the files every second, as network drives need it.")] = False,
) -> None:
    """Index folders, and what is new in them within seconds of being complete, until Ctrl-C."""
    import signal
    import threading

    from ..library.library import Library
    from ..library.watch import watch as watch_folders

    stop = threading.Event()

    def interrupt(number: int, frame: "FrameType | None") -> None:
        stop.set()  # a library may swallow what is raised in one of its callbacks
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    roots, opened = [expanded(folder).absolute() for folder in folders], Library(library, space)
    print_status(f"watching {', '.join(map(str, roots))}; stop with Ctrl-C")
    watch_folders(
        opened, roots, lambda report: print_report(report, opened, False), print_status, stop, exclude_dir or (), poll
    )  # fmt: skip
    raise KeyboardInterrupt


def read(library: LibraryPath = None, space: SpaceName = None) -> None:
    """Read the text in pictures and videos that are indexed, so that words find it. Stop it at any time: it goes on later."""
    from ..library.library import Library

    read_text(Library(library, space))


def read_text(library: "Library") -> None:
    """Read the text in a library's pictures, and say how many were read."""
    with counting_bar("reading text") as progress:
        count = library.read_pictures(progress)
    print_status(f"text was looked for in {count} {'picture' if count == 1 else 'pictures and shots'}")


def forget(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders or files; they need not exist any more.")],
    library: LibraryPath = None,
    space: SpaceName = None,
) -> None:
    """Remove folders and files from the library. The files themselves are not touched."""
    from ..library.library import Library

    count = Library(library, space).forget(paths)
    print_status(
        f"{count} {'file' if count == 1 else 'files'} removed from the library" + ("" if count else "; none of these is in it")
    )


def import_from(
    program: Annotated[
        Literal["rclip", "clip-retrieval", "takeout", "digikam", "immich"], typer.Argument(help="The program to import from.")
    ],
    source: Annotated[
        str,
        typer.Argument(
            help="rclip's db.sqlite3, clip-retrieval's output folder, an unpacked Google Takeout, digiKam's digikam4.db, or the address of "
            "an Immich server (its key in IMMICH_API_KEY)."
        ),
    ],
    library: LibraryPath = None,
    space: SpaceName = None,
    moved: Annotated[
        list[str] | None, typer.Option(help="/their/folder=/my/folder, where indexed files lie elsewhere; may be repeated.")
    ] = None,
    json_: Json = False,
) -> None:
    """Import vectors (rclip, clip-retrieval), or albums, tags, people and stars of indexed files (takeout, digikam, immich)."""
    from ..library import importers, migrations
    from ..library.library import Library

    opened = Library(library, space)
    if program in importers.READERS:
        with indexing_bar() as progress:
            report = importers.import_vectors(opened, importers.READERS[program](expanded(source)), progress)
        print_report(report, opened, json_)
        return
    given = source if program == "immich" else str(expanded(source))
    done = migrations.migrate(opened, migrations.PROGRAMS[program](given), moved or ())
    if json_:
        print_result(json.dumps({"marked": done.marked, "missing": done.missing}))
        return
    print_result(f"{done.marked} files marked")
    if done.missing:
        print_status(
            f"{len(done.missing)} others are not indexed here, the first is {escape_control(done.missing[0])}; index their folders, or say where "
            "they are: --moved /their/folder=/my/folder"
        )


def demo(
    library: Annotated[
        Path | None, typer.Option(help="Keep the photographs in this library; a temporary one by default.")
    ] = None,
) -> None:
    """Index six photographs and search them."""
    from ..library.demo import run

    run(library, print_result)


def print_report(report: "Report", library: "Library", as_json: bool) -> None:
    """Print what indexing did."""
    for line in skipped_lines(report.skipped):
        print_status(line)
    counts = {name: getattr(report, name) for name in COUNTED}
    if as_json:
        skipped = [{"path": path, "reason": reason} for path, reason in report.skipped]
        rest = {"skipped": skipped, "seconds": round(report.seconds, 2), "library": str(library.location)}
        print_result(json.dumps(counts | rest))
        return
    text = ", ".join(f"{count} {COUNTED[name]}" for name, count in counts.items() if count) or "nothing to index"
    rate = report.processed / report.seconds if report.seconds else 0.0
    speed = f" ({rate:.{0 if rate >= 10 else 1}f} files/s)" if rate >= 0.1 else ""
    print_result(f"{text}, {len(report.skipped)} skipped in {report.seconds:.1f} s{speed}")
    print_result(f"library: {library.location}")


def skipped_lines(skipped: list[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each skipped file, or one line for many files with the same reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(escape_control(reason), []).append(escape_control(name))
    for reason, names in by_reason.items():
        if len(names) > MAX_NAMED:
            yield f"skipped {len(names)} files, the first is {names[0]} (--json lists all): {reason}"
        else:
            yield from (f"skipped {name}: {reason}" for name in names)
