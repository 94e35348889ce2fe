"""Subtitles beside a video (SRT, WebVTT, ASS and others) or in it → what is said, with times."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import av

from .speech import Utterance

ENDINGS = (".srt", ".vtt", ".ass", ".ssa", ".sub", ".ttml")
"""Of files beside a video: `film.srt`, `film.en.srt`."""
MAX_BYTES = 10_000_000
"""Larger files are none."""
TAGS = re.compile(r"<[^>]*>|\{[^}]*\}")
"""Formats within a line."""


def subtitles(path: Path) -> list[Utterance]:
    """Return the subtitles of a video: of the first file beside it that can be read, otherwise of its first text track."""
    for file in _beside(path):
        if found := _read(file):
            return found
    return _in_video(path)


def _beside(path: Path) -> Iterator[Path]:
    """Yield files with a video's name and the ending of subtitles, the shortest name first."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return
    stem = path.stem.lower()
    mine = [name for name in names if name.lower().startswith(f"{stem}.") and name.lower().endswith(ENDINGS)]
    yield from (path.parent / name for name in sorted(mine, key=lambda name: (len(name), name)))


def _read(file: Path) -> list[Utterance]:
    """Return the subtitles in a file; nothing where it holds none."""
    from pysubs2 import SSAFile

    from .text_file import decoded

    try:
        if file.stat().st_size > MAX_BYTES:
            return []
        lines = SSAFile.from_string(decoded(file.read_bytes()))
    except Exception:  # of every kind: what cannot be read is as good as none
        return []
    return [
        Utterance(line.start / 1000, line.end / 1000, text)
        for line in lines
        if not line.is_comment and line.end > line.start and (text := " ".join(line.plaintext.split()))
    ]


def _in_video(path: Path) -> list[Utterance]:
    """Return the first text track of a video; nothing where it has none."""
    found: list[Utterance] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.subtitles:
                return []
            stream = container.streams.subtitles[0]
            for packet in container.demux(stream):
                if packet.pts is None or packet.time_base is None:
                    continue
                start = float(packet.pts * packet.time_base)
                seconds = float((packet.duration or 0) * packet.time_base)
                texts = [_plain(line) for line in packet.decode() if hasattr(line, "ass") or hasattr(line, "text")]
                if seconds > 0 and (text := " ".join(filter(None, texts))):
                    found.append(Utterance(start, start + seconds, text))
    except (av.FFmpegError, ValueError, OSError):
        return found
    return found


def _plain(line: object) -> str:
    """Return a line of FFmpeg's, which is ASS with eight fields before its text, without formats."""
    raw: bytes = getattr(line, "ass", b"") or getattr(line, "text", b"")
    text = raw.decode("utf-8", "replace")
    if text.count(",") >= 8:
        text = text.split(",", 8)[8]
    return " ".join(TAGS.sub("", text.replace("\\N", " ").replace("\\n", " ")).split())
