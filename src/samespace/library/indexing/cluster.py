"""Files → segments on many machines: the encoder on Ray Data, with the same outcomes as embed.Embedder.

Workers read files by the same paths as here (a shared disk) and load the space themselves. Outcomes stream back and are
written by the process that called, because a library is written by merging: a moved file keeps its row, a second
space's vectors join the first's. Ray replaces a worker that dies, and repeats its work.
"""

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...core.errors import LibraryError, MissingExtra, error_summary
from ...core.machine import THREADS
from ...spaces.space import Space
from ..store.records import File
from .embed import Embedded, Embedder, Skipped

BATCH_FILES = 64
"""Files that a worker takes at a time."""


class Cluster:
    """A FileEncoder that has a Ray cluster do the work."""

    def __init__(self, address: str, space: Space):
        """address: of a running cluster (`ray://host:10001`, `host:6379`, auto), or `local` to start one here.

        Raises MissingExtra, and LibraryError where no cluster answers.
        """
        try:
            import ray
        except ImportError:
            raise MissingExtra("indexing on a Ray cluster", "ray") from None
        self.space = space
        try:
            if not ray.is_initialized():
                _check_listening(address)
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise LibraryError(f"no Ray cluster answers at {address} ({error}); start one with: ray start --head") from None

    def files(self, files: Iterable[File], seen: set[str]) -> Iterator[list[Embedded | Skipped]]:
        """Encode files, in no order. Copies of `seen` contents come without segments, as from Embedder. Raises LibraryError."""
        import ray

        rows = [asdict(file) for file in files]
        if not rows:
            return
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        data = ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // BATCH_FILES))
        encoded = data.map_batches(
            _Worker, fn_constructor_args=(str(self.space.folder), frozenset(seen)), batch_size=BATCH_FILES, batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers), num_cpus=1,
        )  # fmt: skip
        try:
            for batch in encoded.iter_batches(batch_size=None, batch_format="numpy"):
                yield list(batch["outcome"])
        except ray.exceptions.RayError as error:
            raise LibraryError(
                f"the Ray cluster failed ({error_summary(error)}); see that its workers have samespace, the space "
                f"{self.space.folder} and the files under the same paths, then run the same command again"
            ) from None


def _check_listening(address: str) -> None:
    """Raises OSError where nothing listens at host:port; Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


class _Worker:
    """A Ray actor: one process with one space."""

    def __init__(self, space: str, seen: frozenset[str]):
        os.environ[THREADS] = "1"  # the cluster starts a worker for each processor
        self.embedder, self.seen = Embedder(Space(Path(space))), seen

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Encode a batch of files, given as a column for each field of File → a column of outcomes."""
        files = [File(*values) for values in zip(*(batch[name].tolist() for name in File.__dataclass_fields__))]
        outcomes = [outcome for part in self.embedder.files(files, set(self.seen)) for outcome in part]
        column = np.empty(len(outcomes), dtype=object)
        column[:] = outcomes
        return {"outcome": column}
