"""One machine writes to a library on object storage at a time: a lease, an object that only one can create, and that runs out.

Every write of it is conditional (RFC 9110, §13.1: If-None-Match, If-Match). Whether it ran out is judged by the storage's clock
alone, so that a machine whose clock is wrong takes it from nobody.
"""

import json
import os
import platform
import threading
import time
from contextlib import suppress
from typing import Any

from ...core.errors import LibraryBusy, LibraryError
from .storage import Bucket, Tag, Version

SECONDS = 60.0
"""How long a lease is good for; it is renewed three times in that time."""


class Lease:
    """The right to write to a library on object storage, or to one of its small files, from `acquire` to `release`."""

    def __init__(self, bucket: Bucket, name: str, machine: str):
        """machine: what no other machine calls itself. Who has its local lock may take its lease: a process of it has died."""
        self.bucket, self.name, self.machine = bucket, f"{name.strip('.')}.lease", machine
        named = {"machine": machine, "name": platform.node(), "process": os.getpid(), "number": os.urandom(8).hex()}
        self._content = json.dumps(named).encode()
        self._tag: Tag | None = None
        self._renewed = 0.0
        self._renewing, self._released = threading.Lock(), threading.Event()

    def acquire(self, seconds: float = 0) -> None:
        """Take it, or wait so many seconds for it. Raises LibraryBusy where another machine has it, OSError."""
        due = time.monotonic() + seconds
        while not self._take():
            if time.monotonic() >= due:
                raise LibraryBusy(f"{self._holder()} is writing into {self.bucket.uri}; wait for it, or use another --library")
            time.sleep(0.2)
        threading.Thread(target=self._keep, daemon=True).start()

    def release(self) -> None:
        """Give it back. Raises LibraryError where another machine has taken it meanwhile, OSError."""
        self._released.set()
        self._renew()
        self.check()
        self.bucket.remove(self.name)

    def check(self) -> None:
        """Raises LibraryError where it was lost: this machine slept, or was cut off, for longer than it is good for."""
        if self._tag is not None and _now() - self._renewed > SECONDS / 2:
            with suppress(OSError):
                self._renew()
        if self._tag is None:
            raise LibraryError(
                f"{self._holder()} has begun to write into {self.bucket.uri} while this machine could not reach it; wait for it, "
                f"then run the same command again, and look the library through: samespace doctor --library {self.bucket.uri}"
            )

    def _take(self) -> bool:
        """Create it, or take one that ran out; return whether it is this machine's now."""
        begun = _now()
        self._tag, self._renewed = self.bucket.create(self.name, self._content), begun
        if self._tag is None:
            with suppress(FileNotFoundError):  # it was given back a moment ago
                found = self.bucket.version(self.name)
                if _values(found.data).get("machine") == self.machine or self._ran_out(found):
                    self._tag = self.bucket.replace(self.name, self._content, found.tag)
        return self._tag is not None

    def _ran_out(self, found: Version) -> bool:
        clock = f"{self.name}.clock-{os.urandom(4).hex()}"
        self.bucket.write(clock, "")
        try:
            return self.bucket.version(clock).seconds - found.seconds > SECONDS
        finally:
            self.bucket.remove(clock)

    def _holder(self) -> str:
        """Return who has it, as a sentence begins."""
        try:
            holder = _values(self.bucket.read(self.name))
        except OSError:
            holder = {}
        return f"the machine {holder['name']} (process {holder.get('process')})" if "name" in holder else "another machine"

    def _keep(self) -> None:
        """Renew it again and again. Where the storage is not reached and that lasts, another machine takes it, and `check` sees that."""
        while not self._released.wait(SECONDS / 3) and self._tag is not None:
            with suppress(OSError):
                self._renew()

    def _renew(self) -> None:
        """Write it again. Raises OSError where the storage is not reached."""
        with self._renewing:
            if self._tag is None:
                return
            begun = _now()
            tag = self.bucket.replace(self.name, self._content, self._tag)
            if tag is None:  # another machine's, or the answer to the last renewal was lost
                with suppress(FileNotFoundError):
                    found = self.bucket.version(self.name)
                    tag = found.tag if found.data == self._content else None
            self._tag, self._renewed = tag, begun


def _values(data: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(data)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _now() -> float:
    """Return seconds of a clock that nobody sets, and that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
