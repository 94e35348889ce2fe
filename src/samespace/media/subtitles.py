"""Subtitles beside a video (SRT, WebVTT, ASS and others) or in it → what is said, with times."""

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path

import av

from .kinds import kind_of
from .speech import Utterance

ENDINGS = (".srt", ".vtt", ".ass", ".ssa", ".sub", ".ttml")
"""Of files beside a video: `film.srt`, `film.en.srt`."""
MAX_BYTES = 10_000_000
"""Larger files are none."""
FRAMES = re.compile(r"\s*\{\d+\}\{\d*\}")
"""How MicroDVD begins, which counts frames."""
DRAWN = ("dvdsub", "dvd_subtitle", "pgssub", "hdmv_pgs_subtitle", "dvbsub", "dvb_subtitle", "xsub")
"""FFmpeg's names of subtitles that are pictures."""
TAGS = re.compile(r"<[^>]*>|\{[^}]*\}")
"""Formats within a line."""


def subtitles(path: Path) -> list[Utterance]:
    """Return the subtitles of a video: of the first file beside it that can be read, otherwise of its first text track."""
    for file in _beside(path):
        if found := _read(file, path):
            return found
    return _in_video(path)


def _beside(path: Path) -> Iterator[Path]:
    """Yield files with a video's name and the ending of subtitles, the shortest name first."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return
    stem = path.stem.lower()
    videos = {os.path.splitext(name)[0].lower() for name in names if kind_of(Path(name)) == "video"}
    others = tuple(f"{other}." for other in videos if other.startswith(f"{stem}."))  # longer names: episodes beside a film
    mine = [
        name
        for name in names
        if name.lower().startswith(f"{stem}.") and name.lower().endswith(ENDINGS) and not name.lower().startswith(others)
    ]
    yield from (path.parent / name for name in sorted(mine, key=lambda name: (len(name), name)))


def _read(file: Path, video: Path) -> list[Utterance]:
    """Return the subtitles in a file of a video; nothing where it holds none."""
    from pysubs2 import SSAFile

    from .text_file import decoded

    try:
        if file.stat().st_size > MAX_BYTES:
            return []
        text = decoded(file.read_bytes())
        lines = SSAFile.from_string(text, fps=_frame_rate(video) if FRAMES.match(text) else None)
    except Exception:  # of every kind: what cannot be read is as good as none
        return []
    return [
        Utterance(line.start / 1000, line.end / 1000, text)
        for line in lines
        if not line.is_comment and line.end > line.start and (text := " ".join(html.unescape(line.plaintext).split()))
    ]


def _frame_rate(video: Path) -> float | None:
    """Return the frames per second of a video; None where it does not say."""
    with av.open(str(video)) as container:
        rate = container.streams.video[0].average_rate if container.streams.video else None
    return float(rate) if rate else None


def _in_video(path: Path) -> list[Utterance]:
    """Return the first text track of a video; nothing where it has none."""
    found: list[Utterance] = []
    try:
        with av.open(str(path)) as container:
            streams = [s for s in container.streams.subtitles if s.codec_context and s.codec_context.name not in DRAWN]
            if not streams:
                return []
            stream = streams[0]
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
