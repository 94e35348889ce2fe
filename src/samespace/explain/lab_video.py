"""A video and a question as what an assistant's language model reads: one stream of words and frames."""

from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from ..assistant.engine import Assistant
from ..assistant.request import Message
from ..assistant.video_stream import video_stream
from ..core.errors import QueryError, UnknownAssistant
from ..library.indexing.segments import segments_of
from ..spaces.space import Space
from .long_text import MOST_TOKENS

QUESTION = "What can be seen in this video?"
FRAMES = (8, 6, 4, 3, 2, 1)
"""Frames that are tried, the most first, until all of it is at most MOST_TOKENS long."""


def video_as_stream(assistant: Assistant, space: Space, path: Path) -> tuple[Tensor, list[tuple[int, int]]]:
    """Return the embeddings of a video and a question, float32 (1, N, D), and where each frame begins and ends among them.

    Raises UnreadableMedia, UnknownAssistant, QueryError where a single frame is too long.
    """
    if not assistant.model.in_order:
        raise UnknownAssistant(
            f"{assistant.name} puts pictures in rows and columns, which this exercise does not; name another: --assistant starter"
        )
    segments = segments_of(path, "video", space)
    for most in FRAMES:
        parts = video_stream(path, segments, QUESTION, space, assistant, most).parts
        prompt, image_tokens = assistant.prompt((Message("user", (*parts, QUESTION)),))
        if len(prompt.ids) <= MOST_TOKENS:
            break
    else:
        raise QueryError(
            f"one frame and the question take {len(prompt.ids)} tokens of {assistant.name}, and {MOST_TOKENS} are read here; name another"
        )
    with torch.inference_mode():
        x = assistant.model.splice(torch.tensor([prompt.ids]), assistant.tokens_at(prompt.keys, image_tokens))
    numbered = enumerate(key[0] if isinstance(key, tuple) else "" for key in prompt.keys)
    runs = [(digest, [i for i, _ in run]) for digest, run in groupby(numbered, key=lambda one: one[1])]
    return x, [(where[0], where[-1] + 1) for digest, where in runs if digest]
