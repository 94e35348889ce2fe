"""What is installed, what is missing, and how to get it."""

import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from .. import __version__
from ..core.errors import SamespaceError
from ..core.files import sha256
from ..core.machine import usable_cpus
from ..library.library import default_path
from ..library.store.lance import Store
from ..media import speech
from ..spaces import hub
from ..spaces.space import read_space_config

CORE = ("numpy", "pillow", "pi-heif", "av", "pypdfium2", "onnxruntime", "tokenizers", "lancedb", "pyarrow", "huggingface-hub")
EXTRAS = {
    "demo": ("skimage", "the six demo photographs"),
    "ocr": ("rapidocr", "the words of scanned pages, and of pictures that are asked about"),
    "raw": ("rawpy", "camera raw files"),
    "speech": ("faster_whisper", "transcripts of sound and film"),
    "ask": ("gguf", "questions about pictures"),
    "serve": ("fastapi", "the local server, and MCP"),
    "train": ("peft", "training, and converting hub checkpoints"),
}


def lines() -> Iterator[str]:
    """The report, line by line."""
    yield f"samespace {__version__}, Python {sys.version.split()[0]}, {platform.system()} {platform.machine()}, {usable_cpus()} CPUs"
    for package in CORE:
        yield f"  {package:16} {version(package) or 'missing: pip install samespace'}"
    for extra, (module, what) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield f"  extra {extra:10} " + ("installed" if there else f'not installed ({what}): pip install "samespace[{extra}]"')
    if importlib.util.find_spec("faster_whisper") and speech.whisper() is None:
        yield f"  no weights for transcripts: fetch Systran/faster-whisper-base from the hub, or name a folder in ${speech.MODEL}"
    if not (shutil.which("soffice") or shutil.which("libreoffice")):
        yield "  no LibreOffice: office files are skipped, PDFs are read"
    yield "spaces"
    for name, folder in hub.installed().items():
        try:
            config = read_space_config(folder)
        except SamespaceError as error:
            yield f"  {error}"
            continue
        precision = {t: p["chosen"] for t, p in config.card.get("precision", {}).items()}
        has_audio = "hears" if config.audio.layers else "does not hear: samespace spaces hear"
        yield f"  {name:16} {config.dim}-d, {config.fingerprint}, {precision}, {has_audio}, {broken(folder) or 'all files whole'}"
    yield "library"
    yield from library_lines()


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def broken(folder: Path) -> str:
    """Names the files of a space whose hash is not what space.json says."""
    files = read_space_config(folder).files
    bad = [n for n, digest in files.items() if not (folder / n).exists() or sha256(folder / n) != digest]
    return f"damaged: {', '.join(bad)}; install it again" if bad else ""


def library_lines() -> Iterator[str]:
    store = Store(default_path())
    if not store.exists:
        yield f"  none at {store.home} yet; make one with: samespace index DIR"
        return
    try:
        names = ", ".join(f"{h.name} ({f}{'' if h.complete else ', incomplete'})" for f, h in store.spaces.items())
        yield f"  {store.home}: {store.count()} segments, vectors of {names}"
    except SamespaceError as error:
        yield f"  {error}"
