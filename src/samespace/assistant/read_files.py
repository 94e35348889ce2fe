"""Videos and recordings that an assistant was shown, remembered: the next question does not read the whole file again."""

import glob
import json
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..core.errors import UnreadableMedia
from ..core.files import content_hash, write_atomically
from ..library.indexing.segments import EncodedSegment, segments_of
from ..media import speech
from ..spaces.space import Space

MOST_FILES = 32
"""Files that are remembered; what was not asked about for longest is forgotten."""
REMEMBERED = ("video", "audio")
"""Kinds of files that take long to read."""


def read_segments(path: Path, kind: str, space: Space) -> list[EncodedSegment]:
    """Return a file's segments, read now or remembered. Raises UnreadableMedia naming the file."""
    if kind not in REMEMBERED:
        return segments_of(path, kind, space)
    stored = _folder() / f"{_version(path, space)}.npz"
    if (remembered := _load(stored)) is not None:
        return remembered
    segments = segments_of(path, kind, space)
    with suppress(OSError):  # a full or read-only disk: it is read again next time
        _store(stored, segments)
    return segments


def _folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("samespace") / "read"


def _version(path: Path, space: Space) -> str:
    """Return 32 hex digits that change with a file, with those beside it that bear its name (its subtitles), and with what reads it.

    Raises UnreadableMedia.
    """
    try:
        namesakes = sorted(file for file in path.parent.glob(f"{glob.escape(path.stem)}.*") if file.is_file())
        states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in (path, *namesakes)]
    except OSError as error:
        raise UnreadableMedia(f"{path}: {error.strerror or error}; check the path") from None
    return content_hash(repr((states, space.fingerprint, str(speech.whisper()))).encode("utf-8", "surrogateescape"))


def _load(file: Path) -> list[EncodedSegment] | None:
    """Return the segments in a file; None where there is none that can be read."""
    try:
        with open(file, "rb") as opened, np.load(opened) as stored:
            fields, z = json.loads(stored["fields"].tobytes()), stored["z"]
        with suppress(OSError):
            file.touch()
        return [
            EncodedSegment(vector, **{**own, "size": own["size"] and tuple(own["size"])})
            for vector, own in zip(z, fields, strict=True)
        ]
    except Exception:  # whatever lies there, the file itself says it better
        return None


def _store(file: Path, segments: list[EncodedSegment]) -> None:
    """Write segments, and forget what was not asked about for longest. Raises OSError."""
    fields = [{name: value for name, value in vars(segment).items() if name not in ("z", "look")} for segment in segments]
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    write_atomically(file, lambda out: np.savez(out, z=np.stack([segment.z for segment in segments]), fields=text))
    kept = sorted(file.parent.glob("*.npz"), key=lambda f: f.stat().st_mtime, reverse=True)
    for old in kept[MOST_FILES:]:
        old.unlink(missing_ok=True)
