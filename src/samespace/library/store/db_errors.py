"""Around every use of the database: its errors become one sentence, Ctrl-C waits for writes, one process writes at a time."""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ...core.errors import LibraryBusy, LibraryError, SamespaceError
from ...core.files import write_text_atomically
from .filter import OLD_LIBRARY
from .lease import Lease
from .location import Location

P = ParamSpec("P")
R = TypeVar("R")


class HasLocation(Protocol):
    """An object that has a library's location."""

    location: Location


class Writer(Protocol):
    """An object that writes to a library."""

    def check_lease(self) -> None:
        """Raises LibraryError where another machine has begun to write."""


S = TypeVar("S", bound=HasLocation)
W = TypeVar("W", bound=Writer)


def clear_errors(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Raise LanceDB's errors, which are RuntimeError, ValueError or OSError with a Rust report, as one clear LibraryError."""

    @functools.wraps(method)
    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except SamespaceError:
            raise
        except (RuntimeError, OSError, ValueError, OverflowError) as error:
            text = " ".join(str(error).split())
            if "No space left" in text or "StorageFull" in text:
                raise LibraryError(
                    f"the disk of {self.location} is full; free some space and run the same command again"
                ) from error
            if "ermission denied" in text or "Read-only" in text:
                raise LibraryError(
                    f"{self.location} cannot be written; check its permissions, or choose another --library"
                ) from error
            if "No field named" in text:
                raise LibraryError(OLD_LIBRARY) from error
            raise LibraryError(
                f"the library {self.location} cannot be used ({text[:200]}); mend it: samespace doctor --library {self.location}"
            ) from error

    return wrapper


def uninterrupted(method: Callable[Concatenate[W, P], R]) -> Callable[Concatenate[W, P], R]:
    """Delay Ctrl-C until a write is done: LanceDB would go on writing in the background, while the next write begins.

    Nothing is written where another machine has begun to.
    """

    @functools.wraps(method)
    def wrapper(self: W, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.check_lease()
        if threading.current_thread() is not threading.main_thread():
            return method(self, *args, **kwargs)
        pressed: list[bool] = []
        before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
        try:
            result = method(self, *args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt
        return result

    return wrapper


@contextlib.contextmanager
def write_lock(location: Location, name: str = ".lock", seconds: float = 0) -> Iterator[Lease | None]:
    """Hold a library, or what another lock stands for, for writing; yield the lease, where it lies on object storage.

    Raises LibraryBusy where another process, or another machine, does, at once or after so many seconds; LibraryError.
    """
    with local_lock(location, name, seconds):
        if location.bucket is None:
            yield None
            return
        try:
            lease = Lease(location.bucket, name, _machine(location))
            lease.acquire(seconds)
        except OSError as error:
            raise LibraryError(f"{location} cannot be written ({error}); choose another place with --library") from None
        try:
            yield lease
        finally:
            with contextlib.suppress(OSError):  # it is not reached now, and the lease runs out by itself
                lease.release()


@contextlib.contextmanager
def local_lock(location: Location, name: str, seconds: float = 0) -> Iterator[None]:
    """Hold back other processes of this machine. Raises LibraryBusy, LibraryError."""
    from filelock import FileLock, Timeout

    try:
        location.folder.mkdir(parents=True, exist_ok=True)
        lock: Any = FileLock(location.folder / name, timeout=seconds)
        lock.acquire()
    except Timeout:
        raise LibraryBusy(f"another process is indexing into {location}; wait for it, or use another --library") from None
    except OSError as error:
        raise LibraryError(f"{location} cannot be written ({error.strerror}); choose another place with --library") from None
    try:
        yield
    finally:
        lock.release()


def _machine(location: Location) -> str:
    """Return what this machine calls itself to others, drawn once for a library. Raises OSError."""
    file = location.folder / "machine"
    if not file.exists():
        write_text_atomically(file, os.urandom(16).hex())
    return file.read_text("utf-8")
