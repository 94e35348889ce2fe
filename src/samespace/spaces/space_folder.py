"""A folder that a space is written into: it appears whole or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import UnknownSpace
from ..core.paths import expanded


@contextmanager
def new_space_folder(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (a new folder, a scratch folder); on success the new one takes the place of `folder`.

    Raises UnknownSpace where `folder` exists and is neither a space nor empty.
    """
    folder = expanded(folder).resolve()
    if folder.exists() and not (folder / "space.json").exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UnknownSpace(f"{folder} exists and is not a space; choose a folder that does not exist yet")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "space"
        made.mkdir()
        yield made, Path(scratch)
        for file in made.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        if folder.exists():
            folder.rename(Path(scratch) / "old")  # goes with the scratch folder
        made.rename(folder)
