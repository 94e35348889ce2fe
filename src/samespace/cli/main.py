"""The `samespace` command. Results go to stdout, all else to stderr; an error is one sentence and a non-zero exit code."""

import io
import os
import sys
import warnings
from typing import Annotated

import typer

from .. import __version__
from . import albums, ask, doctor, draw, duplicates, learn, library, map, operate, rerankers, search, serve, spaces, speech, train
from .console import CommandGroup, print_result

app = typer.Typer(
    cls=CommandGroup,
    help="Search pictures by what is in them, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    """Print the version and exit, if it is wanted."""
    if wanted:
        print_result(f"samespace {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version.", callback=print_version)] = False,
) -> None:
    """Declare the options that stand before a command."""


for command in (
    library.index, library.watch, search.search, library.read, albums.mark, learn.learn, duplicates.duplicates, library.forget, ask.ask, ask.chat, ask.trace, ask.caption, draw.draw, operate.operate, spaces.classify, spaces.embed,
    serve.serve, serve.mcp, train.train, library.demo, doctor.doctor,
):  # fmt: skip
    app.command()(command)
app.command("import")(library.import_from)
app.command("map")(map.map_)
app.add_typer(train.evaluate, name="eval")
app.add_typer(spaces.spaces, name="spaces")
app.add_typer(albums.albums, name="albums")
app.add_typer(speech.speech, name="speech")
app.add_typer(rerankers.rerankers, name="rerankers")
app.add_typer(ask.assistants, name="assistants")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = "utf-8" if os.name == "nt" else None  # what is redirected there is in an old code page
            stream.reconfigure(encoding=encoding, errors="surrogateescape")  # names of files need not be UTF-8
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about odd headers of pictures
    sys.argv[1:] = [f" {argument}" if argument.startswith("- ") else argument for argument in sys.argv[1:]]  # "- cat" is a query
    app()
