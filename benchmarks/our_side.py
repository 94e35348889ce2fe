"""Our half of a comparison, in a process of its own: prints what it measured as JSON."""

import json
import sys
import time

import numpy as np


def index(space: str, photographs: str, library: str) -> dict:
    """Index a folder into a new library, model loaded beforehand as in the other half."""
    import lancedb  # noqa: F401  imports are not indexing

    from samespace.library.library import Library

    lib = Library(library, space)
    lib.space.pixels(np.zeros((1, lib.space.config.prep.size, lib.space.config.prep.size, 3), np.uint8))
    started = time.perf_counter()
    report = lib.add([photographs])
    seconds = time.perf_counter() - started
    assert report.added > 0 and not report.skipped
    return {"seconds": seconds, "files": report.added}


if __name__ == "__main__":
    measured = index(*sys.argv[1:])
    print(json.dumps(measured))
