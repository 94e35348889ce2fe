"""A checkpoint's folder → what is exported: our own towers, or the model as the library that defines it has it; compared with that."""

from dataclasses import replace
from pathlib import Path

from ..core.errors import MissingExtra, UnknownSpace, UnsupportedModel, error_summary
from . import checkpoint, verify
from .checkpoint import Checkpoint
from .reference import Reference


def read(folder: Path, name: str = "") -> tuple[Checkpoint, verify.Answers | None]:
    """Read a space's or a checkpoint's folder; what the card says of it begins with `verified` or `unverified`.

    Returns the library's answers, too: None where they could not be had, which the card then explains. Raises UnknownSpace,
    WeightsMismatch, MissingExtra.
    """
    if (folder / "space.json").exists():
        return checkpoint.load(folder, name), verify.read(folder)
    try:
        loaded = checkpoint.load(folder, name)
    except UnsupportedModel as error:
        return _through_library(folder, name, error)
    try:
        reference = open_reference(folder)
        answers = verify.ask(reference)
    except (MissingExtra, UnknownSpace) as error:
        return _with_card(loaded, {"unverified": str(error)}), None
    try:
        found = verify.check_exact(loaded, answers)
    except UnknownSpace:  # the library's own towers are right where ours are not
        return _exported(reference, name, folder), answers
    return _with_card(loaded, {"verified": {"by": answers.library, **found}}), answers


def _through_library(folder: Path, name: str, reason: UnsupportedModel) -> tuple[Checkpoint, verify.Answers]:
    """Return a model that our towers cannot be, as its library has it. Raises UnknownSpace, MissingExtra."""
    try:
        reference = open_reference(folder)
    except MissingExtra:
        raise MissingExtra(f"{reason}; converting it through the library that defines it", "convert") from None
    return _exported(reference, name, folder), verify.ask(reference)


def _exported(reference: Reference, name: str, folder: Path) -> Checkpoint:
    """Return a library's model. Raises UnknownSpace where our preprocessing does not give its vectors."""
    loaded = reference.checkpoint()
    loaded.config = replace(loaded.config, name=name or folder.name)
    found = verify.check_exact(loaded, verify.ask(reference))
    return _with_card(loaded, {"verified": {"by": reference.library, **found}})


def _with_card(loaded: Checkpoint, facts: dict[str, object]) -> Checkpoint:
    loaded.config = replace(loaded.config, card=loaded.config.card | facts)
    return loaded


def open_reference(folder: Path) -> Reference:
    """Open a checkpoint in the library that defines it. Raises MissingExtra where that is not installed, UnknownSpace."""
    try:
        if (folder / "open_clip_config.json").exists():
            from .open_clip_reference import OpenClipReference

            return OpenClipReference(folder)
        from .transformers_reference import TransformersReference

        return TransformersReference(folder)
    except ImportError:
        raise MissingExtra("comparing a model with the library that defines it", "convert") from None
    except RuntimeError as error:  # a torchvision that does not fit its torch
        raise UnknownSpace(
            f"the library that defines it cannot be imported ({error_summary(error)}); install samespace[convert] anew"
        ) from None
