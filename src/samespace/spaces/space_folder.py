"""A folder that a space is written into: it appears whole or not at all."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.errors import UnknownSpace
from ..core.paths import expanded

STALE_SECONDS = 3600
"""Nothing is written into a folder for so long by a run that is alive."""


@contextmanager
def new_space_folder(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (a new folder, a scratch folder); on success the new one takes the place of `folder`.

    Raises UnknownSpace where `folder` exists and is neither a space nor empty.
    """
    folder = expanded(folder).resolve()
    if folder.exists() and not (folder / "space.json").exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UnknownSpace(f"{folder} exists and is not a space; choose a folder that does not exist yet")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "space"
        made.mkdir()
        yield made, Path(scratch)
        for file in made.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        if folder.exists():
            folder.rename(Path(scratch) / "old")  # goes with the scratch folder
        made.rename(folder)


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed have left beside a folder, once it is old enough that none is still writing it."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        with suppress(OSError):
            if time.time() - max(file.stat().st_mtime for file in (left, *left.rglob("*"))) > STALE_SECONDS:
                shutil.rmtree(left)
