"""A drawing by the generator that comes with the package: seconds, and memory, in a process of its own."""

import json
import statistics
import sys
import time

import samespace

from .measured import measure

QUERIES = "a red apple,a cat,a blue car,a house,a tree,a fish,a star,a dog,a boat,a hat,a moon".split(",")


def run() -> list[dict[str, str]]:
    """Return the table's rows."""
    found = measure([sys.executable, "-m", "benchmarks.drawing"])
    return [{"what": "a drawing in 25 steps, p50; memory", "ours": f"{found['seconds']:.2f} s, {found['peak_mb']:.0f} MB"}]


if __name__ == "__main__":
    generator, times = samespace.load_generator("starter"), list[float]()
    for query in QUERIES:
        begun = time.perf_counter()
        generator.draw(query)
        times.append(time.perf_counter() - begun)
    print(json.dumps({"seconds": statistics.median(times[1:])}))  # the first one warms up
