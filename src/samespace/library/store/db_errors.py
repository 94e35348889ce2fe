"""What stands around every use of the database: its errors as one sentence, Ctrl-C held back from its writes, one writer."""

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ...core.errors import LibraryBusy, LibraryError
from .location import Home


def clear_errors(method: Callable) -> Callable:
    """LanceDB's errors, which are RuntimeError, ValueError or OSError with a Rust report, as one clear sentence."""

    @functools.wraps(method)
    def guarded(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(self, *arguments, **options)
        except (RuntimeError, OSError, ValueError, OverflowError) as error:
            text = " ".join(str(error).split())
            if "No space left" in text or "StorageFull" in text:
                raise LibraryError(f"the disk of {self.home} is full; free some space and run the same command again") from error
            if "ermission denied" in text or "Read-only" in text:
                raise LibraryError(
                    f"{self.home} cannot be written; check its permissions, or choose another --library"
                ) from error
            raise LibraryError(f"the library {self.home} cannot be used ({text[:200]}); index into a new --library") from error

    return guarded


def uninterrupted(method: Callable) -> Callable:
    """Hold Ctrl-C back until a write is done: LanceDB would go on writing behind the exception, beside our next write."""

    @functools.wraps(method)
    def shielded(self: Any, *arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return method(self, *arguments, **options)
        pressed = []
        before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
        try:
            done = method(self, *arguments, **options)
        finally:
            signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt
        return done

    return shielded


@contextlib.contextmanager
def locked(home: Home) -> Iterator[None]:
    """A library held for writing. Raises LibraryBusy at once where another process of this machine does, LibraryError."""
    from filelock import FileLock, Timeout

    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home.folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise LibraryBusy(f"another process is indexing into {home}; wait for it, or use another --library") from None
    except OSError as error:
        raise LibraryError(f"{home} cannot be written ({error.strerror}); choose another place with --library") from None
    with lock:
        yield
