"""A checkpoint's folder → what is exported: our own towers, or the model as the library that defines it has it; compared with that."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..core.errors import MissingExtra, UnknownSpace, UnsupportedModel, error_summary
from . import checkpoint, verify
from .checkpoint import Checkpoint
from .reference import Reference


def read(folder: Path, name: str = "") -> tuple[Checkpoint, verify.Answers | None]:
    """Read a space's or a checkpoint's folder; its card says by which library it was `verified`, or why it is `unverified`.

    Returns the library's answers, too; None where they could not be had. Raises UnknownSpace, WeightsMismatch, MissingExtra.
    """
    if (folder / "space.json").exists():
        return checkpoint.load(folder, name), verify.read(folder)
    try:
        loaded = checkpoint.load(folder, name)
    except UnsupportedModel as error:
        reference = _open_instead(folder, error)
        answers = verify.ask(reference)
        return _exported(reference, answers, name or folder.name), answers
    try:
        reference = open_reference(folder)
        answers = verify.ask(reference)
    except (MissingExtra, UnknownSpace) as error:
        return _with_card(loaded, {"unverified": str(error)}), None
    for ours in (loaded, _with_words_of(reference, loaded)):
        with suppress(UnknownSpace):
            return _verified(ours, answers), answers
    return _exported(reference, answers, name or folder.name), answers  # its towers are right where ours are not


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
    return _with_card(loaded, {"verified": {"by": answers.library, **verify.check_exact(loaded, answers)}})


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
