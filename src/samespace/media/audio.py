"""Sound files, and the sound of films → mono samples, in windows, whatever their length.

Decoded by FFmpeg's libraries through PyAV, a packet at a time: memory holds one window. A file that breaks off gives what
comes before the break.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..core.errors import UnreadableMedia, error_summary

RATE = 16_000
"""Samples a second, where nobody says otherwise."""
WINDOW = 4.0
"""Seconds of a window, where nobody says otherwise; the next begins half as much later."""
SILENCE = 1e-4
"""Root mean square, of samples between −1 and 1, below which a window holds nothing."""
GAP, HOLE = 0.1, 3600.0
"""Seconds without sound that are kept as silence: shorter ones are rounding, longer ones a clock that jumped."""
BAR, BARS = 3, 160
"""Pixels of a waveform's bars, and how many there are."""


@dataclass(frozen=True)
class Clip:
    """A few seconds of sound."""

    start: float
    """Seconds from the beginning of the file."""
    end: float
    samples: np.ndarray
    """float32 (N,), −1 to 1, mono."""

    @property
    def silent(self) -> bool:
        return float(np.sqrt(np.square(self.samples).mean())) < SILENCE


def open_media(path: str | Path) -> Any:
    """A film or sound file opened by FFmpeg; to be closed. Raises UnreadableMedia."""
    import av

    try:
        return av.open(str(path), metadata_errors="replace")
    except FileNotFoundError:
        raise UnreadableMedia("it vanished; check the path") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error_summary(error)
        raise UnreadableMedia(f"it is broken or of no kind that FFmpeg knows ({reason}); play it to check") from None


def beginning(container: Any) -> float:
    """What the clock of a file shows where it begins, in seconds; its streams may begin later."""
    return (container.start_time or 0) / 1_000_000


def blocks(path: str | Path, start: float = 0.0, rate: int = RATE) -> Iterator[np.ndarray]:
    """Samples from `start` seconds on: float32 (N,), mono. Where nothing is played for a while they are zeros.

    Raises UnreadableMedia.
    """
    import av

    with open_media(path) as container:
        if not container.streams.audio:
            raise UnreadableMedia("there is no sound in it; play it to check")
        if start:
            container.seek(int((start + beginning(container)) * av.time_base))
        given = first = int(start * rate)  # samples, from the beginning of the file
        for time, block in resampled(container, rate):
            hole = int(time * rate) - given
            if given == first:
                block = block[max(0, -hole) :]  # a seek lands somewhere before
            if GAP * rate < hole < HOLE * rate:
                given += hole
                yield from (np.zeros(min(rate, hole - i), np.float32) for i in range(0, hole, rate))
            given += len(block)
            yield block


def resampled(container: Any, rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """Samples as they are decoded, float32 (N,), mono, and when they are played: seconds from the beginning of the file.

    A packet that cannot be decoded is left out; joined files may go on with another rate or number of channels.
    """
    import av

    time = 0.0
    sound = frames(container, container.streams.audio[0])
    for _, alike in groupby(sound, key=lambda frame: (frame.format.name, frame.layout.name, frame.sample_rate)):
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for frame in chain(alike, [None]):  # None gives what the resampler still holds
            if frame is not None and frame.time is not None:
                time = frame.time - beginning(container)
            try:
                given = resampler.resample(frame)
            except (av.FFmpegError, ValueError) as error:
                raise UnreadableMedia(
                    f"its sound cannot be mixed to one channel ({error_summary(error)}); save it in stereo"
                ) from None
            for block in given:
                yield time, block.to_ndarray()[0]


def frames(container: Any, stream: Any) -> Iterator[Any]:
    """A stream's frames, up to where the file breaks off."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError):
            return  # what came before is good
        if packet is None:
            return
        with suppress(av.FFmpegError, ValueError):
            yield from packet.decode()


def windows(path: str | Path, seconds: float = WINDOW, rate: int = RATE, cuts: Iterable[float] = ()) -> Iterator[Clip]:
    """A file's sound, so many seconds at a time, each window half over the one before; none reaches across a cut.

    cuts: seconds, ascending. A window before a cut, and the last, may be shorter. Raises UnreadableMedia.
    """
    size = int(seconds * rate)
    edges = chain((round(cut * rate) for cut in cuts), repeat(math.inf))
    held, place, told, edge = np.empty(0, np.float32), 0, 0, next(edges)  # `told`: up to where windows have held all
    for block in blocks(path, rate=rate):
        held = np.concatenate([held, block])
        while len(held) >= (wide := min(size, edge - place)):
            if place + wide > told:
                yield window(place, held[:wide], rate)
                told = place + wide
            step = size // 2 if place + wide < edge else wide
            held, place = held[step:], place + step
            if place == edge:
                edge = next(edges)
    if place + len(held) > told:
        yield window(place, held, rate)


def window(place: int, samples: np.ndarray, rate: int) -> Clip:
    return Clip(place / rate, (place + len(samples)) / rate, np.nan_to_num(samples).clip(-1, 1))


def duration(path: str | Path) -> float:
    """Seconds, as the file's header tells; 0 where it does not. Raises UnreadableMedia."""
    with open_media(path) as container:
        return max(0.0, (container.duration or 0) / 1_000_000)


def waveform(path: str | Path, start: float = 0.0, end: float | None = None) -> Image.Image:
    """What sound looks like from `start` to `end` seconds (a minute at most): RGB, bars as high as it is loud.

    Raises UnreadableMedia.
    """
    wanted, held = int(min((end or start + 60) - start, 60) * RATE), []
    for block in blocks(path, start):
        held.append(block)
        wanted -= len(block)
        if wanted <= 0:
            break
    samples = np.concatenate([*held, np.zeros(1, np.float32)])
    loud = [float(np.abs(part).max(initial=0)) for part in np.array_split(samples, BARS)]
    canvas = Image.new("RGB", (BARS * 2 * BAR, 240), (24, 28, 38))
    pen, top = ImageDraw.Draw(canvas), max(max(loud), 1e-3)
    for i, level in enumerate(loud):
        height, x = max(2, 100 * level / top), i * 2 * BAR
        pen.rounded_rectangle((x, 120 - height, x + BAR, 120 + height), 1, fill=(255, 176, 102))
    return canvas
