"""`samespace learn`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import QueryError
from ..core.paths import expanded, to_text
from .console import Json, LibraryPath, SpaceName, escape_control, print_result, print_status

if TYPE_CHECKING:
    from ..library.library import Library
    from ..library.store.concepts import Concept

Examples = list[Path] | None


def learn(
    name: Annotated[str, typer.Argument(help="The word to teach, such as Bella; without it, all words are listed.")] = "",
    yes: Annotated[Examples, typer.Argument(metavar="FILES...", help="Files that show it; three or more are best.")] = None,
    no: Annotated[Examples, typer.Option("--not", help="A file that does not show it, but looks as if; may be repeated.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the word.")] = False,
    library: LibraryPath = None,
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """Teach a word by a few examples; then search with it: samespace search "Bella on the beach", or concept:bella"""
    from ..library.library import Library

    opened = Library(library, space)
    opened.check_searchable()
    if not name:
        list_concepts(opened, json_)
    elif forget:
        opened.concepts.forget(name)
        print_status(f"{escape_control(name)} is forgotten")
    elif yes or no:
        concept = opened.learn(name, map(expanded, yes or ()), map(expanded, no or ()))
        found = opened.search("", top=10_000, where=f'concept:"{concept.name}"', group_by="file")
        print_status(
            f'{escape_control(description(concept))}; {len(found)} {"file is" if len(found) == 1 else "files are"} likely it; see: samespace search "{concept.name}"'
        )
    else:
        raise QueryError(f'give files that show it: samespace learn "{name}" FILE FILE FILE')


def list_concepts(library: "Library", json_: bool) -> None:
    """Print all words that were taught."""
    concepts = list(library.concepts.read().concepts.values())
    for concept in concepts:
        if json_:
            sides = {"yes": concept.yes, "no": concept.no}
            paths = {side: [to_text(example.path) for example in examples] for side, examples in sides.items()}
            print_result(json.dumps({"name": concept.name, **paths}, ensure_ascii=False))
        else:
            print_result(escape_control(f'{description(concept)}  (concept:"{concept.name}")'))
    if not concepts:
        print_status("no word was taught yet; teach one by a few files that show it: samespace learn Bella FILE FILE FILE")


def description(concept: "Concept") -> str:
    """Return how much was taught of a word."""
    count = len(concept.yes)
    against = f", {len(concept.no)} against" if concept.no else ""
    return f"{concept.name}: {count} {'example' if count == 1 else 'examples'}{against}"
