"""Our half of a comparison, in a process of its own: prints what it measured as JSON."""

import json
import resource
import sys
import time
from pathlib import Path


def index(space: str, photographs: str, library: str) -> dict:
    """Index a folder into a new library, model loaded beforehand as in the other half."""
    import lancedb  # noqa: F401  imports are not indexing

    from samespace.library import Library

    lib = Library(library, space)
    _ = lib.space.image_tower
    started = time.perf_counter()
    report = lib.add([photographs])
    seconds = time.perf_counter() - started
    assert report.added > 0 and not report.skipped
    return {"seconds": seconds, "files": report.added}


def hear(space: str, recordings: str, library: str) -> dict:
    """Read a folder's recordings and make log-mel spectrograms of their windows."""
    from samespace.config import AudioTower
    from samespace.media.audio import windows
    from samespace.prep.mel import log_mel

    started, files = time.perf_counter(), sorted(Path(recordings).iterdir())
    clips = sum(log_mel(clip.samples, AudioTower()).shape[1] > 0 for file in files for clip in windows(file))
    assert clips >= len(files)
    return {"seconds": time.perf_counter() - started, "files": len(files)}


if __name__ == "__main__":
    measured = {"index": index, "hear": hear}[sys.argv[1]](*sys.argv[2:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(measured | {"peak_mb": peak}))
