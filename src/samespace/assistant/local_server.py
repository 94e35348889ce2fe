"""Programs on this machine that serve models which are not built here: llama-server and Ollama, found, started and stopped again."""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from difflib import SequenceMatcher
from pathlib import Path
from urllib.parse import urlsplit

from ..core.errors import UnknownAssistant
from .endpoint import Endpoint

OLLAMA_PORT = 11434
"""Where Ollama listens."""
_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Programs on this machine are not asked through a proxy."""
LLAMA_SERVER = "llama-server"
"""llama.cpp's program."""
WAIT_SECONDS = 120
"""A large model takes so long to load, at most."""


def image_tower_of(path: Path) -> Path | None:
    """Return the image tower beside a GGUF file; of several the one whose name is most like its own."""
    towers = sorted(path.parent.glob("*mmproj*.gguf"))
    return max(towers, key=lambda tower: SequenceMatcher(None, tower.stem, path.stem).ratio(), default=None)


def with_llama_server(path: Path) -> Endpoint:
    """Start llama-server with a GGUF file and the image tower beside it; it ends with this process.

    Raises UnknownAssistant where it is not installed or does not start, MissingExtra.
    """
    program, tower = shutil.which(LLAMA_SERVER), image_tower_of(path)
    if program is None:
        raise UnknownAssistant(
            f"{path.name} runs in {LLAMA_SERVER}, which is not installed; install llama.cpp, or give an endpoint: -a http://…"
        )
    port = _free_port()
    command = [program, "--model", str(path), "--host", "127.0.0.1", "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    _start([*command, *(["--mmproj", str(tower)] if tower else [])], f"{address}/health")
    return Endpoint(f"{address}/v1#{path.stem}")


def with_ollama(model: str) -> Endpoint:
    """Return a model of Ollama, which is started where it does not run, and then ends with this process.

    Raises UnknownAssistant where it is not installed or does not start, MissingExtra.
    """
    address = ollama_address()
    if not _answers(address):
        program = shutil.which("ollama")
        if program is None:
            raise UnknownAssistant("Ollama is not installed; get it at https://ollama.com, or give an endpoint: -a http://…")
        _start([program, "serve"], address)
    return Endpoint(f"{address}/v1#{model}")


def ollama_address() -> str:
    """Return where Ollama listens: as OLLAMA_HOST says, scheme, host and port as far as it names them. Raises UnknownAssistant."""
    named = os.environ.get("OLLAMA_HOST", "").strip()
    scheme, _, rest = named.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "127.0.0.1", parts.port or {"http": 80, "https": 443}.get(scheme, OLLAMA_PORT)
    except ValueError as error:
        raise UnknownAssistant(f"OLLAMA_HOST is {named!r}, which is no address ({error}); write HOST:PORT") from None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # everywhere means here
    return f"{scheme or 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _start(command: list[str], address: str) -> None:
    """Start a program and wait until it answers. Raises UnknownAssistant."""
    with tempfile.TemporaryFile() as log:  # a pipe that nobody reads is full one day, and the program waits
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        atexit.register(_stop, process)
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end and process.poll() is None:
            if _answers(address):
                return
            time.sleep(0.2)
        _stop(process)
        log.seek(0)
        last = log.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    raise UnknownAssistant(
        f"{Path(command[0]).name} does not start ({last[0][:200] if last else 'it says nothing'}); run it yourself to see why"
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a program, gently at first."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()


def _answers(address: str) -> bool:
    try:
        with _WITHOUT_PROXY.open(address, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
