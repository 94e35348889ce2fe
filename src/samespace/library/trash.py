"""Files to the system's trash, and back."""

import configparser
import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ..core.errors import LibraryError

Problem = tuple[str, str]
"""Path and reason."""


def move_to_trash(paths: Iterable[str]) -> tuple[list[str], list[Problem]]:
    """Move files to the trash; return those that were, and those that were not, with the reason."""
    from send2trash import TrashPermissionError, send2trash

    moved, problems = [], []
    for path in paths:
        try:
            if not os.path.lexists(path):
                raise FileNotFoundError
            send2trash(path)
            moved.append(path)
        except FileNotFoundError:
            problems.append((path, "it is not there any more; index its folder again"))
        except (TrashPermissionError, PermissionError):
            problems.append((path, "its disk has no trash, or does not let you; delete it yourself, or copy it elsewhere first"))
        except OSError as error:
            problems.append((path, f"the trash refuses it ({error.strerror or error}); delete it yourself"))
    return moved, problems


def restore(paths: Iterable[str]) -> tuple[list[str], list[Problem]]:
    """Move files that were moved to the trash last back to where they were; return those that were, and those that were not.

    After the Trash specification of freedesktop.org 1.0. Raises LibraryError on systems with another trash.
    """
    if os.name == "nt" or not hasattr(os, "getuid") or os.uname().sysname == "Darwin":
        raise LibraryError("files cannot be taken out of this system's trash from here; open the trash and put them back")
    restored, problems = [], []
    trash = Trash()
    for path in paths:
        found = max(trash.was(path), default=None)
        if os.path.lexists(path):
            if found:  # otherwise it was never moved, or is back already: something interrupted that
                problems.append((path, "there is a file of this name again; take the other one out of the trash yourself"))
        elif found:
            _, info, file = found
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.rename(file, path)
            except OSError as error:
                problems.append((path, f"it cannot be moved back ({error.strerror or error}); take it out of the trash yourself"))
                continue
            with contextlib.suppress(OSError):
                info.unlink()
            restored.append(path)
        else:
            problems.append((path, "it is not in the trash any more; it may have been emptied"))
    return restored, problems


Trashed = tuple[str, Path, Path]
"""Of a file in the trash: when it was moved, its information, and the file itself."""


class Trash:
    """What lies in the system's trash folders, each of which is read once."""

    def __init__(self) -> None:
        self._read: dict[Path, dict[str, list[Trashed]]] = {}

    def was(self, path: str) -> Iterator[Trashed]:
        """Yield what lies in the trash and was this file, by whichever path it was moved there."""
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        for folder, top in _trash_folders(path):
            if folder not in self._read:
                self._read[folder] = _contents(folder, top)
            for name in {path, real}:
                yield from (found for found in self._read[folder].get(name, ()) if os.path.lexists(found[2]))


def _contents(folder: Path, top: str) -> dict[str, list[Trashed]]:
    """Return path → what lies in a trash folder and was this file; `top` is what paths in it are relative to."""
    contents: dict[str, list[Trashed]] = defaultdict(list)
    for info in folder.glob("info/*.trashinfo"):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(info, encoding="utf-8")
            about = parser["Trash Info"]
            was, when = os.fsdecode(unquote_to_bytes(about["Path"])), about.get("DeletionDate", "")
        except (configparser.Error, KeyError, OSError, UnicodeDecodeError):
            continue
        contents[os.path.normpath(os.path.join(top, was))].append(
            (when, info, folder / "files" / info.name.removesuffix(".trashinfo"))
        )
    return contents


def _trash_folders(path: str) -> Iterator[tuple[Path, str]]:
    """Yield the trash folders that a file can lie in, and what paths in them are relative to."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    yield Path(data) / "Trash", os.path.realpath(data)
    top = os.path.realpath(os.path.dirname(path))
    while not os.path.ismount(top) and top != os.path.dirname(top):
        top = os.path.dirname(top)
    yield Path(top) / ".Trash" / str(os.getuid()), top
    yield Path(top) / f".Trash-{os.getuid()}", top
