"""A checkpoint's folder → what is exported: our own towers, or the model as the library that defines it has it; compared with that."""

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...core.errors import MissingExtra, UnknownSpace, UnsupportedModel, error_summary
from ...core.files import read_json
from ..checkpoints import checkpoint
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.families import MODULES, PICTURES_ONLY, check_pictures, is_embedder, is_timm, modules_of
from ..checkpoints.tensors import check_weights
from . import verify
from .reference import Reference

ADAPTER = "adapter_config.json"


def read(folder: Path, name: str = "") -> tuple[Checkpoint, verify.Answers | None]:
    """Read a space's or a checkpoint's folder; its card says by which library it was `verified`, or why it is `unverified`.

    Returns the library's answers, too; None where they could not be had. Raises UnknownSpace, WeightsMismatch, MissingExtra.
    """
    name = name or folder.name
    if (folder / "space.json").exists():
        return checkpoint.load(folder, name), verify.read(folder)
    if (folder / ADAPTER).exists():
        return _read_adapted(folder, name)
    folder = _both_towers(folder)
    if _knows_pictures_only(folder) or is_embedder(folder):
        reference = open_reference(folder)
        answers = _asked(reference)
        return _exported(reference, answers, name), answers
    return _read_two_towers(folder, name)


def _read_two_towers(folder: Path, name: str) -> tuple[Checkpoint, verify.Answers | None]:
    """Read a folder of open_clip or transformers: into our own towers where they give its vectors, else into the library's."""
    try:
        loaded = checkpoint.load(folder, name)
    except UnsupportedModel as error:
        reference = _open_instead(folder, error)
        answers = _asked(reference)
        return _exported(reference, answers, name), answers
    try:
        reference = open_reference(folder)
        answers = _asked(reference)
    except (MissingExtra, UnknownSpace) as error:
        return _with_card(loaded, {"unverified": str(error)}), None
    for ours in (loaded, _with_words_of(reference, loaded)):
        with suppress(UnknownSpace):
            return _verified(ours, answers), answers
    return _exported(reference, answers, name), answers  # its towers are right where ours are not


def read_words(folder: Path) -> tuple[Checkpoint, verify.Answers]:
    """Read a text model that was trained to give the vectors of another model's space, and its library's answers.

    Raises UnknownSpace, MissingExtra.
    """
    if not (folder / MODULES).exists():
        raise UnknownSpace(f"{folder} has no {MODULES}, as text models of sentence-transformers have; pull it without --joins")
    reference = open_reference(folder)
    answers = _asked(reference)
    return _exported(reference, answers, folder.name), answers


def _asked(reference: Reference) -> verify.Answers:
    """Return a library's answers. Raises UnknownSpace where it fails on its own model."""
    try:
        return verify.ask(reference)
    except Exception as error:  # whatever its classes raise, on files that do not belong together
        raise UnknownSpace(
            f"{reference.library} itself fails on this model ({error_summary(error)}); check that its files belong together"
        ) from None


def _both_towers(folder: Path) -> Path:
    """Return the folder itself, or the CLIP within one of sentence-transformers. Raises UnknownSpace where that has only words."""
    check_pictures(folder, folder.name)
    parts = modules_of(folder)
    return folder / str(parts[0].get("path", "")) if parts else folder


def _knows_pictures_only(folder: Path) -> bool:
    """Whether a folder holds an image tower without words."""
    if (folder / "open_clip_config.json").exists() or not (folder / "config.json").exists():
        return False
    values = read_json(folder / "config.json")
    return is_timm(values) or values.get("model_type") in PICTURES_ONLY


def _read_adapted(folder: Path, name: str) -> tuple[Checkpoint, verify.Answers | None]:
    """Read a LoRA adapter, added to its base model, which has to be here. Raises UnknownSpace, MissingExtra."""
    from .hub import cached_folder

    base = str(read_json(folder / ADAPTER).get("base_model_name_or_path") or "")
    found = Path(base) if Path(base).is_dir() else cached_folder(base)
    if found is None:
        raise UnknownSpace(f"{name} is an adapter for {base!r}, which is not here; pull that first: samespace spaces pull {base}")
    try:
        from .adapters import merge
    except ImportError:
        raise MissingExtra("adding an adapter to its model", "convert") from None
    with tempfile.TemporaryDirectory() as scratch:
        return read(merge(folder, found, Path(scratch)), name)


def _with_words_of(reference: Reference, loaded: Checkpoint) -> Checkpoint:
    """Return a checkpoint with the library's tokenizer, which may clean texts more than its files say."""
    tokenizer, clean = reference.words()
    return Checkpoint(loaded.model, replace(loaded.config, prep=replace(loaded.config.prep, clean=clean)), tokenizer)


def _open_instead(folder: Path, reason: UnsupportedModel) -> Reference:
    """Open a model that our towers cannot be. Raises UnknownSpace, MissingExtra."""
    try:
        return open_reference(folder)
    except MissingExtra:
        raise MissingExtra(f"{reason}; converting it through the library that defines it", "convert") from None


def _exported(reference: Reference, answers: verify.Answers, name: str) -> Checkpoint:
    """Return a library's model. Raises UnknownSpace where our preprocessing does not give its vectors."""
    loaded = reference.checkpoint()
    loaded.config = replace(loaded.config, name=name)
    return _verified(loaded, answers)


def _verified(loaded: Checkpoint, answers: verify.Answers) -> Checkpoint:
    """Return the checkpoint with what was measured in its card. Raises UnknownSpace where its vectors are not the library's."""
    if len(set(lengths := answers.lengths())) > 1:
        raise UnknownSpace(
            f"its towers give vectors of {lengths[0]} and {lengths[1]} numbers, which are no one space; choose another model"
        )
    return _with_card(loaded, {"verified": {"by": answers.library, **verify.check_exact(loaded, answers)}})


def _with_card(loaded: Checkpoint, facts: dict[str, object]) -> Checkpoint:
    loaded.config = replace(loaded.config, card=loaded.config.card | facts)
    return loaded


def open_reference(folder: Path) -> Reference:
    """Open a checkpoint in the library that defines it. Raises MissingExtra where that is not installed, UnknownSpace, WeightsMismatch."""
    check_weights(folder)  # a library would build the whole model first
    try:
        return _opened(folder)
    except ImportError:
        raise MissingExtra("comparing a model with the library that defines it", "convert") from None
    except RuntimeError as error:  # a torchvision that does not fit its torch
        raise UnknownSpace(
            f"the library that defines it cannot be imported ({error_summary(error)}); install samespace[convert] anew"
        ) from None


def _opened(folder: Path) -> Reference:
    if (folder / "open_clip_config.json").exists():
        from .open_clip_reference import OpenClipReference

        return OpenClipReference(folder)
    if is_embedder(folder):
        from .qwen3_vl_reference import Qwen3VlReference

        return Qwen3VlReference(folder)
    if (folder / MODULES).exists():
        from .sentence_reference import SentenceReference

        return SentenceReference(folder)
    if _knows_pictures_only(folder):
        from .picture_references import TimmPictures, TransformersPictures

        return TimmPictures(folder) if is_timm(read_json(folder / "config.json")) else TransformersPictures(folder)
    from .transformers_reference import TransformersReference

    return TransformersReference(folder)
