"""`samespace duplicates`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.paths import to_text
from .console import Json, LibraryPath, SpaceName, escape_control, print_result, print_status

if TYPE_CHECKING:
    from ..library.duplicates import DuplicateGroup, TrashReport
    from ..library.library import Library


def duplicates(
    where: Annotated[str, typer.Option(help='Only groups with a file that meets conditions: "folder:/photos year:2019"')] = "",
    trash: Annotated[
        bool, typer.Option("--trash", help="Ask, and move all but the best of each group to the system's trash.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was moved to the trash last.")] = False,
    library: LibraryPath = None,
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """List copies of the same picture or video, the best of each first, and why it is. Nothing is deleted by itself."""
    from ..library.library import Library

    opened = Library(library, space)
    if undo:
        print_trashed(opened.restore_trashed(), "taken back")
        return
    groups, others = 0, list[str]()
    for group in opened.duplicates(where):
        groups += 1
        others += [copy.hit.path for copy in group.copies[1:]]
        print_group(group, json_)
    if not groups:
        print_status("no copies; what was indexed by an older version is compared with the next: samespace index DIR")
    elif not trash:
        print_status(
            f"{groups} {'group' if groups == 1 else 'groups'}, {len(others)} besides the best; see them: samespace serve, /duplicates"
        )
    elif yes or typer.confirm(f"Move {len(others)} files to the trash, and keep the best of each group?"):
        move(opened, others)


def print_group(group: "DuplicateGroup", json_: bool) -> None:
    """Print a group: the best, why it is, and the others."""
    best, *others = group.copies
    if json_:
        files = [
            {"path": to_text(copy.hit.path), "pixels": copy.pixels, "size": copy.hit.size, "has": copy.facts}
            for copy in group.copies
        ]
        print_result(json.dumps({"why": group.why, "files": files}, ensure_ascii=False))
        return
    print_result(f"{escape_control(best.hit.path)}  {best.shape}  best: {group.why}")
    for copy in others:
        print_result(f"    {escape_control(copy.hit.path)}  {copy.shape}")


def move(library: "Library", paths: list[str]) -> None:
    """Move files to the trash, and say what was done."""
    print_trashed(library.trash(paths), "moved to the trash; take them back with: samespace duplicates --undo")


def print_trashed(report: "TrashReport", done: str) -> None:
    """Say what was moved, and what was not and why."""
    for path, reason in report.problems:
        print_status(f"{escape_control(path)}: {reason}")
    print_status(f"{len(report.moved)} {'file' if len(report.moved) == 1 else 'files'} {done}")
