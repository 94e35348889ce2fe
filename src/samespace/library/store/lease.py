"""One machine writes to a library on object storage at a time: a lease, an object that only one can create, and that runs out.

Every write of it is conditional (RFC 9110, §13.1: If-None-Match, If-Match). Whether it ran out is judged by the storage's clock
alone, so that a machine whose clock is wrong takes it from nobody.
"""

import json
import os
import platform
import threading
import time
from typing import Any

from ...core.errors import LibraryBusy, LibraryError
from .storage import Bucket, Version

SECONDS = 60.0
"""How long a lease is good for; it is renewed three times in that time."""


class Lease:
    """The right to write to a library on object storage, or to one of its small files, from `acquire` to `release`."""

    def __init__(self, bucket: Bucket, name: str, machine: str):
        """machine: what no other machine calls itself. Who has its local lock may take its lease: a process of it has died."""
        self.bucket, self.name, self.machine = bucket, f"{name.strip('.')}.lease", machine
        self._etag: str | None = None
        self._released = threading.Event()
        self._renewing: threading.Thread | None = None

    def acquire(self, seconds: float = 0) -> None:
        """Take it, or wait so many seconds for it. Raises LibraryBusy where another machine has it, OSError."""
        due = time.monotonic() + seconds
        self._etag = self._taken()
        while self._etag is None:
            if time.monotonic() >= due:
                raise LibraryBusy(f"{self._holder()} is writing into {self.bucket.uri}; wait for it, or use another --library")
            time.sleep(0.2)
            self._etag = self._taken()
        self._renewing = threading.Thread(target=self._renew, daemon=True)
        self._renewing.start()

    def release(self) -> None:
        """Give it back. Raises LibraryError where another machine has taken it meanwhile, OSError."""
        self._released.set()
        if self._renewing:
            self._renewing.join()
        self.check()
        self.bucket.remove(self.name)

    def check(self) -> None:
        """Raises LibraryError where it was lost: this machine was cut off for longer than it is good for."""
        if self._etag is None:
            raise LibraryError(
                f"{self._holder()} has begun to write into {self.bucket.uri} while this machine could not reach it; wait for it, "
                f"then run the same command again, and look the library through: samespace doctor --library {self.bucket.uri}"
            )

    def _taken(self) -> str | None:
        """Create it, or take one that ran out; return its etag, None where another machine has it."""
        if etag := self.bucket.create(self.name, self._content()):
            return etag
        try:
            found = self.bucket.version(self.name)
        except FileNotFoundError:  # given back a moment ago
            return None
        free = self._holder_of(found.data).get("machine") == self.machine or self._ran_out(found)
        return self.bucket.replace(self.name, self._content(), found.etag) if free else None

    def _ran_out(self, found: Version) -> bool:
        self.bucket.write(clock := f"{self.name}.clock", "")
        return self.bucket.version(clock).seconds - found.seconds > SECONDS

    def _content(self) -> bytes:
        named = {"machine": self.machine, "name": platform.node(), "process": os.getpid(), "number": os.urandom(8).hex()}
        return json.dumps(named).encode()

    @staticmethod
    def _holder_of(data: bytes) -> dict[str, Any]:
        try:
            holder = json.loads(data)
            return holder if isinstance(holder, dict) else {}
        except ValueError:
            return {}

    def _holder(self) -> str:
        """Return who has it, as a sentence begins."""
        try:
            holder = self._holder_of(self.bucket.read(self.name))
        except OSError:
            holder = {}
        return f"the machine {holder['name']} (process {holder.get('process')})" if "name" in holder else "another machine"

    def _renew(self) -> None:
        while not self._released.wait(SECONDS / 3) and self._etag is not None:
            try:
                self._etag = self.bucket.replace(self.name, self._content(), self._etag)
            except OSError:  # not reached for the moment; if that lasts, another machine takes it, and the next renewal sees that
                continue
