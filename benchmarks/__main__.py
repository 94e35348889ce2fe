"""Run the benchmarks and print one table; ratios above 1 are in our favour.

    python -m benchmarks [indexing] [encoder] [search] [cold] [training] [answering] [context] [load] [serving] [media] [reading] [scale] [page] [operate] [drawing]   # all without a name
    BENCH_ROWS=10000,100000 python -m benchmarks search            # smaller search sizes

Takes about half an hour on two cores, most of it the index over a million vectors. Work files go to .bench/ and are
used again; results are also appended to .bench/results.jsonl.
"""

import json
import platform
import sys
import time

from samespace.core.machine import usable_cpus

from . import (
    WORK,
    answering,
    cold,
    context,
    drawing,
    encoder,
    indexing,
    load,
    media,
    operate,
    page,
    reading,
    scale,
    search,
    serving,
    training,
)

PARTS = {
    "indexing": indexing.run,
    "encoder": encoder.run,
    "scale": scale.run,
    "search": search.run,
    "cold": cold.run,
    "training": training.run,
    "answering": answering.run,
    "context": context.run,
    "load": load.run,
    "serving": serving.run,
    "media": media.run,
    "reading": reading.run,
    "page": page.run,
    "operate": operate.run,
    "drawing": drawing.run,
}


def main(names: list[str]) -> None:
    if unknown := set(names) - PARTS.keys():
        sys.exit(f"unknown benchmark {sorted(unknown)[0]!r}; there are: {', '.join(PARTS)}")
    WORK.mkdir(exist_ok=True)
    machine = f"{platform.processor() or platform.machine()}, {usable_cpus()} CPUs, Python {platform.python_version()}"
    print(machine, flush=True)
    for name in names or PARTS:
        print(f"\n{name}", flush=True)
        for row in PARTS[name]():
            print(f"  {row['what']:58} {row['ours']:>22} {row.get('peer', ''):>28} {row.get('ratio', ''):>10}", flush=True)
            with open(WORK / "results.jsonl", "a") as out:
                out.write(json.dumps({"at": time.strftime("%F %T"), "part": name, "machine": machine} | row) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
