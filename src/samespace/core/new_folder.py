"""A folder that a model is written into: it appears whole or not at all."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import SamespaceError
from .paths import expanded

STALE_SECONDS = 3600
"""Nothing is written into a folder for so long by a run that is alive."""


@contextmanager
def new_folder(folder: Path, file: str, error: type[SamespaceError]) -> Iterator[tuple[Path, Path]]:
    """Yield (a new folder, a scratch folder); on success the new one takes the place of `folder`.

    `file` is the config that makes a folder such a model. Raises `error` where `folder` exists, and is neither that nor empty.
    """
    folder = expanded(folder).resolve()
    if folder.exists() and not (folder / file).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise error(f"{folder} exists and is not a {file.removesuffix('.json')}; choose a folder that does not exist yet")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made, Path(scratch)
        for path in made.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if folder.exists():
            folder.rename(Path(scratch) / "old")  # goes with the scratch folder
        made.rename(folder)


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed have left beside a folder, once it is old enough that none is still writing it."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        with suppress(OSError):
            if time.time() - max(file.stat().st_mtime for file in (left, *left.rglob("*"))) > STALE_SECONDS:
                shutil.rmtree(left)
