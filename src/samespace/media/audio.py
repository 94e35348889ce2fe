"""Audio files, and the audio of videos → mono samples in windows, however long the file is.

FFmpeg's libraries decode it packet by packet, through PyAV: memory holds one window. A file that is cut short gives what
comes before the cut.
"""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ..core.errors import UnreadableMedia, error_summary

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

RATE = 16_000
"""Default sampling rate, in samples per second."""
WINDOW_SECONDS = 4.0
"""Default length of a window; each begins half a window after the one before."""
SILENCE_RMS = 1e-4
"""A window counts as silent where the root mean square of its samples, between −1 and 1, is below this."""
MIN_GAP_SECONDS = 0.1
"""Shorter gaps between timestamps are rounding, and are closed."""
MAX_GAP_SECONDS = 3600.0
"""Longer gaps between timestamps are errors of the file, and are closed; gaps in between become silence."""
PROBED_SECONDS = 180.0
"""Of a track that is not the only one, so much is listened to before another is taken."""
CANCELLED = 0.01
"""Where two channels together have less than this share of the louder one's power, they cancel out."""
WAVEFORM_SECONDS = 60
"""Most seconds that a waveform shows."""
BAR_COUNT = 160
"""Bars of a waveform."""
BAR_PIXELS = 3
"""Width of a waveform's bar, and of the space after it."""
NO_CUT = sys.maxsize
"""A sample number beyond the end of any file."""


@dataclass(frozen=True)
class AudioWindow:
    """A few seconds of audio."""

    start: float
    """Seconds from the beginning of the file."""
    end: float
    """Seconds from the beginning of the file."""
    samples: npt.NDArray[np.float32]
    """float32 (N,), −1 to 1, mono."""

    @property
    def silent(self) -> bool:
        """Whether the samples are too quiet to hold anything."""
        return float(np.sqrt(np.square(self.samples).mean())) < SILENCE_RMS


def open_media(path: str | Path | bytes) -> "InputContainer":
    """Open an audio or video file, or its content, with FFmpeg and return its container; the caller closes it. Raises UnreadableMedia."""
    import av

    try:
        source: io.BytesIO | str = io.BytesIO(path) if isinstance(path, bytes) else str(path)
        return av.open(source, "r", metadata_errors="replace")
    except FileNotFoundError:
        raise UnreadableMedia("it vanished; check the path") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error_summary(error)
        raise UnreadableMedia(f"it is broken or of no kind that FFmpeg knows ({reason}); play it to check") from None


def start_time(container: "InputContainer") -> float:
    """Return the timestamp at which a file begins, in seconds; its streams may begin later."""
    return (container.start_time or 0) / 1_000_000


def blocks(path: str | Path, start: float = 0.0, rate: int = RATE) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the samples from `start` seconds on, block by block: float32 (N,), mono, −1 to 1.

    Gaps in the audio are filled with zeros, so that a sample's number gives its time. Raises UnreadableMedia.
    """
    import av

    with open_media(path) as container:
        if not container.streams.audio:
            raise UnreadableMedia("there is no sound in it; play it to check")
        if start:
            container.seek(int((start + start_time(container)) * av.time_base))
        first = position = int(start * rate)  # samples from the beginning of the file
        for time, block in _resample(container, rate, _audible_track(path, len(container.streams.audio))):
            gap = int(time * rate) - position
            if position == first:
                block = block[max(0, -gap) :]  # a seek ends somewhat earlier than asked for
            if MIN_GAP_SECONDS * rate < gap < MAX_GAP_SECONDS * rate:
                position += gap
                yield from (np.zeros(min(rate, gap - i), np.float32) for i in range(0, gap, rate))
            position += len(block)
            yield block


def _audible_track(path: str | Path, count: int) -> int:
    """Return the first of so many audio tracks in whose first minutes there is something to hear; 0 where there is none."""
    for track in range(count if count > 1 else 0):
        with open_media(path) as container:
            for time, block in _resample(container, RATE, track):
                if len(block) and float(np.sqrt(np.square(block).mean())) >= SILENCE_RMS:
                    return track
                if time > PROBED_SECONDS:
                    break
    return 0


def _resample(container: "InputContainer", rate: int, track: int) -> Iterator[tuple[float, npt.NDArray[np.float32]]]:
    """Yield (seconds from the beginning of the file, samples: float32 (N,), mono) for each decoded frame of an audio track.

    Packets that cannot be decoded are skipped. The sampling rate and the channels may change within a file, as where files
    were joined. Raises UnreadableMedia.
    """
    import av

    time = 0.0
    for _, same_format in groupby(_decode(container, track), key=_format_of):
        resampler = None
        to_resample: Iterator[AudioFrame | None] = chain(same_format, [None])  # None flushes the resampler
        for frame in to_resample:
            if frame is not None and frame.time is not None:
                time = frame.time - start_time(container)
            try:
                if resampler is None:
                    assert frame is not None  # of each format there is one
                    layout = "stereo" if frame.layout.nb_channels == 2 else "mono"  # of more, FFmpeg knows which are which
                    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
                resampled = resampler.resample(frame)
            except (av.FFmpegError, ValueError) as error:
                raise UnreadableMedia(
                    f"its sound cannot be mixed to one channel ({error_summary(error)}); save it in stereo"
                ) from None
            for block in resampled:
                yield time, mixed(np.asarray(block.to_ndarray(), np.float32))


def mixed(channels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return one channel or two as one, by FFmpeg's weights, or the louder where they cancel out: float32 (C, N) → (N,)."""
    mono = np.asarray(channels.sum(axis=0) / np.float32(np.sqrt(len(channels))))
    loudness = np.square(channels).mean(axis=1)
    if len(channels) > 1 and np.square(mono).mean() < CANCELLED * loudness.max(initial=0):
        return np.asarray(channels[int(loudness.argmax())])
    return mono


def _format_of(frame: "AudioFrame") -> tuple[str, str, int]:
    """Return sample format, channel layout and sampling rate."""
    return frame.format.name, frame.layout.name, frame.sample_rate


def _decode(container: "InputContainer", track: int) -> Iterator["AudioFrame"]:
    """Yield the frames of an audio track, up to where the file is cut short."""
    import av

    packets = container.demux(container.streams.audio[track])
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError):
            return  # the frames before are good
        if packet is None:
            return
        with suppress(av.FFmpegError, ValueError):
            yield from packet.decode()


def windows(
    path: str | Path, seconds: float = WINDOW_SECONDS, rate: int = RATE, cuts: Iterable[float] = ()
) -> Iterator[AudioWindow]:
    """Yield a file's audio in windows of `seconds`, each overlapping the one before by half; none reaches across a cut.

    cuts: seconds, ascending. The window before a cut, and the last window, may be shorter. Raises UnreadableMedia.
    """
    size = int(seconds * rate)
    edges = chain((round(cut * rate) for cut in cuts), repeat(NO_CUT))
    buffer = np.empty(0, np.float32)
    start, covered, edge = 0, 0, next(edges)  # start of the buffer, end of the last window, next cut: numbers of samples
    for block in blocks(path, rate=rate):
        buffer = np.concatenate([buffer, block])
        while len(buffer) >= (length := min(size, edge - start)):
            if start + length > covered:
                yield _window(start, buffer[:length], rate)
                covered = start + length
            step = size // 2 if start + length < edge else length
            buffer, start = buffer[step:], start + step
            if start == edge:
                edge = next(edges)
    if start + len(buffer) > covered:
        yield _window(start, buffer, rate)


def _window(start: int, samples: npt.NDArray[np.float32], rate: int) -> AudioWindow:
    """Return a window that begins at sample number `start`, its samples clipped to −1…1."""
    return AudioWindow(start / rate, (start + len(samples)) / rate, np.nan_to_num(samples).clip(-1, 1))


def duration(path: str | Path) -> float:
    """Return the length that the file's header gives, in seconds; 0 where it gives none. Raises UnreadableMedia."""
    with open_media(path) as container:
        return max(0.0, (container.duration or 0) / 1_000_000)


def waveform(path: str | Path, start: float = 0.0, end: float | None = None) -> Image.Image:
    """Draw the loudness from `start` to `end` seconds, a minute at most, as bars: RGB, 960 × 240. Raises UnreadableMedia."""
    missing = int(min((end or start + WAVEFORM_SECONDS) - start, WAVEFORM_SECONDS) * RATE)
    collected: list[npt.NDArray[np.float32]] = []
    for block in blocks(path, start):
        collected.append(block)
        missing -= len(block)
        if missing <= 0:
            break
    samples = np.concatenate([*collected, np.zeros(1, np.float32)])
    levels = [float(np.abs(part).max(initial=0)) for part in np.array_split(samples, BAR_COUNT)]
    canvas = Image.new("RGB", (BAR_COUNT * 2 * BAR_PIXELS, 240), (24, 28, 38))
    draw, loudest = ImageDraw.Draw(canvas), max(max(levels), 1e-3)
    for i, level in enumerate(levels):
        height, x = max(2, 100 * level / loudest), i * 2 * BAR_PIXELS
        draw.rounded_rectangle((x, 120 - height, x + BAR_PIXELS, 120 + height), 1, fill=(255, 176, 102))
    return canvas
