"""`samespace draw`."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from ..core.errors import QueryError
from ..core.files import write_atomically
from ..core.paths import expanded
from .console import Yes, counting_bar, download_from_hub, escape_control, needs_extra, print_result, print_status

if TYPE_CHECKING:
    from ..generate.guidance import Critic

SCALE, MOST_SCALE = 4, 16
"""How many times larger than it is drawn a file of our generators is."""
T = TypeVar("T")
OnStep = Callable[[int, int], None]
"""Called with the steps done, and all."""


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
        int | None,
        typer.Option(
            min=1, max=MOST_SCALE, help="How many times larger than it is drawn; the starter draws 64 pixels.", show_default="4"
        ),
    ] = None,
    size: Annotated[int, typer.Option(help="Of Stable Diffusion: pixels a side.", show_default="as it was trained")] = 0,
    guide: Annotated[
        str, typer.Option("--guide", metavar="SPACE", help="A space whose image tower steers each step, too; slower.")
    ] = "",
    strokes: Annotated[
        int, typer.Option(help="Draw so many strokes as SVG instead, by the image tower of --guide, or the starter's.")
    ] = 0,
    best_of: Annotated[
        int, typer.Option("--best-of", help="Draw so many of each, and keep what the space finds nearest to the query.")
    ] = 1,
    generator: Annotated[
        str,
        typer.Option("--with", envvar="SAMESPACE_GENERATOR", help="A generator, or a Stable Diffusion: its folder or hub name."),
    ] = "starter",
    yes: Yes = False,
) -> None:
    """Draw what words, a picture, a sound or their sum mean in the space."""
    from ..generate.generator import GENERATORS, check_seed

    native = None if strokes or GENERATORS.find(generator) else native_folder(generator)
    endings = (".svg",) if strokes else (".png", ".wav") if native else (".png",)
    file = expanded(output) if output else free_name(query, (endings[0], ".gif") if gif else endings[:1])
    if file.suffix.lower() not in endings:
        raise QueryError(f"{file.name} does not end in {' or '.join(endings)}; write a name that does")
    check_seed(seed)
    wish = Wish(query, file, grid, seed, steps, guidance, scale, size, gif, guide, best_of)
    if strokes:
        draw_with_strokes(wish, strokes)
    elif native:
        draw_with_native(native, wish)
    elif pipeline := pipeline_folder(generator, yes):
        draw_with_diffusion(pipeline, generator, wish)
    else:
        draw_with_generator(generator, wish)


@dataclass(frozen=True)
class Wish:
    """What the command was asked for."""

    query: str
    file: Path
    grid: int = 1
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    scale: int | None = None
    size: int = 0
    gif: bool = False
    guide: str = ""
    best_of: int = 1

    def refuse(self, reason: str, *options: str) -> None:
        """Raise QueryError where one of some options is given."""
        of_name = {field.name: field for field in fields(self)}
        if given := [f"--{name.replace('_', '-')}" for name in options if getattr(self, name) != of_name[name].default]:
            raise QueryError(f"{reason}; leave {' and '.join(given)} out")

    def about(self, name: str, steps: int, guidance: float) -> dict[str, str]:
        """Return what a drawing's file says of itself."""
        from ..generate import files

        return files.about(self.query, name, self.seed, steps, guidance)


def draw_with_generator(name: str, wish: Wish) -> None:
    """Draw with a generator of ours; what was drawn until Ctrl-C is kept."""
    from ..generate import files
    from ..generate.generator import GUIDANCE, MOST_DRAWINGS, STEPS, check_range, load_generator
    from ..generate.sampler import to_rgba

    wish.refuse(f"the generator {name} draws one size, which --scale enlarges", "size")
    opened = load_generator(name)
    steps, guidance, scale = wish.steps, wish.guidance, SCALE if wish.scale is None else wish.scale
    steps, guidance = STEPS if steps is None else steps, GUIDANCE if guidance is None else guidance
    files.check_pixels(wish.grid, opened.config.size * scale, steps if wish.gif else 1)
    check_range("--best-of", wish.best_of, 1, max(1, MOST_DRAWINGS // max(1, wish.grid)))
    asked = opened.read(wish.query)
    if len(asked.wanted.states) == opened.config.words:
        print_status(f"only the first {opened.config.words} word pieces are read one by one; all of them count for the whole")
    improve = critic_of(wish.guide, wish.query).improve() if wish.guide else None
    drawn = opened.steps(asked, wish.grid * wish.best_of, seed=wish.seed, steps=steps, guidance=guidance, improve=improve)
    kept, stopped = until_ctrl_c(partial(counted, drawn, steps), steps if wish.gif else 1)
    about = wish.about(opened.config.name, kept[-1].number, guidance)
    drawings = to_rgba(kept[-1].pictures)
    best = opened.best(asked, drawings, wish.best_of)
    write(wish.file, files.png(files.sheet(drawings[best], scale), about))
    if wish.gif:
        write(wish.file.with_suffix(".gif"), files.gif([step.pictures[best] for step in kept], scale))
    if stopped:
        exit_stopped(f"{kept[-1].number} of {steps} steps")


def until_ctrl_c(make: Callable[[OnStep | None], Iterator[T]], most: int) -> tuple[list[T], bool]:
    """Return the last `most` of what is made while a bar counts, and whether Ctrl-C ended it; where nothing was made yet, it ends the command."""
    kept: deque[T] = deque(maxlen=most)
    with counting_bar("drawing") as on_step:
        try:
            kept.extend(make(on_step))
        except KeyboardInterrupt:
            if not kept:
                raise
            return list(kept), True
    return list(kept), False


def counted(made: Iterator[T], count: int, on_step: OnStep | None) -> Iterator[T]:
    """Yield what is made, `count` in all, and count it."""
    for number, one in enumerate(made, 1):
        yield one
        if on_step:
            on_step(number, count)


def exit_stopped(done: str) -> NoReturn:
    """Say that Ctrl-C ended a drawing, and end the command."""
    print_status(f"stopped after {done}; what was drawn until then is in the file")
    raise typer.Exit(130)


def draw_with_native(folder: Path, wish: Wish) -> None:
    """Draw what follows a query in a native model's stream: pictures, or in a .wav file a sound."""
    with needs_extra("drawing with a native model", "ask"):
        from ..generate import files
        from ..generate import native as natives
    from ..generate.sampler import to_rgba

    wish.refuse("a native model draws from words, pictures and sounds alone", "gif", "guide", "size", "best_of")
    steps, guidance = wish.steps, wish.guidance
    steps, guidance = natives.STEPS if steps is None else steps, natives.GUIDANCE if guidance is None else guidance
    scale, is_sound = SCALE if wish.scale is None else wish.scale, wish.file.suffix.lower() == ".wav"
    if is_sound:
        wish.refuse("a sound is one", "grid", "scale")
    opened = natives.load_native(folder)
    files.check_pixels(wish.grid, opened.config.size * scale)
    settings = natives.Settings(steps=steps, guidance=guidance, seed=wish.seed)
    try:
        if is_sound:
            data = files.wav(opened.sound(wish.query, settings), opened.config.audio.rate)
        else:
            sheet = files.sheet(to_rgba(opened.pictures(wish.query, wish.grid, settings)), scale)
            data = files.png(sheet, wish.about(opened.config.name, steps, guidance))
    except KeyboardInterrupt:
        print_status("stopped; nothing was drawn to its end, and nothing is written")
        raise typer.Exit(130) from None
    write(wish.file, data)


def native_folder(name: str) -> Path | None:
    """Return the folder of a native model of this name; None where there is none."""
    from ..generate.native_registry import NATIVES

    return NATIVES.find(name)


def draw_with_strokes(wish: Wish, count: int) -> None:
    """Draw Bézier strokes as SVG; what was drawn until Ctrl-C is kept."""
    wish.refuse(
        "strokes are one drawing of any size, led by an image tower alone", "grid", "guidance", "scale", "size", "gif", "best_of"
    )
    critic = critic_of(wish.guide or "starter", wish.query)
    from ..generate.strokes import MOST_STROKES, STEPS, draw_strokes, to_svg

    steps = STEPS if wish.steps is None else wish.steps
    if not 1 <= count <= MOST_STROKES or not 1 <= steps <= 2000:
        raise QueryError(f"{count} strokes in {steps} steps; give 1 to {MOST_STROKES} strokes, and 1 to 2000 steps")
    numbered = enumerate(draw_strokes(critic, count, wish.seed, steps), 1)
    ((number, drawn),), stopped = until_ctrl_c(partial(counted, numbered, steps), 1)
    write(wish.file, to_svg(drawn, wish.query).encode())
    if stopped:
        exit_stopped(f"{number} of {steps} steps")


def critic_of(space: str, query: str) -> "Critic":
    """Return the image tower of a space, and what a query means in it. Raises UnknownSpace, UnknownGenerator, QueryError."""
    with needs_extra("steering by an image tower", "train"):
        from ..generate.guidance import Critic
    from ..spaces import registry

    return Critic(registry.load(space), query)


def draw_with_diffusion(folder: Path, name: str, wish: Wish) -> None:
    """Draw with Stable Diffusion, whose words are read by our text towers; drawings that were done until Ctrl-C are kept."""
    with needs_extra("drawing with Stable Diffusion", "draw"):
        import numpy as np

        from ..generate import files
        from ..generate.stable_diffusion import StableDiffusion
    wish.refuse("the steps of Stable Diffusion are no pictures yet", "gif")
    wish.refuse("Stable Diffusion is steered by words alone", "guide", "best_of")
    wish.refuse("Stable Diffusion draws as large as --size says", "scale")
    files.check_pixels(wish.grid, wish.size)
    opened = StableDiffusion(folder, name)
    if opened.is_cut(wish.query):
        print_status("only the first 75 word pieces are read; shorten what is asked for")
    steps, guidance = wish.steps, wish.guidance
    steps, guidance = opened.defaults[0] if steps is None else steps, opened.defaults[1] if guidance is None else guidance
    settings: dict[str, Any] = {"seed": wish.seed, "steps": steps, "guidance": guidance, "size": wish.size}
    kept, stopped = until_ctrl_c(lambda on_step: opened.drawings(wish.query, wish.grid, **settings, on_step=on_step), wish.grid)
    pixels = np.stack([np.asarray(drawing.convert("RGBA")) for drawing in kept])
    write(wish.file, files.png(files.sheet(pixels, 1), wish.about(name, steps, guidance)))
    if stopped:
        exit_stopped(f"{len(kept)} of {wish.grid} drawings")


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
    return download_from_hub(source, yes)


def write(file: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and print its name."""
    write_atomically(file, lambda out: out.write(data))
    print_result(escape_control(str(file)))


def free_name(query: str, endings: Sequence[str]) -> Path:
    """Return a name in this folder for the drawing of a query, with the first of some endings, that no file has yet with any of them."""
    from ..library.search.query import names_file

    words = Path(query).stem if names_file(query) else query
    stem = re.sub(r"[^\w ,'-]+", "-", words).strip(" -")[:60] or "drawing"
    names = (f"{stem}{number}" for number in ["", *(f" {n}" for n in range(2, 10_000))])
    return next(Path(name + endings[0]) for name in names if not any(Path(name + ending).exists() for ending in endings))
