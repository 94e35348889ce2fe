"""Which spaces there are: the one inside the package, and those that were converted from checkpoints.

A pulled checkpoint is converted once, with torch, into a space folder under the user's data; searching uses that.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.config import SpaceConfig
from ..core.errors import MissingExtra, UnknownSpace
from ..core.paths import expanded
from ..core.registry import Registry
from .sessions import checked_length
from .space import Space, read_space_config

STARTER = Path(__file__).with_name("starter")
SPACES = Registry("SAMESPACE_SPACES", "spaces", "space.json", read_space_config, (("starter", STARTER),))


def load(space: str | Path = "starter") -> Space:
    """Open a space by name or folder, ready to encode. Raises UnknownSpace."""
    folder = find(space)
    return Space(folder, str(space) if SPACES.installed().get(str(space)) == folder else "")


def find(space: str | Path) -> Path:
    """Return the folder of an installed space, or the folder itself. Raises UnknownSpace."""
    if (folder := SPACES.find(space)) is not None:
        return folder
    if expanded(space).is_dir() or str(space).count("/") == 1 or str(space).startswith("hf-hub:"):
        raise UnknownSpace(f"{space} is not installed as a space yet; install it with: samespace spaces pull {space}")
    raise UnknownSpace(f"there is no space {str(space)!r}; list those installed with: samespace spaces list")


def find_folder(name: str) -> Path:
    """Return any folder as it is (a checkpoint's, a tokenizer's), or else an installed space's. Raises UnknownSpace."""
    folder = expanded(name)
    return folder if folder.is_dir() else find(name)


def install(folder: Path, name: str, origin: str, joins: str = "", short: int = 0) -> SpaceConfig:
    """Convert a checkpoint's folder into an installed space; a text model takes the place of that of the space `joins`.

    short: how many numbers of a vector are used; 0 for all.

    Raises MissingExtra, UnknownSpace, WeightsMismatch.
    """
    taken = SPACES.installed().get(name)
    if name in ("", ".", "..", "starter") or (taken and read_space_config(taken).origin != origin):
        raise UnknownSpace(f"a space called {name!r} is there already; rename the folder, or use: samespace spaces export")
    if joins:
        return join(folder, find(joins), SPACES.folder_for(name), name, origin)
    return convert(folder, SPACES.folder_for(name), name=name, origin=origin, short=short)


def join(folder: Path, space: Path, target: Path, name: str, origin: str) -> SpaceConfig:
    """Write a space with the image tower of a space and a text model from a folder. Raises MissingExtra, UnknownSpace."""
    conversion, export = _converters()
    words, answers = conversion.read_words(folder)
    config: SpaceConfig = export.join_words(space, target, words, answers, name, origin)
    return config


def _converters() -> tuple[Any, Any]:
    """Return the modules that need torch. Raises MissingExtra."""
    try:
        from . import conversion, export
    except ImportError:
        raise MissingExtra("converting a checkpoint", "convert") from None
    return conversion, export


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
    from . import families, prebuilt

    if prebuilt.layout_in(folder) and not families.has_weights(folder):
        return prebuilt.install(folder, target, name, origin, short)
    conversion, export = _converters()
    loaded, answers = conversion.read(folder, name)
    if short:
        loaded.config = replace(loaded.config, short=checked_length(short, loaded.config.dim))
    if origin:
        loaded.config = replace(loaded.config, origin=origin)
    held_out = export.held_out_pairs(loaded, pairs or export.HELD_OUT) if precision == "auto" else None
    config: SpaceConfig = export.export(
        loaded, target, held_out, audio_from=folder if loaded.config.audio else None, answers=answers
    )
    return config
