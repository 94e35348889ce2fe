"""A model's folder → an installed space: converted once, with torch, into a space folder under the user's data; searching uses that."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ...core.config import SpaceConfig
from ...core.errors import MissingExtra, UnknownSpace
from ..checkpoints import families
from ..registry import SPACES, find
from ..sessions import checked_length
from ..space import read_space_config
from . import prebuilt


def install(folder: Path, name: str, origin: str, joins: str = "", short: int = 0) -> SpaceConfig:
    """Convert a checkpoint's folder into an installed space; a text model takes the place of that of the space `joins`.

    short: how many numbers of a vector are used; 0 for all.

    Raises MissingExtra, UnknownSpace, WeightsMismatch.
    """
    taken = SPACES.installed().get(name)
    if name in ("", ".", "..", "starter") or (taken and _repository(read_space_config(taken).origin) != _repository(origin)):
        raise UnknownSpace(f"a space called {name!r} is there already; rename the folder, or use: samespace spaces export")
    if joins:
        return join(folder, find(joins), SPACES.folder_for(name), name, origin)
    return convert(folder, SPACES.folder_for(name), name=name, origin=origin, short=short)


def _repository(origin: str) -> str:
    """Return where a space is from, without the revision: a newer one of the same takes its place."""
    return origin.partition("@")[0]


def join(folder: Path, space: Path, target: Path, name: str, origin: str) -> SpaceConfig:
    """Write a space with the image tower of a space and a text model from a folder. Raises MissingExtra, UnknownSpace."""
    with _torch():
        from . import conversion, export
    words, answers = conversion.read_words(folder)
    return export.join_words(space, target, words, answers, name, origin)


@contextmanager
def _torch() -> Iterator[None]:
    """Raises MissingExtra where what converting needs is not installed."""
    try:
        yield
    except ImportError:
        raise MissingExtra("converting a checkpoint", "convert") from None


def convert(
    folder: Path,
    target: Path,
    name: str = "",
    origin: str = "",
    pairs: Path | None = None,
    precision: str = "auto",
    short: int = 0,
) -> SpaceConfig:
    """Convert any checkpoint or space folder into a space folder. `pairs` and `precision` as in export.export, `short` as in install.

    Raises MissingExtra, UnknownSpace, WeightsMismatch.
    """
    if prebuilt.layout_in(folder) and not families.has_weights(folder):
        return prebuilt.install(folder, target, name, origin, short)
    with _torch():
        from . import conversion, export
    loaded, answers = conversion.read(folder, name)
    if short:
        loaded.config = replace(loaded.config, short=checked_length(short, loaded.config.dim))
    if origin:
        loaded.config = replace(loaded.config, origin=origin)
    gated = precision == "auto" and loaded.config.prep.resize != "native"  # a language model would take hours for the pairs
    held_out = export.held_out_pairs(loaded, pairs or export.HELD_OUT) if gated else None
    same = folder if pairs is None and loaded.config.calibration and not short else None  # its own relevance stays
    return export.export(
        loaded, target, held_out, audio_from=folder if loaded.config.audio else None, answers=answers, calibrated_from=same
    )
