"""Indexing on a Ray cluster: two workers, one of which is killed, write the library that one process writes."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samespace.library.library import Library

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield "local"
    ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, a copy of one, and a file that is none."""
    rng = np.random.default_rng(0)
    for i in range(120):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / f"{i:03} ü.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "000 ü.png").read_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 cut short")
    return tmp_path


def vectors(library: Library) -> dict[str, np.ndarray]:
    table = library.store.table.to_arrow().to_pylist()
    column = f"z_{library.space.fingerprint}"
    return {row["path"]: np.array(row[column], np.float32) for row in table}


def kill_a_worker(killed: list[int]) -> None:
    """SIGKILL to the first encoding actor that shows up; Ray names its processes after what they do."""
    for _ in range(1200):
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if b"ray::MapWorker" in (process / "cmdline").read_bytes() and not killed:
                    time.sleep(1)  # it is encoding by now
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    return
        time.sleep(0.1)


def test_a_cluster_that_loses_a_worker_writes_the_same_library(cluster, folder, tmp_path_factory):
    alone = Library(tmp_path_factory.mktemp("alone") / "library")
    alone.add([folder])
    many = Library(tmp_path_factory.mktemp("many") / "library", cluster=cluster)
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(killed,))
    killer.start()
    report = many.add([folder])
    killer.join()
    assert killed and len(report.skipped) == 1 and report.skipped[0][0].endswith("broken.jpg")
    want, got = vectors(alone), vectors(many)
    assert got.keys() == want.keys() and len(got) == 121
    assert all(np.allclose(got[path], want[path], atol=2e-3) for path in want)  # fp16
    (folder / "001 ü.png").rename(folder / "moved.png")
    again = many.add([folder])
    assert (again.same, again.moved, again.added, again.removed) == (120, 1, 0, 0)


def test_no_cluster_is_one_sentence(tmp_path):
    from samespace.core.errors import LibraryError

    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(LibraryError, match="no Ray cluster answers"):
        Library(tmp_path / "library", cluster="127.0.0.1:1")
