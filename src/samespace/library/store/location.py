"""Where a library is stored: a folder, or object storage (`s3://bucket/photos`) with a local folder for copies."""

import hashlib
import os
import shutil
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from ...core.errors import LibraryError
from ...core.files import write_text_atomically
from ...core.paths import expanded


class Location:
    """Library location: a local path or a URI; `str` returns it as it was given."""

    def __init__(self, where: str | Path):
        self.remote = "://" in str(where)
        self.name = str(where).rstrip("/") if self.remote else str(expanded(where))

    def __str__(self) -> str:
        return self.name

    @cached_property
    def folder(self) -> Path:
        """The folder itself; for object storage one in the user's cache, for copies, which can be made again."""
        if not self.remote:
            return Path(self.name)
        import platformdirs

        return platformdirs.user_cache_path("samespace") / "libraries" / hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @property
    def thumbnails(self) -> Path:
        """A folder for thumbnails, local; indexing enters no folder whose name begins with a dot."""
        return self.folder / ".thumbnails"

    @cached_property
    def storage_options(self) -> dict[str, str]:
        """What the database needs in addition to the usual AWS_… variables."""
        plain = self.remote and os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        return {"allow_http": "true"} if plain else {}

    @cached_property
    def filesystem(self) -> tuple[Any, str]:
        """The object storage's file system, and the library's path in it. Raises LibraryError."""
        from pyarrow import fs

        scheme, _, path = self.name.partition("://")
        try:
            if scheme != "s3":
                found, path = fs.FileSystem.from_uri(self.name)
                return found, path
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            return fs.S3FileSystem(region=region, endpoint_override=os.environ.get("AWS_ENDPOINT_URL")), path
        except (OSError, ValueError) as error:
            raise LibraryError(f"{self} cannot be reached ({error}); give a folder, or s3://bucket/folder") from None

    def read(self, name: str) -> str | None:
        """Return a small file's text; None where there is none. Raises LibraryError."""
        try:
            if not self.remote:
                return (self.folder / name).read_text("utf-8")
            storage, path = self.filesystem
            with storage.open_input_file(f"{path}/{name}") as file:
                text: str = file.read().decode()
                return text
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LibraryError(f"{self}/{name} cannot be read ({error}); check the place and who may read it") from None

    def write(self, name: str, text: str) -> None:
        """Write a small file, whole or not at all. Raises OSError."""
        if not self.remote:
            write_text_atomically(self.folder / name, text)
            return
        storage, path = self.filesystem
        with storage.open_output_stream(f"{path}/{name}") as file:
            file.write(text.encode())

    def sync(self, inside: str) -> None:
        """Wait until what is in a folder of the library is on the disk, as a power cut leaves it; object storage has it at once."""
        for folder, _, names in os.walk(self.folder / inside) if not self.remote else ():
            for name in (*names, "."):
                with suppress(OSError):  # removed meanwhile, or a system that syncs no folders
                    opened = os.open(os.path.join(folder, name), os.O_RDONLY)
                    try:
                        os.fsync(opened)
                    finally:
                        os.close(opened)

    def rename(self, name: str, other: str) -> None:
        """Give a file, or a folder, of the library another name; what has that name is replaced. Raises OSError."""
        if self.remote:
            storage, path = self.filesystem
            storage.move(f"{path}/{name}", f"{path}/{other}")
        elif (place := self.folder / other).is_dir():
            shutil.rmtree(place)
            os.rename(self.folder / name, place)
        else:
            os.replace(self.folder / name, place)

    def remove(self, name: str) -> None:
        """Remove a small file, if it is there. Raises OSError."""
        if self.remote:
            storage, path = self.filesystem
            with suppress(FileNotFoundError):
                storage.delete_file(f"{path}/{name}")
        else:
            (self.folder / name).unlink(missing_ok=True)

    def names(self, inside: str) -> list[str]:
        """Return the names in a folder of the library; none where it does not exist."""
        if not self.remote:
            return os.listdir(self.folder / inside) if (self.folder / inside).is_dir() else []
        from pyarrow import fs

        storage, path = self.filesystem
        return [found.base_name for found in storage.get_file_info(fs.FileSelector(f"{path}/{inside}", allow_not_found=True))]
