"""Films → shots, decoding as little as possible, and any single frame.

Packets are read once and only key frames are decoded, none sooner than STEP seconds after the last. A key frame that came
before its time was put there because the picture changed: encoders see cuts. Where key frames come by the clock and two of
them differ, or are far apart, the frames between are decoded too. Memory holds the frames of one shot.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import UnreadableMedia, error_summary
from .audio import beginning, open_media

STEP = 2.0
"""Seconds between looked-at frames, at least, where nothing changes."""
GAP = 8.0
"""Where key frames are further apart, frames between them are decoded."""
LONGEST = 20.0
"""Seconds of a shot; a longer one is cut, so that a moment can be found in it."""
EXACT = 1.0
"""Seconds by which the beginning of a shot may be off."""
CHANGED, CUT = 0.15, 0.12
"""Frames are of different shots where this share of their cells (the second) differs by more than the first, of 1."""
EARLY = 0.9
"""A key frame that comes after this share of the usual time, or sooner, marks a cut."""


@dataclass(frozen=True)
class Frame:
    """A moment of a film."""

    time: float
    """Seconds from the beginning."""
    picture: Image.Image
    """RGB, upright, small."""
    size: tuple[int, int]
    """Pixels along and down the film as it is shown."""

    @property
    def gist(self) -> np.ndarray:
        """float32 (16, 16, 3), 0 to 1: enough to tell shots apart."""
        return np.asarray(self.picture.resize((16, 16), Image.Resampling.BOX), np.float32) / 255

    def differs(self, other: "Frame") -> bool:
        return float((np.abs(self.gist - other.gist).max(axis=2) > CHANGED).mean()) > CUT


@dataclass
class Shot:
    """A stretch of film without a cut."""

    start: float
    """Seconds."""
    end: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    """LONGEST / STEP of them at most, and one."""


def shots(path: str | Path, side: int) -> Iterator[Shot]:
    """A film's shots in order; frames have `side` pixels along the shorter side, or are as small as the film.

    A film that breaks off gives the shots before the break. Raises UnreadableMedia where there is not one frame.
    """
    shot, usual = None, 0.0
    for frame, since, time in key_frames(path, side):
        if shot is None:
            shot = Shot(0.0, time, [frame]) if frame else None
            continue
        last, by_the_clock = shot.frames[-1], since >= EARLY * usual
        usual = max(usual, since)
        between = decoded(path, last.time, time, side) if worth_it(frame, last, time, by_the_clock) else ()
        for seen in chain(between, [frame] if frame else []):  # one by one: a gap may be as long as the film
            last = shot.frames[-1]
            if seen.differs(last) or seen.time - shot.start > LONGEST:
                shot.end = seen.time if seen.time - last.time <= EXACT or not by_the_clock else (seen.time + last.time) / 2
                yield shot
                shot = Shot(shot.end, frames=[seen])
            else:
                shot.frames = [*shot.frames[-int(LONGEST / STEP) :], seen]
        shot.end = time
    if shot is None:
        raise UnreadableMedia("it holds no frame that can be decoded; play it to check")
    yield shot


def worth_it(frame: Frame | None, last: Frame, time: float, by_the_clock: bool) -> bool:
    """Whether to decode what lies between a frame and the next at `time`, or the film's end."""
    gap = time - last.time
    return gap > GAP or (gap > 2 * EXACT and (frame is None or (by_the_clock and frame.differs(last))))


def key_frames(path: str | Path, side: int) -> Iterator[tuple[Frame | None, float, float]]:
    """(key frame, seconds since the key frame before it, its time); at last (None, 0, the film's end).

    Raises UnreadableMedia.
    """
    import av

    with open_media(path) as container:
        stream = film_of(container)
        end, last, before = 0.0, -STEP, 0.0
        try:
            for packet in container.demux(stream):
                time = seconds(packet, stream)
                if time is None:
                    continue
                end = max(end, time + float((packet.duration or 0) * stream.time_base))
                if packet.is_keyframe:
                    since, before = time - before, time
                    wanted = time - last >= STEP or since < EXACT * EARLY < time - last
                    if wanted and (frame := only(stream, packet, time, side)):
                        last = time
                        yield frame, since, time
        except (av.FFmpegError, ValueError, MemoryError):
            pass  # it breaks off here; what came before is good
        yield None, 0.0, end


def only(stream: Any, packet: Any, time: float, side: int) -> Frame | None:
    """The frame of one packet, whatever came before it; None where it cannot be decoded."""
    import av

    try:
        decoder = stream.codec_context
        frames = [*decoder.decode(packet), *decoder.decode(None)]
        decoder.flush_buffers()
        return framed(time, frames[0], side) if frames else None
    except (av.FFmpegError, ValueError):
        return None


def decoded(path: str | Path, start: float, end: float, side: int) -> Iterator[Frame]:
    """Frames between two moments, EXACT / 2 seconds apart; what cannot be decoded is left out."""
    import av

    with open_media(path) as container:
        stream, last = film_of(container), start
        container.seek(offset(start, stream), stream=stream)
        try:
            for frame in container.decode(stream):
                time = seconds(frame, stream)
                if time is not None and time >= end - EXACT / 4:
                    return
                if time is not None and time - last >= EXACT / 2:
                    last = time
                    yield framed(time, frame, side)
        except (av.FFmpegError, ValueError):
            return


def frame_at(path: str | Path, time: float, side: int) -> Image.Image:
    """The frame shown at a moment, or the last before it. Raises UnreadableMedia."""
    import av

    with open_media(path) as container:
        stream, found = film_of(container), None
        try:
            container.seek(offset(time, stream), stream=stream)
            for frame in container.decode(stream):
                if found is not None and (seconds(frame, stream) or 0.0) > time:
                    break
                found = frame
        except (av.FFmpegError, ValueError) as error:
            if found is None:
                raise UnreadableMedia(f"its frame at {time:.1f} s cannot be decoded ({error_summary(error)}); play it to check")
        if found is None:
            raise UnreadableMedia(f"it has no frame at {time:.1f} s; index it again")
        return small(found, side)


def film_of(container: Any) -> Any:
    """The moving pictures of a file, not a cover. Raises UnreadableMedia."""
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            if stream.codec_context is None:
                raise UnreadableMedia("its pictures are in a format that FFmpeg cannot decode; save it as H.264")
            stream.thread_type = "AUTO"
            return stream
    raise UnreadableMedia("it has no moving pictures; nothing to do")


def has_film(path: str | Path) -> bool:
    """Whether a file has moving pictures. Raises UnreadableMedia where it cannot be opened."""
    with open_media(path) as container:
        return any(not s.disposition & s.disposition.attached_pic for s in container.streams.video)


def seconds(timed: Any, stream: Any) -> float | None:
    """When a packet or frame is shown, from the beginning of the film."""
    stamp = timed.pts if timed.pts is not None else timed.dts
    return None if stamp is None else float(stamp * stream.time_base) - beginning(stream.container)


def offset(time: float, stream: Any) -> int:
    return int((time + beginning(stream.container)) / stream.time_base)


def framed(time: float, frame: Any, side: int) -> Frame:
    """A decoded frame, its picture made small."""
    size = frame.width, frame.height
    return Frame(time, small(frame, side), size[::-1] if frame.rotation % 180 else size)


def small(frame: Any, side: int) -> Image.Image:
    """A decoded frame as RGB, upright, its shorter side `side` pixels or less."""
    factor = min(1.0, side / max(1, min(frame.width, frame.height)))
    width, height = max(1, round(frame.width * factor)), max(1, round(frame.height * factor))
    picture = frame.reformat(width, height, format="rgb24", interpolation="AREA").to_image()
    return picture.rotate(frame.rotation, expand=True) if frame.rotation % 360 else picture
