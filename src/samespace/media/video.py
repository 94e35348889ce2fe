"""Videos → shots, decoding as little as possible, and single frames.

Packets are read once, and only key frames are decoded, STEP_SECONDS apart or more. Encoders place a key frame earlier than
usual where the picture changes, so an early key frame marks a cut. Where key frames come at regular intervals and two of
them differ, or where they are far apart, the frames in between are decoded too. Memory holds the frames of one shot.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.errors import UnreadableMedia, error_summary
from . import hdr
from .audio import open_media, start_time

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

STEP_SECONDS = 2.0
"""Least distance between decoded key frames where nothing changes."""
MAX_GAP_SECONDS = 8.0
"""Where key frames are further apart, the frames in between are decoded."""
MAX_SHOT_SECONDS = 20.0
"""Longer shots are split, so that a search can point into them."""
CUT_TOLERANCE_SECONDS = 1.0
"""Largest error in where a shot begins."""
CHANGED = 0.15
"""A cell has changed if one of its channels, 0 to 1, differs by more than this."""
CUT = 0.12
"""Cut if more than CUT of the cells change by more than CHANGED."""
EARLY = 0.9
"""A key frame is early if it comes after less than this share of the longest interval so far."""


@dataclass(frozen=True)
class Frame:
    """A frame of a video."""

    time: float
    """Seconds from the beginning."""
    picture: Image.Image
    """RGB, upright, scaled down."""
    size: tuple[int, int]
    """Width and height of the video as displayed, in pixels."""

    @property
    def signature(self) -> npt.NDArray[np.float32]:
        """The picture as 16 × 16 cells, compared to find cuts: float32 (16, 16, 3), 0 to 1."""
        return np.asarray(self.picture.resize((16, 16), Image.Resampling.BOX), np.float32) / np.float32(255)

    def differs(self, other: "Frame") -> bool:
        """Return whether there is a cut between two frames."""
        return float((np.abs(self.signature - other.signature).max(axis=2) > CHANGED).mean()) > CUT


@dataclass
class Shot:
    """A part of a video without a cut."""

    start: float
    """Seconds from the beginning."""
    end: float = 0.0
    """Seconds from the beginning."""
    frames: list[Frame] = field(default_factory=list)
    """The last ones: at most MAX_SHOT_SECONDS / STEP_SECONDS, and one more."""


@dataclass(frozen=True)
class _KeyFrame:
    """A decoded key frame, or the end of the video."""

    frame: Frame | None
    """None at the end of the video."""
    interval: float
    """Seconds since the key frame before it, decoded or not; 0 at the end of the video."""
    time: float
    """Seconds from the beginning."""


def shots(path: str | Path | bytes, side: int) -> Iterator[Shot]:
    """Yield a video's shots in order; frames are scaled down to `side` pixels along the shorter side.

    A video that is cut short gives the shots before that. Raises UnreadableMedia where no frame can be decoded.
    """
    shot, longest_interval = None, 0.0
    for key in _key_frames(path, side):
        if shot is None:
            shot = Shot(0.0, key.time, [key.frame]) if key.frame else None
            continue
        last, regular = shot.frames[-1], key.interval >= EARLY * longest_interval
        longest_interval = max(longest_interval, key.interval)
        between = _frames_between(path, last.time, key.time, side) if _may_hide_cut(last, key, regular) else ()
        for frame in chain(between, [key.frame] if key.frame else []):  # one by one: a gap may be as long as the video
            last = shot.frames[-1]
            if frame.differs(last) or frame.time - shot.start > MAX_SHOT_SECONDS:
                exact = frame.time - last.time <= CUT_TOLERANCE_SECONDS or not regular
                shot.end = frame.time if exact else (frame.time + last.time) / 2
                yield shot
                shot = Shot(shot.end, frames=[frame])
            else:
                shot.frames = [*shot.frames[-int(MAX_SHOT_SECONDS / STEP_SECONDS) :], frame]
        shot.end = key.time
    if shot is None:
        raise UnreadableMedia("it holds no frame that can be decoded; play it to check")
    yield shot


def _may_hide_cut(last: Frame, key: _KeyFrame, regular: bool) -> bool:
    """Return whether to decode the frames between `last` and `key`; `regular` where the key frame is not early."""
    gap = key.time - last.time
    if gap > MAX_GAP_SECONDS:
        return True
    return gap > 2 * CUT_TOLERANCE_SECONDS and (key.frame is None or (regular and key.frame.differs(last)))


def _key_frames(path: str | Path | bytes, side: int) -> Iterator[_KeyFrame]:
    """Yield the key frames that are early or STEP_SECONDS apart, then the end of the video. Raises UnreadableMedia."""
    import av

    with open_media(path) as container:
        stream = video_stream(container)
        end, last_decoded, last_key = 0.0, -STEP_SECONDS, 0.0  # seconds
        try:
            for packet in container.demux(stream):
                time = _time_of(packet, stream)
                if time is None:
                    continue
                end = max(end, time + float((packet.duration or 0) * _time_base(stream)))
                if packet.is_keyframe:
                    interval, last_key = time - last_key, time
                    gap = time - last_decoded
                    due = gap >= STEP_SECONDS or interval < CUT_TOLERANCE_SECONDS * EARLY < gap
                    if due and (frame := _decode_packet(stream, packet, time, side)):
                        last_decoded = time
                        yield _KeyFrame(frame, interval, time)
        except (av.FFmpegError, ValueError, MemoryError):
            pass  # the file is cut short here; what came before is good
        yield _KeyFrame(None, 0.0, end)


def _decode_packet(stream: "VideoStream", packet: "Packet[VideoStream]", time: float, side: int) -> Frame | None:
    """Return the frame of a key frame's packet, or None where it cannot be decoded."""
    import av

    try:
        decoder = stream.codec_context
        frames = [*decoder.decode(packet), *decoder.decode(None)]
        decoder.flush_buffers()
        return _frame_from(frames[0], time, side, _stretch(stream)) if frames else None
    except (av.FFmpegError, ValueError):
        return None


def _frames_between(path: str | Path | bytes, start: float, end: float, side: int) -> Iterator[Frame]:
    """Yield the frames between two times, half of CUT_TOLERANCE_SECONDS apart, up to where the file is cut short."""
    import av

    with open_media(path) as container:
        stream, last = video_stream(container), start
        container.seek(_timestamp(start, stream), stream=stream)
        try:
            for frame in container.decode(stream):
                time = _time_of(frame, stream)
                if time is not None and time >= end - CUT_TOLERANCE_SECONDS / 4:
                    return
                if time is not None and time - last >= CUT_TOLERANCE_SECONDS / 2:
                    last = time
                    yield _frame_from(frame, time, side, _stretch(stream))
        except (av.FFmpegError, ValueError):
            return


def frame_at(path: str | Path | bytes, time: float, side: int) -> Image.Image:
    """Return the frame displayed at `time` seconds, or the last before it: RGB, upright, the shorter side `side` or less.

    Raises UnreadableMedia.
    """
    import av

    with open_media(path) as container:
        stream = video_stream(container)
        found: VideoFrame | None = None
        try:
            container.seek(_timestamp(time, stream), stream=stream)
            for frame in container.decode(stream):
                if found is not None and (_time_of(frame, stream) or 0.0) > time:
                    break
                found = frame
        except (av.FFmpegError, ValueError) as error:
            if found is None:
                raise UnreadableMedia(f"its frame at {time:.1f} s cannot be decoded ({error_summary(error)}); play it to check")
        if found is None:
            raise UnreadableMedia(f"it has no frame at {time:.1f} s; index it again")
        return _to_image(found, side, _stretch(stream))


def video_stream(container: "InputContainer") -> "VideoStream":
    """Return the first video stream that is not a cover image, ready to be decoded. Raises UnreadableMedia."""
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            if stream.codec_context is None:
                raise UnreadableMedia("its pictures are in a format that FFmpeg cannot decode; save it as H.264")
            stream.thread_type = "AUTO"
            return stream
    raise UnreadableMedia("it has no moving pictures; nothing to do")


def has_video(path: str | Path | bytes) -> bool:
    """Return whether a file has a video stream that is not a cover image. Raises UnreadableMedia where it cannot be opened."""
    with open_media(path) as container:
        return any(not s.disposition & s.disposition.attached_pic for s in container.streams.video)


def _time_of(item: "Packet[VideoStream] | VideoFrame", stream: "VideoStream") -> float | None:
    """Return when a packet or frame is displayed, in seconds from the beginning of the video; None where it has no time."""
    timestamp = item.pts if item.pts is not None else item.dts
    return None if timestamp is None else float(timestamp * _time_base(stream)) - _start_time(stream)


def _timestamp(time: float, stream: "VideoStream") -> int:
    """Return `time`, in seconds from the beginning of the video, as a timestamp of the stream."""
    return int((time + _start_time(stream)) / _time_base(stream))


def _time_base(stream: "VideoStream") -> Fraction:
    """Return the unit of a stream's timestamps, in seconds."""
    assert stream.time_base is not None  # FFmpeg sets it on every stream of a file
    return stream.time_base


def _start_time(stream: "VideoStream") -> float:
    """Return the timestamp at which a stream's file begins, in seconds."""
    return start_time(cast("InputContainer", stream.container))


def _frame_from(frame: "VideoFrame", time: float, side: int, stretch: float) -> Frame:
    """Return a decoded frame with its picture scaled down."""
    size = round(frame.width * stretch), frame.height
    return Frame(time, _to_image(frame, side, stretch), size[::-1] if frame.rotation % 180 else size)


def _stretch(stream: "VideoStream") -> float:
    """Return how much wider than high the pixels of a video are shown: 1 for square ones, and where it is not said."""
    ratio = stream.sample_aspect_ratio
    return float(ratio) if ratio and 0.1 < ratio < 10 else 1.0


def _to_image(frame: Any, side: int, stretch: float) -> Image.Image:
    """Return a decoded frame, an av.VideoFrame, as RGB, upright, its shorter side `side` pixels or less."""
    shown = frame.width * stretch
    factor = min(1.0, side / max(1, min(shown, frame.height)))
    width, height = max(1, round(shown * factor)), max(1, round(frame.height * factor))
    picture: Image.Image = frame.reformat(width, height, format="rgb24", interpolation="AREA").to_image()
    if frame.color_trc in hdr.LIGHT:
        picture = Image.fromarray(hdr.to_srgb(np.asarray(picture), int(frame.color_trc)))
    return picture.rotate(frame.rotation, expand=True) if frame.rotation % 360 else picture
