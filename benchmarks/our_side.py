"""Our half of a comparison, in a process of its own: prints what it measured as JSON."""

import json
import resource
import sys
import time


def index(space: str, photographs: str, library: str) -> dict:
    """Index a folder into a new library, model loaded beforehand as in the other half."""
    import lancedb  # noqa: F401  imports are not indexing

    from samespace.library.library import Library

    lib = Library(library, space)
    _ = lib.space.image_tower
    started = time.perf_counter()
    report = lib.add([photographs])
    seconds = time.perf_counter() - started
    assert report.added > 0 and not report.skipped
    return {"seconds": seconds, "files": report.added}


if __name__ == "__main__":
    measured = index(*sys.argv[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(measured | {"peak_mb": peak}))
