"""`samespace mark` and `samespace albums`: tags, albums, favourites, stars, and saved searches."""

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import MissingLibrary, QueryError
from .console import CommandGroup, LibraryPath, SpaceName, escape_control, print_result, print_status

Names = list[str] | None

albums = typer.Typer(cls=CommandGroup, help="Albums, tags and saved searches of a library.", no_args_is_help=True)


def mark(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders for all files in them.")],
    tag: Annotated[Names, typer.Option(help="Add a tag; may be repeated.")] = None,
    untag: Annotated[Names, typer.Option(help="Remove a tag.")] = None,
    album: Annotated[Names, typer.Option(help="Put into an album; it is made with its first file.")] = None,
    out_of: Annotated[Names, typer.Option(help="Take out of an album.")] = None,
    favourite: Annotated[bool | None, typer.Option("--favourite/--no-favourite", help="Is it one?")] = None,
    hidden: Annotated[
        bool | None, typer.Option("--hide/--show", help="Leave it out, except where is:hidden asks for it.")
    ] = None,
    rating: Annotated[int | None, typer.Option(help="Stars, 1 to 5, or 0 for none.")] = None,
    library: LibraryPath = None,
    space: SpaceName = None,
) -> None:
    """Say something of indexed files: tags, albums, favourite, stars. The files themselves are not touched."""
    from ..library.library import Library
    from ..library.store.marks import Change

    change = Change(
        tuple(tag or ()),
        tuple(untag or ()),
        tuple(album or ()),
        tuple(out_of or ()),
        favourite=favourite,
        hidden=hidden,
        rating=rating,
    )
    if change == Change():
        raise QueryError(
            "nothing is to be said of these files; give --tag, --album, --favourite, --hide, --rating or what takes them back"
        )
    count = Library(library, space).mark(paths, change)
    if not count:
        raise MissingLibrary("none of these files is in the library; index their folder first: samespace index DIR")
    print_status(f"{count} {'file' if count == 1 else 'files'} marked")


@albums.command("list")
def list_albums(library: LibraryPath = None, space: SpaceName = None) -> None:
    """List albums, tags and saved searches."""
    from ..library.library import Library

    opened = Library(library, space)
    opened.check_exists()
    contents = opened.marks.read()
    for field, named in (("album", contents.albums()), ("tag", contents.tags())):
        for name, count in named:
            shown = escape_control(name)
            print_result(f'{field:6} {shown}  {count}  ({field}:"{shown}")')
    for name, query in contents.searches.items():
        print_result(f"search {escape_control(name)}  {escape_control(query)}")
    if not (contents.albums() or contents.tags() or contents.searches):
        print_status('none yet; begin one with: samespace mark FILE... --album "Summer 2019"')


@albums.command("save")
def save_search(
    name: Annotated[str, typer.Argument(help="Its name.")],
    query: Annotated[str, typer.Argument(help='Words and conditions: "beach year:2019 -tag:blurry"; an empty one forgets it.')],
    library: LibraryPath = None,
    space: SpaceName = None,
) -> None:
    """Keep a search under a name: an album that stays true as files come."""
    from ..library.library import Library

    Library(library, space).save_search(name, query)
    print_status(f"{escape_control(name)} is {'kept' if query.strip() else 'forgotten'}")


@albums.command("write-xmp")
def write_xmp(
    where: Annotated[str, typer.Option(help='Only files that meet conditions: "folder:/photos/2019"')] = "",
    library: LibraryPath = None,
    space: SpaceName = None,
) -> None:
    """Write your tags, people and stars into XMP files beside the files, for other programs; what these say already stays."""
    from ..library.library import Library

    written, problems = Library(library, space).write_sidecars(where)
    for path, reason in problems:
        print_status(f"{escape_control(path)}: {escape_control(reason)}")
    print_status(f"{written} XMP {'file' if written == 1 else 'files'} written")


@albums.command("export")
def export(
    query: Annotated[str, typer.Argument(help='What to export: album:"Summer", the name of a saved search, or any query.')],
    out: Annotated[Path, typer.Argument(help="A new folder for links, or a file that ends in .m3u, .zip or .html.")],
    top: Annotated[int, typer.Option(min=1, help="Most files.")] = 10_000,
    min_relevance: Annotated[float, typer.Option(min=0, max=1, help="Of words, only hits that are so likely meant.")] = 0.5,
    library: LibraryPath = None,
    space: SpaceName = None,
) -> None:
    """Write what a search finds as a folder of links, a playlist, a ZIP file, or a page with pictures."""
    from ..library.export import export as write
    from ..library.library import Library

    opened = Library(library, space)
    hits = opened.search(
        opened.marks.read().searches.get(query, query), top, min_relevance=min_relevance, files=False, group_by="file"
    )
    written, wanted = write(hits, out), len({hit.path for hit in hits})
    left_out = f"; {wanted - written} are not there and were left out" if written < wanted else ""
    print_status(f"{written} files: {out}{left_out}")
