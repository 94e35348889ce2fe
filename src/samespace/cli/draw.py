"""`samespace draw`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import QueryError
from ..core.files import write_atomically
from ..core.paths import expanded
from .console import Yes, confirm_download, counting_bar, escape_control, needs_extra, print_result, print_status

if TYPE_CHECKING:
    from ..generate.generator import Step
    from ..generate.guidance import Critic

MOST_SCALE = 16


def draw(
    query: Annotated[str, typer.Argument(help='What a search takes: "a red apple", a picture, a sound, or "dog + snow".')],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The PNG to write.", show_default="named as the query, in this folder")
    ] = None,
    grid: Annotated[int, typer.Option(help="Drawings on one sheet.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same drawing.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Steps from noise to the drawing.", show_default="25; a Turbo 1")] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="How far it is pulled towards the query; 1 is not at all.", show_default="3; Stable Diffusion 7.5"),
    ] = None,
    gif: Annotated[bool, typer.Option("--gif", help="Write the steps as an animation, too.")] = False,
    scale: Annotated[
        int, typer.Option(min=1, max=MOST_SCALE, help="How many times larger than it is drawn; the starter draws 64 pixels.")
    ] = 4,
    size: Annotated[int, typer.Option(help="Of Stable Diffusion: pixels a side.", show_default="as it was trained")] = 0,
    guide: Annotated[
        str, typer.Option("--guide", metavar="SPACE", help="A space whose image tower steers each step, too; slower.")
    ] = "",
    strokes: Annotated[
        int, typer.Option(help="Draw so many strokes as SVG instead, by the image tower of --guide, or the starter's.")
    ] = 0,
    generator: Annotated[
        str,
        typer.Option("--with", envvar="SAMESPACE_GENERATOR", help="A generator, or a Stable Diffusion: its folder or hub name."),
    ] = "starter",
    yes: Yes = False,
) -> None:
    """Draw what words, a picture, a sound or their sum mean in the space."""
    from ..generate.generator import GENERATORS

    native = None if strokes or GENERATORS.find(generator) else native_folder(generator)
    endings = (".svg",) if strokes else (".png", ".wav") if native else (".png",)
    file = expanded(output) if output else free_name(query, endings[0])
    if file.suffix.lower() not in endings:
        raise QueryError(f"{file.name} does not end in {' or '.join(endings)}; write a name that does")
    if strokes:
        draw_with_strokes(query, file, strokes, seed, steps, guide)
    elif native:
        if gif or guide or size:
            raise QueryError("a native model draws from words, pictures and sounds alone; leave --gif, --guide and --size out")
        draw_with_native(native, query, file, grid, seed, steps, guidance, scale)
    elif pipeline := pipeline_folder(generator, yes):
        if gif:
            raise QueryError("the steps of Stable Diffusion are no pictures yet; leave --gif out")
        if guide:
            raise QueryError("Stable Diffusion is steered by words alone; leave --guide out")
        draw_with_diffusion(pipeline, query, file, grid, seed, steps, guidance, size)
    elif size:
        raise QueryError(f"the generator {generator} draws one size; leave --size out, or enlarge it with --scale")
    else:
        draw_with_generator(generator, query, file, grid, seed, steps, guidance, scale, gif, guide)


def draw_with_generator(
    name: str, query: str, file: Path, grid: int, seed: int, steps: int | None, guidance: float | None, scale: int, gif: bool, guide: str
) -> None:  # fmt: skip
    """Draw with a generator of ours; what was drawn until Ctrl-C is kept."""
    from ..generate import files
    from ..generate.generator import GUIDANCE, STEPS, load_generator
    from ..generate.sampler import to_rgba

    opened = load_generator(name)
    steps, guidance = STEPS if steps is None else steps, GUIDANCE if guidance is None else guidance
    asked = opened.read(query)
    if len(asked.wanted.states) == opened.config.words:
        print_status(f"only the first {opened.config.words} word pieces are read one by one; all of them count for the whole")
    improve = critic_of(guide, query).improve() if guide else None
    done: list[Step] = []
    stopped = False
    with counting_bar("drawing") as count:
        try:
            for step in opened.steps(asked, grid, seed=seed, steps=steps, guidance=guidance, improve=improve):
                done.append(step)
                if count:
                    count(len(done), steps)
        except KeyboardInterrupt:
            stopped = True
            if not done:
                raise
    about = about_drawing(query, opened.config.name, seed, len(done), guidance)
    write(file, files.png(files.sheet(to_rgba(done[-1].pictures), scale), about))
    if gif:
        write(file.with_suffix(".gif"), files.gif([step.pictures for step in done], scale))
    if stopped:
        print_status(f"stopped after {len(done)} of {steps} steps; what was drawn until then is in the file")
        raise typer.Exit(130)


def draw_with_native(
    folder: Path, query: str, file: Path, grid: int, seed: int, steps: int | None, guidance: float | None, scale: int
) -> None:
    """Draw what follows a query in a native model's stream: pictures, or in a .wav file a sound."""
    with needs_extra("drawing with a native model", "ask"):
        from ..generate import files
        from ..generate import native as natives
    from ..generate.sampler import to_rgba

    steps, guidance = natives.STEPS if steps is None else steps, natives.GUIDANCE if guidance is None else guidance
    opened = natives.load_native(folder)
    settings = natives.Settings(steps=steps, guidance=guidance, seed=seed)
    about = about_drawing(query, opened.config.name, seed, steps, guidance)
    if file.suffix.lower() == ".wav":
        write(file, files.wav(opened.sound(query, settings), opened.config.audio.rate))
        return
    write(file, files.png(files.sheet(to_rgba(opened.pictures(query, grid, settings)), scale), about))


def native_folder(name: str) -> Path | None:
    """Return the folder of a native model of this name; None where there is none."""
    from ..generate.native_registry import NATIVES

    return NATIVES.find(name)


def draw_with_strokes(query: str, file: Path, count: int, seed: int, steps: int | None, guide: str) -> None:
    """Draw Bézier strokes as SVG; what was drawn until Ctrl-C is kept."""
    critic = critic_of(guide or "starter", query)
    from ..generate.strokes import MOST_STROKES, STEPS, draw_strokes, to_svg

    steps = STEPS if steps is None else steps
    if not 1 <= count <= MOST_STROKES or not 1 <= steps <= 2000:
        raise QueryError(f"{count} strokes in {steps} steps; give 1 to {MOST_STROKES} strokes, and 1 to 2000 steps")
    drawn = None
    with counting_bar("drawing") as on_step:
        try:
            for step in draw_strokes(critic, count, seed, steps, on_step):
                drawn = step
        except KeyboardInterrupt:
            if drawn is None:
                raise
    assert drawn is not None  # there is at least one step
    write(file, to_svg(drawn, query).encode())


def critic_of(space: str, query: str) -> "Critic":
    """Return the image tower of a space, and what a query means in it. Raises UnknownSpace, UnknownGenerator, QueryError."""
    with needs_extra("steering by an image tower", "train"):
        from ..generate.guidance import Critic
    from ..spaces import registry

    return Critic(registry.load(space), query)


def draw_with_diffusion(
    folder: Path, query: str, file: Path, grid: int, seed: int, steps: int | None, guidance: float | None, size: int
) -> None:
    """Draw with Stable Diffusion, whose words are read by our text towers."""
    with needs_extra("drawing with Stable Diffusion", "draw"):
        import numpy as np

        from ..generate import files
        from ..generate.stable_diffusion import StableDiffusion
    opened = StableDiffusion(folder)
    if opened.is_cut(query):
        print_status("only the first 75 word pieces are read; shorten what is asked for")
    steps, guidance = opened.defaults[0] if steps is None else steps, opened.defaults[1] if guidance is None else guidance
    with counting_bar("drawing") as count:
        drawings = opened.draw(query, grid, seed=seed, steps=steps, guidance=guidance, size=size, on_step=count)
    pixels = np.stack([np.asarray(drawing.convert("RGBA")) for drawing in drawings])
    write(file, files.png(files.sheet(pixels, 1), about_drawing(query, folder.name, seed, steps, guidance)))


def pipeline_folder(name: str, yes: bool) -> Path | None:
    """Return the folder of a Stable Diffusion, downloaded if the user agrees; None where the name is a generator of ours.

    Raises Offline, UnknownGenerator, UnknownSpace.
    """
    from ..generate.generator import GENERATORS

    if GENERATORS.find(name):
        return None
    if (folder := expanded(name)).is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return None
    with needs_extra("drawing with Stable Diffusion", "draw"):
        from ..generate.stable_diffusion import needed
        from ..spaces.convert import hub
    there = hub.files_of(name)
    source = there.only(needed(there.files))
    if hub.cached_folder(source.repo, source.revision) is None:
        confirm_download(source.size, source.what, yes)
    return hub.download(source)


def about_drawing(query: str, name: str, seed: int, steps: int, guidance: float) -> dict[str, str]:
    """Return what a drawing's file says of itself."""
    comment = f"drawn by samespace with {name}: seed {seed}, steps {steps}, guidance {guidance:g}"
    return {"Description": query, "Comment": comment}


def write(file: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and print its name."""
    write_atomically(file, lambda out: out.write(data))
    print_result(escape_control(str(file)))


def free_name(query: str, ending: str) -> Path:
    """Return a name in this folder for the drawing of a query that no file has yet."""
    from ..library.search.query import names_file

    words = Path(query).stem if names_file(query) else query
    stem = re.sub(r"[^\w ,'-]+", "-", words).strip(" -")[:60] or "drawing"
    names = (Path(f"{stem}{number}{ending}") for number in ["", *(f" {n}" for n in range(2, 10_000))])
    return next(name for name in names if not name.exists())
