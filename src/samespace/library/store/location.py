"""Where a library lives: a folder, or object storage (`s3://bucket/photos`), of which a folder here keeps the quick copies."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from ...core.errors import LibraryError
from ...core.paths import expanded


class Home:
    """A library's place; as text, what people call it."""

    def __init__(self, where: str | Path):
        self.remote = "://" in str(where)
        self.name = str(where).rstrip("/") if self.remote else str(expanded(where))

    def __str__(self) -> str:
        return self.name

    @cached_property
    def folder(self) -> Path:
        """The folder itself; of object storage, one in the user's cache for copies that are made again where they are missing."""
        if not self.remote:
            return Path(self.name)
        import platformdirs

        return platformdirs.user_cache_path("samespace") / "libraries" / hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @cached_property
    def storage(self) -> dict[str, str]:
        """What the database must be told beside the usual AWS_… variables."""
        plain = self.remote and os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        return {"allow_http": "true"} if plain else {}

    @cached_property
    def opened(self) -> tuple[Any, str]:
        """The file system of object storage, and the library's path in it. Raises LibraryError."""
        from pyarrow import fs

        scheme, _, path = self.name.partition("://")
        try:
            if scheme != "s3":
                return fs.FileSystem.from_uri(self.name)
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            return fs.S3FileSystem(region=region, endpoint_override=os.environ.get("AWS_ENDPOINT_URL")), path
        except (OSError, ValueError) as error:
            raise LibraryError(f"{self} cannot be reached ({error}); give a folder, or s3://bucket/folder") from None

    def read(self, name: str) -> str | None:
        """A small file's text; None where there is none. Raises LibraryError."""
        try:
            if not self.remote:
                return (self.folder / name).read_text("utf-8")
            storage, path = self.opened
            with storage.open_input_file(f"{path}/{name}") as file:
                return file.read().decode()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LibraryError(f"{self}/{name} cannot be read ({error}); check the place and who may read it") from None

    def write(self, name: str, text: str) -> None:
        """Write a small file, whole or not at all."""
        if self.remote:
            storage, path = self.opened
            with storage.open_output_stream(f"{path}/{name}") as file:
                file.write(text.encode())
            return
        scratch = self.folder / f"{name}.part"
        scratch.write_text(text, "utf-8")
        os.replace(scratch, self.folder / name)

    def names(self, inside: str) -> list[str]:
        """Names of what lies in a folder of the library; none where it is not there."""
        if not self.remote:
            return os.listdir(self.folder / inside) if (self.folder / inside).is_dir() else []
        from pyarrow import fs

        storage, path = self.opened
        return [found.base_name for found in storage.get_file_info(fs.FileSelector(f"{path}/{inside}", allow_not_found=True))]
