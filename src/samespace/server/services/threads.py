"""Threads that requests wait in: each kind of work has its own, so that none waits behind the queue of another.

All other routes share the threads of the framework.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TypeVar

import anyio

from ...core.machine import usable_cpus

T = TypeVar("T")
preparing = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(8))
"""Calls what comes before an answer: an assistant is opened, pictures are downloaded and encoded."""
answering = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(64))
"""Calls a step of an answer: our own take turns, and those of endpoints wait for the network."""
working = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(8))
"""Calls what computes for long: drawings, the lab, documents that are read again, spaces that are compared."""
decoding = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(usable_cpus()))
"""Calls what opens a picture, a frame or a page: each may take much memory for a while."""


async def one_by_one(items: Iterator[T]) -> AsyncIterator[T]:
    """Yield items, each computed by `working`; where nobody takes any more, no further one is."""
    end = object()
    while (item := await working(next, items, end)) is not end:
        yield item  # type: ignore[misc]  # it is no end
