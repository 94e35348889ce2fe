"""`samespace rerankers`."""

from pathlib import Path
from typing import Annotated

import typer

from ..core.paths import expanded
from .console import CommandGroup, Revision, Yes, add_remove, download_from_hub, escape_control, print_result, print_status

rerankers = typer.Typer(
    cls=CommandGroup, help="Install cross-encoders, which read texts again: search --rerank.", no_args_is_help=True
)


@rerankers.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="Of the hub, such as cross-encoder/ms-marco-MiniLM-L6-v2; or a folder.")],
    revision: Revision = None,
    yes: Yes = False,
) -> None:
    """Install a cross-encoder that is exported to ONNX."""
    from ..spaces import cross_encoder

    if (folder := expanded(name)).is_dir():
        cross_encoder.install(folder, folder.name)
    else:
        from ..spaces.convert import hub

        source = hub.files_of(name, revision)
        source = source.only(cross_encoder.needed(source.files))
        cross_encoder.install(download_from_hub(source, yes), source.repo)
    print_status('installed; use it with: samespace search --rerank "…"')


@rerankers.command("list")
def list_rerankers() -> None:
    """List the installed cross-encoders; the last is used."""
    from ..spaces.cross_encoder import RERANKERS

    if not RERANKERS.installed():
        print_status("none yet; install one with: samespace rerankers pull NAME")
    for entry in RERANKERS.entries():
        print_result(escape_control(f"{entry.name:32} {entry.error or entry.folder}"))


def _removable() -> dict[str, Path]:
    from ..spaces.cross_encoder import RERANKERS

    return RERANKERS.removable()


add_remove(rerankers, _removable)
