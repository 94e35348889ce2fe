"""Small files of a library: in a folder, or in a bucket of object storage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ...core.errors import LibraryError, error_summary
from ...core.files import write_text_atomically


class Storage(Protocol):
    """Where files lie, by names with slashes."""

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises FileNotFoundError where there is none, OSError."""
        ...

    def write(self, name: str, text: str) -> None:
        """Write a file, whole or not at all. Raises OSError."""
        ...

    def rename(self, name: str, other: str) -> None:
        """Give a file, or a folder, another name, which is free. Raises OSError."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there. Raises OSError."""
        ...

    def names(self, inside: str) -> list[str]:
        """Return the names of what is in a folder; none where it does not exist. Raises OSError."""
        ...

    def sync(self, inside: str) -> None:
        """Wait until what is in a folder would survive a power cut."""
        ...


class Folder:
    """A folder of this machine's file systems."""

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, name: str) -> bytes:
        """See Storage."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, text: str) -> None:
        """See Storage."""
        write_text_atomically(self.folder / name, text)

    def rename(self, name: str, other: str) -> None:
        """See Storage."""
        os.rename(self.folder / name, self.folder / other)

    def remove(self, name: str) -> None:
        """See Storage."""
        (self.folder / name).unlink(missing_ok=True)

    def names(self, inside: str) -> list[str]:
        """See Storage."""
        return os.listdir(self.folder / inside) if (self.folder / inside).is_dir() else []

    def sync(self, inside: str) -> None:
        """See Storage."""
        for folder, _, names in os.walk(self.folder / inside):
            for name in (*names, "."):
                with suppress(OSError):  # removed meanwhile, or a system that syncs no folders
                    opened = os.open(os.path.join(folder, name), os.O_RDONLY)
                    try:
                        os.fsync(opened)
                    finally:
                        os.close(opened)


Tag = dict[str, str]
"""What names one version of an object, to conditional writes."""


class Version(NamedTuple):
    """An object as it was when it was read or written."""

    tag: Tag
    data: bytes
    seconds: float
    """When it was written, by the storage's clock: seconds since 1970."""


class Bucket:
    """A folder of a bucket: `s3://bucket/photos`, reached by the usual AWS_… variables."""

    def __init__(self, uri: str):
        self.uri = uri
        self.scheme, _, rest = uri.partition("://")
        self.bucket, _, self.path = rest.partition("/")

    @property
    def is_plain(self) -> bool:
        """Whether it is reached without TLS, as a server of one's own may be."""
        return os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")

    @cached_property
    def _store(self) -> Any:
        """Raises LibraryError."""
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        try:
            return from_url(f"{self.scheme}://{self.bucket}", client_options={"allow_http": True} if self.is_plain else None)
        except (BaseError, ValueError) as error:
            raise LibraryError(
                f"{self.uri} cannot be reached ({error_summary(error)}); give a folder, or s3://bucket/folder"
            ) from None

    def read(self, name: str) -> bytes:
        """See Storage."""
        return self.version(name).data

    def write(self, name: str, text: str) -> None:
        """See Storage."""
        self._put(name, text.encode(), "overwrite")

    def rename(self, name: str, other: str) -> None:
        """See Storage."""
        import obstore

        keys = self._keys(name)
        for key in keys:
            with _as_os_error():
                obstore.rename(self._store, key, self._key(other) + key.removeprefix(self._key(name)))

    def remove(self, name: str) -> None:
        """See Storage."""
        import obstore

        with suppress(FileNotFoundError), _as_os_error():
            obstore.delete(self._store, self._key(name))

    def names(self, inside: str) -> list[str]:
        """See Storage."""
        import obstore

        with _as_os_error():
            found = obstore.list_with_delimiter(self._store, self._key(inside))
        paths = [*(entry["path"] for entry in found["objects"]), *found["common_prefixes"]]
        return [path.rstrip("/").rpartition("/")[2] for path in paths]

    def sync(self, inside: str) -> None:
        """See Storage: object storage has written when it answers."""

    def version(self, name: str) -> Version:
        """Return an object, with what names this version of it. Raises FileNotFoundError, OSError."""
        import obstore

        with _as_os_error():
            found = obstore.get(self._store, self._key(name))
            return Version(_tag(found.meta), bytes(found.bytes()), found.meta["last_modified"].timestamp())

    def create(self, name: str, data: bytes) -> Tag | None:
        """Write an object where there is none; return its tag, None where there is one. Raises OSError."""
        return self._put(name, data, "create")

    def replace(self, name: str, data: bytes, tag: Tag) -> Tag | None:
        """Write an object in the place of one version of it; return its tag, None where it is another by now. Raises OSError."""
        with suppress(FileNotFoundError):
            return self._put(name, data, tag)
        return None

    def _put(self, name: str, data: bytes, mode: Any) -> Tag | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with _as_os_error():
            try:
                return _tag(obstore.put(self._store, self._key(name), data, mode=mode))
            except (AlreadyExistsError, PreconditionError):
                return None

    def _key(self, name: str) -> str:
        return f"{self.path}/{name}".strip("/")

    def _keys(self, name: str) -> list[str]:
        """Return the keys of an object, or of all in a folder."""
        import obstore

        with _as_os_error():
            inside = [entry["path"] for page in obstore.list(self._store, self._key(name)) for entry in page]
        return inside or [self._key(name)]


def _tag(meta: Any) -> Tag:
    return {key: str(meta[key]) for key in ("e_tag", "version") if meta.get(key)}


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Raise what obstore raises as OSError, and of a missing object as FileNotFoundError."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except NotFoundError as error:
        raise FileNotFoundError(error_summary(error)) from None
    except BaseError as error:
        raise OSError(error_summary(error)) from None
