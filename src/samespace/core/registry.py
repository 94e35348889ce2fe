"""Installed models: folders of the user's data that hold a certain config file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from .errors import SamespaceError
from .paths import data_folder, expanded, file_name


class Named(Protocol):
    """A config that has a name."""

    @property
    def name(self) -> str: ...


Config = TypeVar("Config", bound=Named)


@dataclass(frozen=True)
class Entry(Generic[Config]):
    """An installed model."""

    name: str
    """Its name; of a damaged one its path."""
    folder: Path
    config: Config | None
    """None where it is damaged."""
    error: str = ""
    """What is wrong with a damaged one."""


@dataclass(frozen=True)
class Registry(Generic[Config]):
    """Models of one sort: spaces, or assistants."""

    variable: str
    """Environment variable that moves the folder."""
    subfolder: str
    """Name of the folder in the user's data."""
    file: str
    """Name of the config file that makes a folder a model."""
    read: Callable[[Path], Config]
    """Reads a folder's config; raises SamespaceError."""
    shipped: tuple[tuple[str, Path], ...] = ()
    """Names and folders of models inside the package."""

    @property
    def folder(self) -> Path:
        """Where models are installed."""
        return data_folder(self.variable, self.subfolder)

    def entries(self) -> Iterator[Entry[Config]]:
        """Yield the installed models, the package's own first; a damaged one with what is wrong with it."""
        own = [folder for _, folder in self.shipped if (folder / self.file).exists()]
        for folder in [*own, *(path.parent for path in sorted(self.folder.glob(f"*/{self.file}")))]:
            try:
                config = self.read(folder)
                yield Entry(config.name, folder, config)
            except SamespaceError as error:
                yield Entry(str(folder), folder, None, str(error))

    def installed(self) -> dict[str, Path]:
        """Return names → folders."""
        return {entry.name: entry.folder for entry in self.entries()}

    def removable(self) -> dict[str, Path]:
        """Return names → folders of those that do not come with the package."""
        return {entry.name: entry.folder for entry in self.entries() if entry.folder.parent == self.folder}

    def find(self, name: str | Path) -> Path | None:
        """Return the folder of an installed model, or the path of a model's folder itself; None where there is neither."""
        if (folder := self.installed().get(str(name))) is not None:
            return folder
        given = expanded(name)
        return given if (given / self.file).exists() else None

    def folder_for(self, name: str) -> Path:
        """Return where a model of this name is installed."""
        return self.folder / file_name(name)
