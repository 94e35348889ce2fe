"""Which spaces there are: the one inside the package, and those that were converted from checkpoints."""

from pathlib import Path

from ..core.errors import UnknownSpace
from ..core.paths import expanded
from ..core.registry import Registry
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
