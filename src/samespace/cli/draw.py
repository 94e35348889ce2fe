"""`samespace draw`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import QueryError
from ..core.files import write_atomically
from ..core.paths import expanded
from .console import counting_bar, escape_control, print_result, print_status

if TYPE_CHECKING:
    from ..generate.generator import Generator, Step

MOST_SCALE = 16


def draw(
    query: Annotated[str, typer.Argument(help='What a search takes: "a red apple", a picture, a sound, or "dog + snow".')],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The PNG to write.", show_default="named as the query, in this folder")
    ] = None,
    grid: Annotated[int, typer.Option(help="Drawings on one sheet.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same drawing.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps from noise to the drawing.")] = 25,
    guidance: Annotated[float, typer.Option(help="How far it is pulled towards the query; 1 is not at all.")] = 3.0,
    gif: Annotated[bool, typer.Option("--gif", help="Write the steps as an animation, too.")] = False,
    scale: Annotated[int, typer.Option(min=1, max=MOST_SCALE, help="How many times larger than it is drawn.")] = 4,
    generator: Annotated[
        str, typer.Option("--with", envvar="SAMESPACE_GENERATOR", help="Name or folder of a generator.")
    ] = "starter",
) -> None:
    """Draw what words, a picture, a sound or their sum mean in the space."""
    from ..generate import files
    from ..generate.generator import load_generator
    from ..generate.sampler import to_rgba

    opened = load_generator(generator)
    asked = opened.read(query)
    warn_of_cut_words(opened, len(asked.wanted.states))
    file = expanded(output) if output else free_name(query)
    if file.suffix.lower() != ".png":
        raise QueryError(f"{file.name} is no name of a PNG; write one that ends in .png")
    done: list[Step] = []
    stopped = ""
    with counting_bar("drawing") as count:
        try:
            for step in opened.steps(asked, grid, seed=seed, steps=steps, guidance=guidance):
                done.append(step)
                if count:
                    count(len(done), steps)
        except KeyboardInterrupt:
            if not done:
                raise
            stopped = f" after {len(done)} of {steps} steps"
    settings = f"seed {seed}, steps {len(done)}, guidance {guidance:g}"
    about = {"Description": query, "Comment": f"drawn by samespace's generator {opened.config.name}: {settings}"}
    write_atomically(file, lambda out: out.write(files.png(files.sheet(to_rgba(done[-1].pictures), scale), about)))
    print_result(escape_control(str(file)))
    if gif:
        animation = file.with_suffix(".gif")
        write_atomically(animation, lambda out: out.write(files.gif([step.pictures for step in done], scale)))
        print_result(escape_control(str(animation)))
    if stopped:
        print_status(f"stopped{stopped}; what was drawn until then is in the file")
        raise typer.Exit(130)


def warn_of_cut_words(generator: "Generator", count: int) -> None:
    """Say so where a query may be longer than the words that are read."""
    if count == generator.config.words:
        print_status(f"only the first {count} word pieces are read one by one; all of them count for the whole")


def free_name(query: str) -> Path:
    """Return a name in this folder for the drawing of a query that no file has yet."""
    from ..library.search.query import names_file

    words = Path(query).stem if names_file(query) else query
    stem = re.sub(r"[^\w ,'-]+", "-", words).strip(" -")[:60] or "drawing"
    names = (Path(f"{stem}{number}.png") for number in ["", *(f" {n}" for n in range(2, 10_000))])
    return next(name for name in names if not name.exists())
