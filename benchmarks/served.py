"""A server that runs while something is measured."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

SAMESPACE = Path(sys.executable).with_name("samespace")
TRIES, PAUSE = 900, 0.2
"""How often a server that starts is asked whether it is ready; seconds between."""


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    address: str
    process: int
    """Its process id."""


@contextmanager
def served(command: Sequence[str | Path], env: Mapping[str, str] = {}) -> Iterator[Served]:
    """Run a server, whose command is given a port of 127.0.0.1, until the block ends. Raises RuntimeError with its last words where it does not begin."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen([*command, "--port", port], env=os.environ | env, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            if not answers(f"{address}/health", running):
                log.seek(0)
                raise RuntimeError(f"{command[0]} does not answer: {log.read().decode(errors='replace')[-500:]}")
            yield Served(address, running.pid)
        finally:
            running.terminate()
            running.wait(60)


def answers(url: str, running: subprocess.Popen[bytes]) -> bool:
    """Wait until a process answers; return False where it ends before, or takes too long."""
    for _ in range(TRIES):
        try:
            requests.get(url, timeout=5).raise_for_status()
            return True
        except requests.RequestException:
            if running.poll() is not None:
                return False
            time.sleep(PAUSE)
    return False
