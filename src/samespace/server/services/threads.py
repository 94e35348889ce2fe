"""Threads that requests wait in: each kind of work has its own, so that none waits behind the queue of another.

All other routes share the threads of the framework.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TypeVar

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ...core.errors import OperationStopped
from ...core.machine import usable_cpus

T = TypeVar("T")
LOOK_SECONDS = 0.25
"""How often it is looked whether a client is still there."""
preparing = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(8))
"""Calls what comes before an answer: an assistant is opened, pictures are downloaded and encoded."""
answering = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(64))
"""Calls a step of an answer: our own take turns, and those of endpoints wait for the network."""
working = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(8))
"""Calls what computes for long: drawings, the lab, documents that are read again, spaces that are compared."""
decoding = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(usable_cpus()))
"""Calls what opens a picture, a frame or a page: each may take much memory for a while."""


async def while_wanted(request: Request, work: Callable[[Callable[..., None]], T]) -> T:
    """Call work in a thread; what it is given, it calls now and then, which raises OperationStopped when the client has gone."""
    gone = threading.Event()

    def check(*_: object) -> None:
        if gone.is_set():
            raise OperationStopped("the client has gone")

    running = asyncio.ensure_future(run_in_threadpool(work, check))
    while not (await asyncio.wait([running], timeout=LOOK_SECONDS))[0]:
        if await request.is_disconnected():
            gone.set()
    return running.result()


async def one_by_one(items: Iterator[T]) -> AsyncIterator[T]:
    """Yield items, each computed by `working`; where nobody takes any more, no further one is."""
    end = object()
    while (item := await working(next, items, end)) is not end:
        yield item  # type: ignore[misc]  # it is no end
