"""Where a library is stored: a folder, or object storage (`s3://bucket/photos`) with a local folder for copies."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from ...core.errors import LibraryError
from ...core.paths import expanded
from .storage import Bucket, Folder, Storage


class Location:
    """Library location: a local path or a URI; `str` returns it as it was given."""

    def __init__(self, where: str | Path):
        self.remote = "://" in str(where)
        self.name = str(where).rstrip("/") if self.remote else str(expanded(where))
        self.bucket = Bucket(self.name) if self.remote else None
        """Where it lies, if that is object storage."""

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

    def remove_thumbnails(self, hashes: Iterable[str]) -> None:
        """Remove the thumbnails of contents that are in the library no more; those of a copy are made again when they are needed."""
        by_folder: dict[str, set[str]] = defaultdict(set)
        for one in hashes:
            by_folder[one[:2]].add(one)
        for name, gone in by_folder.items():
            for file in (self.thumbnails / name).glob("*.jpg"):
                if file.stem.partition("-")[0] in gone:
                    file.unlink(missing_ok=True)

    @cached_property
    def storage_options(self) -> dict[str, str]:
        """What the database needs in addition to the usual AWS_… variables."""
        return {"allow_http": "true"} if self.bucket and self.bucket.is_plain else {}

    @cached_property
    def files(self) -> Storage:
        """Its small files."""
        return self.bucket or Folder(self.folder)

    def read(self, name: str) -> str | None:
        """Return a small file's text; None where there is none. Raises LibraryError."""
        try:
            return self.files.read(name).decode()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LibraryError(f"{self}/{name} cannot be read ({error}); check the place and who may read it") from None
