"""What this machine offers: processors."""

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
