"""A whole video as one stream of frames and words, as long as an assistant has room for.

Shots come first: all of them, or, where they are too many, half of what there is room for evenly and half by how well they fit the
question. What room is left shows more frames of the shots that fit it best.
"""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from ..core.errors import UnreadableMedia
from ..library.indexing.segments import EncodedSegment
from ..library.store.records import AUDIO, IMAGE, TEXT
from ..media import image as image_media
from ..media import video
from ..media.locator import clock
from ..spaces.space import Space
from .audio_labels import nearest_labels
from .request import AssistantBackend, Picture

SIDE = 768
"""Pixels along the shorter side of a frame that is shown."""
CLOSEST_SECONDS = 1.0
"""Frames of one shot are no closer than this."""
UNKNOWN_ROOM = 32
"""Frames for an assistant that does not say how many tokens it reads."""
KEPT_FREE = 0.25
"""Share of an assistant's room that is not for frames: the question, what is spoken, the answer."""
LETTERS_PER_TOKEN, TOKENS_PER_SIGN = 3, 2
"""ASCII characters that a token holds, at least, and tokens that any other takes, at most; what is spoken takes no more than half of what is
kept free."""
UNKNOWN_WORDS = 8192
"""Tokens of what is spoken for an assistant that does not say how many it reads."""
LABEL_TOKENS = 12
"""Of the time before a frame, at most."""
FITTING = 3
"""Shots that are named as those that fit the question best."""
SOUNDS = 4
"""Sounds that fit the question best and are named."""
TASK = (
    "These are frames of one video in their order, each after its time. Name the times, as [0:07], of the frames that you use. {}"
)
TIME = re.compile(r"\b(?:\d+:)?\d{1,2}:\d\d\b")
GEMINI_FRAME = 258
"""Tokens that Gemini takes for a frame, of which it reads one a second. Gemini API documentation, "Video understanding"."""


@dataclass(frozen=True)
class ShownFrame:
    """A frame that is shown."""

    time: float
    """Seconds from the beginning."""
    shot: int
    """Which shot it is of, from 0."""


@dataclass(frozen=True)
class VideoStream:
    """What an assistant is shown of a video."""

    parts: tuple[str | Picture, ...]
    """Times, words and frames, in order."""
    frames: tuple[ShownFrame, ...]
    """The frames among them."""
    shots: tuple[tuple[float, float], ...]
    """Where each of its shots begins and ends, in seconds."""
    fitting: tuple[int, ...]
    """The shots that fit the question best, in order."""
    frame_tokens: int
    """Tokens that a frame takes; 0 where the assistant does not say."""

    @property
    def seconds(self) -> float:
        """How long the video is."""
        return self.shots[-1][1]

    @property
    def locators(self) -> tuple[str, ...]:
        """The times of its frames."""
        return tuple(clock(frame.time) for frame in self.frames)

    def cited(self, answer: str) -> list[str]:
        """Return the times of frames that an answer names, in the order of the video."""
        named = set(TIME.findall(answer))
        return [time for time in dict.fromkeys(self.locators) if time in named]

    def summary(self) -> list[str]:
        """Return what was seen, what was not, and what it cost, in sentences."""
        seen = {frame.shot for frame in self.frames}
        more = len(self.frames) - len(seen)
        lines = [
            f"{len(seen)} of {len(self.shots)} shots seen"
            + (f", and {more} more frames of those that fit the question" if more else "")
        ]
        if unseen := [shot for i, shot in enumerate(self.shots) if i not in seen]:
            lines.append(
                f"not seen: {_stretches(self.shots, set(range(len(self.shots))) - seen)}; {clock(sum(end - start for start, end in unseen))} of {clock(self.seconds)}"
            )
        lines.append(f"the question fits best: {_stretches(self.shots, set(self.fitting))}")
        if self.frame_tokens:
            bill = int(self.seconds) * GEMINI_FRAME
            lines.append(
                f"{len(self.frames)} frames of {self.frame_tokens} tokens are {len(self.frames) * self.frame_tokens:,}; one frame a second of "
                f"{GEMINI_FRAME}, as Gemini reads, would be {bill:,}"
            )
        return lines


def frames_in(room: int, tokens: int) -> int:
    """Return how many frames of so many tokens there is room for, beside the question and the answer."""
    return int(room * (1 - KEPT_FREE)) // (tokens + LABEL_TOKENS)


def video_stream(
    path: Path, segments: Sequence[EncodedSegment], question: str, space: Space, assistant: AssistantBackend, most: int = 0, share: float = 1.0
) -> VideoStream:  # fmt: skip
    """Return what is shown of a video, of which `segments` are all, and which has moving pictures.

    most: frames; 0 for as many as the assistant has room for. share: of that room. Raises UnreadableMedia.
    """
    (z,) = space.text([question])
    shown = sorted((s for s in segments if s.modality == IMAGE), key=lambda s: s.start or 0.0)
    shots = [(s.start or 0.0, s.end or 0.0) for s in shown]
    fit = np.array([s.z @ z for s in shown])
    tokens = assistant.picture_tokens(_frame(path, ShownFrame(sum(shots[0]) / 2, 0)))
    own = int(assistant.room * share)
    room = frames_in(own, tokens) if own and tokens else max(1, int(UNKNOWN_ROOM * share))
    if room < 1:
        raise UnreadableMedia(
            f"{path}: a frame takes {tokens} tokens, and there is room for {own}; ask about fewer files, or read more: --context N"
        )
    frames = pack(shots, fit, min(most or room, room) if own else most or room)
    best = [int(i) for i in np.argsort(-fit)[:FITTING]]
    words = _words(segments, z, space, int(own * KEPT_FREE / 2) or UNKNOWN_WORDS)
    return VideoStream(tuple(_interleaved(path, frames, words)), tuple(frames), tuple(shots), tuple(sorted(best)), tokens)


def pack(shots: Sequence[tuple[float, float]], fit: np.ndarray, room: int) -> list[ShownFrame]:
    """Return which frames of shots are shown, in their order.

    shots: where each begins and ends, in seconds; fit: float (N,), how well each fits the question; room: frames, at least 1.
    """
    if len(shots) > room:
        return [ShownFrame(sum(shots[i]) / 2, i) for i in _chosen_shots(fit, room)]
    counts = [1] * len(shots)
    weight = np.exp((fit - fit.mean()) / (fit.std() or 1.0))
    queue = [(-weight[i] * (end - start), i) for i, (start, end) in enumerate(shots)]  # a shot's next frame, most wanted first
    heapq.heapify(queue)
    while queue and sum(counts) < room:
        _, i = heapq.heappop(queue)
        start, end = shots[i]
        if (end - start) / (counts[i] + 1) >= CLOSEST_SECONDS:
            counts[i] += 1
            heapq.heappush(queue, (-weight[i] * (end - start) / counts[i], i))
    return [
        ShownFrame(start + (end - start) * (k + 0.5) / n, i)
        for i, ((start, end), n) in enumerate(zip(shots, counts))
        for k in range(n)
    ]


def _chosen_shots(fit: np.ndarray, room: int) -> list[int]:
    """Return `room` of more shots: half of them from equal stretches of the video, the best of each, and half the best of the others."""
    stretches = np.array_split(np.arange(len(fit)), room // 2) if room > 1 else []
    evenly = {int(stretch[fit[stretch].argmax()]) for stretch in stretches}
    others = [int(i) for i in np.argsort(-fit, kind="stable") if int(i) not in evenly]
    return sorted(evenly.union(others[: room - len(evenly)]))


def _words(segments: Sequence[EncodedSegment], z: np.ndarray, space: Space, room: int) -> list[tuple[float, str]]:
    """Return what is spoken, and the sounds that fit best, with their times: as much of it as there is room for in tokens, best first."""
    found = list[tuple[float, str]]()
    for s in sorted((s for s in segments if s.modality == TEXT and s.text), key=lambda s: -float(s.z @ z)):
        signs = sum(not character.isascii() for character in s.text or "")
        if (room := room - (len(s.text or "") - signs) // LETTERS_PER_TOKEN - TOKENS_PER_SIGN * signs) < 0:
            break
        found.append((s.start or 0.0, f"“{s.text}”"))
    for s in sorted((s for s in segments if s.modality == AUDIO), key=lambda s: -float(s.z @ z))[:SOUNDS]:
        found.append((s.start or 0.0, f"a sound like {', '.join(nearest_labels(space, s.z[None]))}"))
    return sorted(found)


def _interleaved(path: Path, frames: Sequence[ShownFrame], words: Sequence[tuple[float, str]]) -> list[str | Picture]:
    """Return frames, each after its time, and words between them, in the order of the video."""
    timed: list[tuple[float, int, str | ShownFrame]] = [(time, 0, text) for time, text in words] + [
        (frame.time, 1, frame) for frame in frames
    ]
    parts: list[str | Picture] = []
    for time, _, item in sorted(timed, key=lambda entry: entry[:2]):
        parts += [f"[{clock(time)}] {item}"] if isinstance(item, str) else [f"[{clock(time)}]", _frame(path, item)]
    return parts


def _frame(path: Path, frame: ShownFrame) -> Picture:
    """Return a frame as an assistant is shown it. Raises UnreadableMedia naming the file."""
    try:
        picture = video.frame_at(path, frame.time, SIDE)
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error.reason}") from None
    return Picture(image_media.jpeg(picture, 4 * SIDE), f"{path.name}, {clock(frame.time)}.jpg", whole=True)


def _stretches(shots: Sequence[tuple[float, float]], some: set[int], most: int = 3) -> str:
    """Return the longest stretches of a video that some shots of it make."""
    stretches = [
        (shots[part[0]][0], shots[part[-1]][1])
        for part in (list(group) for inside, group in groupby(range(len(shots)), some.__contains__) if inside)
    ]
    longest = sorted(sorted(stretches, key=lambda s: s[0] - s[1])[:most])
    rest = f" and {len(stretches) - most} shorter stretches" if len(stretches) > most else ""
    return ", ".join(f"{clock(a)}–{clock(b)}" for a, b in longest) + rest
