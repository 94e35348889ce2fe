"""What this machine offers: processors and memory."""

import os
from pathlib import Path

THREADS = "SAMESPACE_THREADS"
"""Environment variable that sets the number of processors to use."""


def usable_cpus() -> int:
    """Return the number of CPUs this process may use: its affinity and the container's quota (cgroup v2).

    $SAMESPACE_THREADS overrides both.
    """
    if (wanted := os.environ.get(THREADS, "")).isdigit() and int(wanted):
        return int(wanted)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):
        return count


def free_memory() -> int:
    """Return the bytes of memory that are free, of the machine or of the container (cgroup v2); 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return 0
    try:
        most, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        return free if most == "max" else max(0, min(free, int(most) - int(used)))
    except (OSError, ValueError):
        return free
