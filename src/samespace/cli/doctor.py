"""`samespace doctor`: what is installed, what is missing, and how to get it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..core.errors import SamespaceError, install_command
from .console import print_result

CORE = ("numpy", "pillow", "pi-heif", "av", "pypdfium2", "onnxruntime", "tokenizers", "lancedb", "pyarrow", "huggingface-hub")
"""Packages that samespace always needs."""
EXTRAS = {  # extra: (a package of it, what it is for)
    "demo": ("scikit-image", "the six demo photographs"),
    "ocr": ("rapidocr", "text in scanned pages, and in images that are asked about"),
    "raw": ("rawpy", "camera raw files"),
    "jxl": ("pylibjxl", "JPEG XL pictures"),
    "svg": ("resvg_py", "SVG drawings"),
    "speech": ("faster-whisper", "transcripts of audio and video"),
    "ask": ("gguf", "questions about images"),
    "serve": ("fastapi", "the local server, and MCP"),
    "watch": ("watchfiles", "folders that are indexed as they change"),
    "map": ("openTSNE", "the map of a library"),
    "operate": ("playwright", "operating web pages and desktops"),
    "draw": ("diffusers", "drawing with Stable Diffusion"),
    "train": ("peft", "training"),
    "convert": ("open_clip_torch", "models of other libraries, as spaces and assistants"),
    "ray": ("ray", "indexing on many machines"),
    "cuda": ("onnxruntime-gpu", "graphics cards of NVIDIA"),
    "openvino": ("onnxruntime-openvino", "Intel's processors and graphics"),
}

MODELS = ("spaces", "assistants", "generators", "natives", "rerankers", "speech")
"""Folders of models, in the user's data."""


def doctor(
    library: Annotated[
        str | None, typer.Option(metavar="PATH", help="Look through this library, all of it, and mend what is damaged.")
    ] = None,
) -> None:
    """Show what is installed, which spaces there are, and how to get what is missing; or mend a library."""
    if library is not None:
        mend(library)
        return
    import platform

    from ..core.machine import usable_cpus

    system = f"{platform.system()} {platform.machine()}, {usable_cpus()} CPUs"
    print_result(f"samespace {__version__}, Python {sys.version.split()[0]}, {system}")
    parts = (
        ("", package_lines()),
        ("spaces", space_lines()),
        ("library", library_lines()),
        ("who may change them", exposed_lines()),
    )
    for title, lines in parts:
        if title:
            print_result(title)
        for line in lines:
            print_result(f"  {line}")


def mend(library: str) -> None:
    """Look through a library, mend it, and say what was wrong."""
    from ..library.checkup import check_up
    from ..library.store.location import Location

    is_whole = True
    for finding in check_up(Location(library)):
        is_whole = False
        print_result(str(finding))
    if is_whole:
        print_result(f"{library} is whole")


def package_lines() -> Iterator[str]:
    """Yield a line for each package and extra, and for each program that is missing."""
    import shutil
    from importlib.util import find_spec

    from ..media import speech

    for package in CORE:
        yield f"{package:16} {version(package) or 'missing: pip install samespace'}"
    for extra, (package, what) in EXTRAS.items():
        missing = f"not installed ({what}): {install_command(extra)}"
        yield f"extra {extra:10} {'installed' if version(package) else missing}"
    if find_spec("faster_whisper") and speech.whisper() is None:
        yield "no weights for transcripts; install some with: samespace speech pull tiny.en"
    if not (shutil.which("soffice") or shutil.which("libreoffice")):
        yield "no LibreOffice: office files are skipped, PDFs are read"


def version(package: str) -> str:
    """Return the version of an installed package, or nothing."""
    from importlib import metadata  # slow, and every command imports this file

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def space_lines() -> Iterator[str]:
    """Yield a line for each installed space."""
    from ..spaces.registry import SPACES

    for entry in SPACES.entries():
        if entry.config is None:
            yield entry.error
            continue
        config = entry.config
        chosen = [f"{tower} {facts['chosen']}" for tower, facts in config.card.get("precision", {}).items()]
        precision = " and ".join(chosen) or "fp32"
        audio = "audio" if config.audio else f"no audio tower (add one: samespace spaces add-audio {entry.name})"
        files = damaged_files(entry.folder) or "all files intact"
        yield f"{entry.name:16} {config.dim}-d, {config.fingerprint}, {precision}, {audio}, {files}"


def damaged_files(folder: Path) -> str:
    """Return the files of a space whose hash is not the one in space.json, as a sentence; empty if there are none."""
    from ..core.files import sha256
    from ..spaces.space import read_space_config

    files = read_space_config(folder).files
    bad = [name for name, digest in files.items() if not (folder / name).exists() or sha256(folder / name) != digest]
    return f"damaged: {', '.join(bad)}; install it again" if bad else ""


def exposed_lines() -> Iterator[str]:
    """Yield a line for each folder of models or of the library that other users of the machine may write to."""
    from ..core.paths import data_folder
    from ..library.library import default_path
    from ..library.store.location import Location

    models = (data_folder(f"SAMESPACE_{kind.upper()}", kind) for kind in MODELS)
    folders = [*models, Location(default_path()).folder]
    exposed = dict.fromkeys(path for folder in folders if folder.exists() and (path := open_to_others(folder)))
    for path in exposed:
        yield f"{path}: other users of this machine may change what is in it; close it with: chmod go-w {path}"
    if not exposed:
        yield "you alone"


def open_to_others(folder: Path) -> Path | None:
    """Return a folder, or the one above it by which it could be exchanged, that users other than its owner may write into."""
    import os
    import stat

    for path in [folder, *folder.resolve().parents] if os.name == "posix" else []:
        status = path.stat()
        mode = status.st_mode
        by_group = mode & stat.S_IWGRP and not has_one_member(status.st_gid, status.st_uid)
        if (mode & stat.S_IWOTH or by_group) and not mode & stat.S_ISVTX:
            return path
    return None


def has_one_member(group: int, owner: int) -> bool:
    """Whether a group is an owner's own, as many systems make one for each user."""
    import grp
    import pwd

    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(owner)
    except KeyError:
        return False
    return entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}


def library_lines() -> Iterator[str]:
    """Yield a line about the default library."""
    from ..library.library import default_path
    from ..library.store.lance import Store

    store = Store(default_path())
    if not store.exists:
        yield f"none at {store.location} yet; make one with: samespace index DIR"
        return
    try:
        records = store.metadata.spaces.items()
        names = ", ".join(f"{record.name} ({f}{'' if record.complete else ', incomplete'})" for f, record in records)
        yield f"{store.location}: {store.count()} segments, vectors of {names}"
    except SamespaceError as error:
        yield str(error)
