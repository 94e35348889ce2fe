"""`samespace spaces`, `classify` and `embed`."""

import json
import re
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.errors import QueryError, SamespaceError, UnknownSpace, install_command
from ..core.paths import expanded
from .console import (
    CommandGroup,
    Json,
    Revision,
    SpaceName,
    Yes,
    add_remove,
    download_from_hub,
    escape_control,
    needs_extra,
    print_result,
    print_status,
    read_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.config import SpaceConfig

spaces = typer.Typer(cls=CommandGroup, help="List, install and inspect spaces (models).", no_args_is_help=True)

Templates = Annotated[Path | None, typer.Option(help="File of sentences with {} for the label, one per line.")]


@spaces.command("list")
def list_spaces(json_: Json = False) -> None:
    """List the installed spaces."""
    from ..spaces.registry import SPACES, STARTER

    for entry in SPACES.entries():
        if entry.config is None:
            print_status(f"{entry.name}: {entry.error}")
            continue
        dim, fingerprint = entry.config.dim, entry.config.fingerprint
        if json_:
            fields = {"name": entry.name, "dim": dim, "fingerprint": fingerprint, "folder": str(entry.folder)}
            print_result(json.dumps(fields | {"verified": entry.config.card.get("verified")}))
        else:
            verified = "" if entry.folder == STARTER else verified_by(entry.config)
            print_result(f"{entry.name:40} {dim:5}-d  {fingerprint}  {verified:28}  {entry.folder}")


def _removable() -> dict[str, Path]:
    from ..spaces.registry import SPACES

    return SPACES.removable()


add_remove(spaces, _removable)


def verified_by(config: "SpaceConfig") -> str:
    """Return whether a space's vectors were compared with those of the library that defines its model, for people."""
    if verified := config.card.get("verified"):
        return f"as {verified['by']}"
    return "not verified" if config.origin else ""


@spaces.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="Such as openai/clip-vit-base-patch32, ViT-B-32/laion2b_s34b_b79k, or a folder.")],
    revision: Revision = None,
    joins: Annotated[
        str, typer.Option(help="Of a text model alone: the installed space whose pictures it was trained for.")
    ] = "",
    dim: Annotated[
        int, typer.Option(help="Use only so many numbers of each vector, of models trained for that (Matryoshka).")
    ] = 0,
    yes: Yes = False,
) -> None:
    """Install a model that joins pictures and words from the Hugging Face hub or from a folder."""
    from ..core.config import LibraryImageTower
    from ..spaces.checkpoints import families
    from ..spaces.convert import install
    from ..spaces.convert.verify import largest_differences

    folder, origin = fetch(name, revision, yes, partial(families.check, joins=joins))
    print_status("converting for ONNX Runtime; this takes a minute or two")
    installed_as = folder.name if str(folder) == origin else name.removeprefix("hf-hub:").partition("@")[0]
    config = install.install(folder, installed_as, origin, joins, dim)
    towers = (
        f"the model as {config.image.library} has it" if isinstance(config.image, LibraryImageTower) else "samespace's own towers"
    )
    if verified := config.card.get("verified"):
        worst = max(largest_differences(verified).values())
        print_status(f"{towers}; its vectors are those of {verified['by']} (largest difference of a component {worst:.1g})")
    elif reason := config.card.get("unverified"):
        print_status(f"{towers}, not verified: {reason}")
    print_status(f"installed; use it with: --space {config.name}")


@spaces.command("recommend")
def recommend(
    languages: Annotated[str, typer.Option(help="Languages of your searches, as codes separated by commas: en,de,ja.")] = "",
    json_: Json = False,
) -> None:
    """Measure this machine for a few seconds, and print which spaces suit it: * marks one."""
    from ..spaces import recommend as recommending

    wanted = {code.strip().lower() for code in (languages or system_language()).split(",") if code.strip()}
    if strange := [code for code in wanted if not re.fullmatch(r"[a-z]{2,3}([-_]\w+)?", code)]:
        raise QueryError(f"{strange[0]!r} is not the code of a language; write en, de or ja, for example")
    wanted = {code[:2] for code in wanted}
    print_status("measuring this machine")
    machine = recommending.measure()
    found = recommending.choices(machine, wanted)
    chosen = recommending.best(machine, found)
    memory = f", {machine.memory_mb / 1024:.0f} GB of memory free" if machine.memory_mb else ""
    print_status(
        f"it decodes {machine.decoding:.0f} pictures of 12 megapixels a second, {machine.gflops:.0f} GFLOP/s on {machine.device}{memory}"
    )
    if not json_:
        print_result(f"  {'space':46}{'languages':>10}{'download':>10}{'memory':>9}{'here':>10}{'ImageNet':>10}  licence")
    for choice in found:
        if json_:
            print_result(json.dumps({**asdict(choice), "recommended": choice == chosen}))
            continue
        quality = f"{choice.imagenet:.1f} %" if choice.imagenet else "-"
        mark, here = "*" if choice == chosen else " ", ", installed" if choice.here else ""
        print_result(
            f"{mark} {choice.name:46}{choice.languages:>10}{choice.download_mb:>7} MB{choice.memory_mb:>6} MB{choice.pictures:>6.1f} /s"
            f"{quality:>11}  {choice.licence}{here}"
        )
    if chosen and not chosen.here:
        print_status(f"install it with: samespace spaces pull {chosen.name}")
    elif not chosen:
        print_status("none of these is fast enough here, fits and knows the languages; the starter, which is here, is what fits")


def system_language() -> str:
    """Return the code of the language that the system speaks to its user; English where it does not say."""
    import locale

    return (locale.getlocale()[0] or "en")[:2].replace("C", "en")


@spaces.command("verify")
def verify(name: Annotated[str, typer.Argument(help="Name or folder of a space.")]) -> None:
    """Compare a space's vectors with those that the library which defines its model gave when it was installed."""
    from ..spaces import registry
    from ..spaces.convert import verify as verification

    folder = registry.find(name)
    if (answers := verification.read(folder)) is None:
        raise UnknownSpace(
            f"{name} keeps no answers of another library to compare with: it was trained here, or pulled without samespace[convert]; "
            f"for the latter, {install_command('convert')} and pull it again"
        )
    found = verification.check_close(registry.load(folder), answers)
    print_result(json.dumps({"library": answers.library, **found}))


@spaces.command("add-audio")
def add_audio(
    name: Annotated[str, typer.Argument(help="The space that gets an audio tower.")] = "starter",
    clap: Annotated[str, typer.Option(help="A CLAP model on the hub, or a folder with one.")] = "laion/clap-htsat-unfused",
    words: Annotated[Path | None, typer.Option(help="File of words or phrases to train the alignment on, one per line.")] = None,
    revision: Revision = None,
    yes: Yes = False,
) -> None:
    """Make a new space from a space and the audio tower of a CLAP model, aligned by training on text only."""
    from ..spaces import registry

    with needs_extra("adding a CLAP model", "train"):
        from ..spaces.convert import clap as claps
    space = registry.load(name)
    folder, origin = fetch(clap, revision, yes)
    new = f"{space.config.name}+{folder.name if str(folder) == origin else clap.rpartition('/')[2]}"
    print_status("training the alignment of the two spaces; this takes some minutes")
    texts = read_lines(words) if words else claps.vocabulary_words(space)
    config = claps.add_clap(space, claps.load(folder), registry.SPACES.folder_for(new), new, texts, origin)
    print_status(f"installed: {json.dumps(config.card['audio'])}; use it with: --space {config.name}")


def fetch(name: str, revision: str | None, yes: bool, check: "Callable[[Path, str], None] | None" = None) -> tuple[Path, str]:
    """Return a checkpoint's folder and its origin: the folder itself, or what was downloaded from the hub.

    `check` is given the folder and the name before the weights are downloaded, and raises where they would not be of use.
    """
    if expanded(name.removeprefix("local-dir:")).is_dir():
        folder = expanded(name.removeprefix("local-dir:")).resolve()
        if check:
            check(folder, str(folder))
        return folder, str(folder)
    from ..spaces.convert import hub

    source = hub.look_up(name, revision)
    if check:
        check(hub.configs(source), source.repo)
    return download_from_hub(source, yes), f"{source.repo}@{source.revision}"


@spaces.command("info")
def info(name: Annotated[str, typer.Argument(help="Name or folder of a space.")]) -> None:
    """Print a space's settings, training details and measured numbers as JSON."""
    from ..core.config import to_json
    from ..spaces import registry
    from ..spaces.space import read_space_config

    folder = registry.find(name)
    config = read_space_config(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    facts = json.loads(to_json(config)) | {"fingerprint": config.fingerprint, "bytes": size}
    print_result(json.dumps(facts, indent=2, ensure_ascii=False))


@spaces.command("export")
def export(
    name: Annotated[str, typer.Argument(help="A space, or the folder of a checkpoint.")],
    folder: Annotated[Path, typer.Argument(help="Where to write the space folder.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Held-out pairs on which lower precision is checked: a TSV of filepath, title.")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32"], typer.Option(help="auto: int8 or fp16 where it is accurate enough; fp32: unchanged.")
    ] = "auto",
) -> None:
    """Write a space folder (ONNX, weights, tokenizer, model card) from a space or a checkpoint."""
    from ..spaces import registry
    from ..spaces.convert import install

    config = install.convert(registry.find_folder(name), folder, pairs=pairs, precision=precision)
    chosen = {tower: facts["chosen"] for tower, facts in config.card["precision"].items()}
    print_status(f"wrote {folder}: {json.dumps(chosen)}")


def classify(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images.")],
    labels: Annotated[str, typer.Option(help="Labels separated by commas, or @FILE with one per line.")],
    templates: Templates = None,
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """Print which label fits each image best, with probabilities."""
    from ..evaluate.zeroshot import TEMPLATES, label_vectors, probabilities
    from ..spaces import registry

    loaded = registry.load(space or "starter")
    names = read_lines(Path(labels[1:])) if labels.startswith("@") else [name.strip() for name in labels.split(",")]
    z_labels = label_vectors(loaded, names, read_lines(templates) if templates else TEMPLATES)
    failed, _ = 0, loaded.logit_scale  # a space without probabilities is refused before any picture is read
    for image in images:
        try:
            p = probabilities(loaded, loaded.image([image]), z_labels)[0]
        except SamespaceError as error:
            print_status(f"skipped {escape_control(str(error))}")
            failed += 1
            continue
        ranked = sorted(zip(names, map(float, p)), key=lambda pair: -pair[1])
        if json_:
            fields = {"path": str(image), "labels": [{"label": name, "probability": p} for name, p in ranked]}
            print_result(json.dumps(fields))
        else:
            print_result(f"{escape_control(str(image))}\t" + "  ".join(f"{name} {p:.1%}" for name, p in ranked[:5]))
    if failed == len(images):
        raise typer.Exit(1)


def embed(
    items: Annotated[list[str], typer.Argument(metavar="FILE|TEXT...", help="Existing files are read, anything else is text.")],
    space: SpaceName = None,
    json_: Json = False,
) -> None:
    """Print the vectors of files and texts."""
    from ..library.search.query import QueryEncoder, missing_files, parse_term
    from ..media.kinds import kind_of
    from ..spaces import registry

    loaded = registry.load(space or "starter")
    encoder = QueryEncoder(loaded)
    for item in items:
        term = parse_term(item, weighted=False)
        if missing_files(item):
            print_status(f"there is no file {escape_control(item)}: it is read as words")
        z = encoder.encode(term)
        if json_:
            kind = kind_of(term.path) or "image" if term.path else "text"
            numbers = [round(float(value), 6) for value in z]
            print_result(json.dumps({"input": item, "kind": kind, "space": loaded.fingerprint, "z": numbers}))
        else:
            first = " ".join(f"{value:.4f}" for value in z[:8])
            print_result(f"{escape_control(item)}\t{first} … ({len(z)} numbers)")
