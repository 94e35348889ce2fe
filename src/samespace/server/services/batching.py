"""What several requests ask for at once, computed together."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(eq=False)
class _Waiting(Generic[T]):
    """An input, and then its vector, or what went wrong."""

    item: T
    z: np.ndarray | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.z is not None or self.error is not None


class Batches(Generic[T]):
    """Encodes the inputs of all requests, one batch at a time: what comes while a batch is encoded makes the next one.

    There is no thread of its own: a request that finds nobody encoding encodes what waits, its own inputs or others'. Of a large
    request no more than a batch waits at a time, so that small ones come in between.
    """

    def __init__(self, encode: Callable[[list[T]], np.ndarray], most: int):
        """encode: inputs → float32 (B, dim); most: inputs of a batch."""
        self.encode, self.most = encode, most
        self._waiting: list[_Waiting[T]] = []
        self._turn, self._encoding = threading.Condition(), False

    def __call__(self, items: Sequence[T]) -> list[np.ndarray]:
        """Return a vector for each item: float32 (dim,). Raises what `encode` raises of one of them."""
        parts = (items[i : i + self.most] for i in range(0, len(items), self.most))
        return [z for part in parts for z in self._vectors([_Waiting(item) for item in part])]

    def _vectors(self, mine: list[_Waiting[T]]) -> list[np.ndarray]:
        with self._turn:
            self._waiting += mine
            while not all(one.is_done for one in mine):
                if self._encoding:
                    self._turn.wait()
                else:
                    self._encode_next()
        if failed := next((one.error for one in mine if one.error), None):
            raise failed
        return [one.z for one in mine if one.z is not None]

    def _encode_next(self) -> None:
        """Encode a batch while others may add to the next."""
        batch, self._waiting = self._waiting[: self.most], self._waiting[self.most :]
        self._encoding = True
        self._turn.release()
        try:
            self._encode(batch)
        finally:
            self._turn.acquire()
            self._encoding = False
            self._turn.notify_all()

    def _encode(self, batch: list[_Waiting[T]]) -> None:
        """Encode waiting inputs; where that fails, one by one: no request fails for another's input."""
        try:
            for one, z in zip(batch, self.encode([one.item for one in batch]), strict=True):
                one.z = z
        except Exception as error:  # whatever it is, the request that waits for it is told
            if len(batch) == 1:
                batch[0].error = error
                return
            for one in batch:
                self._encode([one])
