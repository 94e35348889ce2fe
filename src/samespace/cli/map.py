"""`samespace map`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from .console import Json, LibraryPath, SpaceName, print_result, print_status


def map_(
    again: Annotated[bool, typer.Option("--again", help="Lay it out anew: everything may move.")] = False,
    library: LibraryPath = None,
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """Lay the whole library out in two dimensions, and name its largest groups; see it: samespace serve, /map"""
    from ..library.library import Library

    opened = Library(library, space)
    opened.check_searchable()
    layout = opened.map.make(lambda doing: print_status(f"{doing} …")) if again or not opened.map.exists else opened.map.read()
    for label in sorted(layout.labels, key=lambda label: -label.count):
        if json_:
            print_result(json.dumps(asdict(label), ensure_ascii=False))
        elif label.level == 0:
            print_result(f"{label.count:7,}  {label.text}")
    print_status(f"{len(layout.ids):,} pictures and sounds are on the map; see it: samespace serve, /map")
