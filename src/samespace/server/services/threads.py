"""Threads that requests wait in: each kind of work has its own, so that none waits behind the queue of another.

All other routes share the threads of the framework.
"""

from functools import partial

import anyio

from ...core.machine import usable_cpus

preparing = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(8))
"""Calls what comes before an answer: an assistant is opened, pictures are downloaded and encoded."""
answering = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(64))
"""Calls a step of an answer: our own take turns, and those of endpoints wait for the network."""
decoding = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(usable_cpus()))
"""Calls what opens a picture, a frame or a page: each may take much memory for a while."""
