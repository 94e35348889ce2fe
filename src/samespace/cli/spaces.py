"""`samespace spaces`: list, pull, hear, info, export."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..core.errors import MissingExtra
from ..core.paths import expanded
from .console import Json, OneSentence, Revision, Yes, agree, lines_of, out, readable, say

spaces = typer.Typer(cls=OneSentence, help="List, install and inspect spaces (models).", no_args_is_help=True)


@spaces.command("list")
def spaces_list(json_: Json = False) -> None:
    """List the installed spaces."""
    from ..spaces import hub
    from ..spaces.space import read_space_config

    for name, folder, config in readable(hub.installed(), read_space_config):
        if json_:
            out(json.dumps({"name": name, "dim": config.dim, "fingerprint": config.fingerprint, "folder": str(folder)}))
        else:
            out(f"{name:40} {config.dim:5}-d  {config.fingerprint}  {folder}")


@spaces.command("pull")
def spaces_pull(
    name: Annotated[str, typer.Argument(help="Such as openai/clip-vit-base-patch32, ViT-B-32/laion2b_s34b_b79k, or a folder.")],
    revision: Revision = None,
    yes: Yes = False,
) -> None:
    """Install a CLIP, OpenCLIP or SigLIP checkpoint from the Hugging Face hub or from a folder."""
    from ..spaces import hub

    if expanded(name).is_dir():
        folder = expanded(name).resolve()
        origin, name = str(folder), folder.name
    else:
        source = hub.look_up(name, revision)
        agree(source.size, source.what, yes)
        folder, origin = hub.download(source), f"{source.repo}@{source.revision}"
    say("converting for ONNX Runtime; this takes a minute or two")
    config = hub.install(folder, name, origin)
    say(f"installed; use it with: --space {config.name}")


@spaces.command("hear")
def spaces_hear(
    name: Annotated[str, typer.Argument(help="The space that is to hear.")] = "starter",
    through: Annotated[str, typer.Option(help="A CLAP model of the hub, or a folder with one.")] = "laion/clap-htsat-unfused",
    words: Annotated[
        Path | None, typer.Option(help="What to learn the bridge from: a file of words or phrases, one a line.")
    ] = None,
    revision: Revision = None,
    yes: Yes = False,
) -> None:
    """Give a space a CLAP model's ears: a new space, in which sounds lie near the words that tell of them."""
    from ..spaces import hub

    try:
        from ..spaces import clap
    except ImportError:
        raise MissingExtra("joining a CLAP model", "train") from None
    space, folder, origin = hub.load(name), expanded(through), through
    if not folder.is_dir():
        source = hub.look_up(through, revision)
        agree(source.size, source.what, yes)
        folder, origin = hub.download(source), f"{source.repo}@{source.revision}"
    new = f"{space.config.name}+{folder.name if folder.is_dir() and origin == through else through.rpartition('/')[2]}"
    say("learning a bridge from words; this takes some minutes")
    given = lines_of(words) if words else clap.known_words(space)
    config = clap.hear(space, clap.load(folder), hub.folder_for(new), new, given, origin)
    say(f"installed, with {config.card['sound']}; use it with: --space {config.name}")


@spaces.command("info")
def spaces_info(name: Annotated[str, typer.Argument(help="Name or folder of a space.")]) -> None:
    """Print a space's settings, card and measured numbers as JSON."""
    from ..core.config import to_json
    from ..spaces import hub
    from ..spaces.space import read_space_config

    folder = hub.find(name)
    config = read_space_config(folder)
    size = sum(f.stat().st_size for f in folder.iterdir())
    out(
        json.dumps(json.loads(to_json(config)) | {"fingerprint": config.fingerprint, "bytes": size}, indent=2, ensure_ascii=False)
    )


@spaces.command("export")
def spaces_export(
    name: Annotated[str, typer.Argument(help="A space, or the folder of a checkpoint.")],
    folder: Annotated[Path, typer.Argument(help="Where to write the space folder.")],
    pairs: Annotated[Path | None, typer.Option(help="Held-out pairs for the int8 gate: a TSV of filepath, title.")] = None,
    precision: Annotated[
        Literal["auto", "fp32"], typer.Option(help="auto: int8 or fp16 where the gate passes; fp32: as they are.")
    ] = "auto",
) -> None:
    """Write a space folder (ONNX, weights, tokenizer, card) from a space or a checkpoint."""
    from ..spaces import hub

    config = hub.convert(hub.folder_of(name), folder, pairs=pairs, precision=precision)
    say(f"wrote {folder}: {json.dumps({t: p['chosen'] for t, p in config.card['precision'].items()})}")
