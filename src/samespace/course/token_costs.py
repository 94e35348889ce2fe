"""What an image costs the running assistant, in tokens."""

from dataclasses import dataclass

from ..assistant.engine import Assistant
from ..assistant.request import AssistantBackend
from ..assistant.video_stream import frames_in
from ..models.vit import PatchTransformer
from ..preprocess.tiles import grid


@dataclass(frozen=True)
class TokenCost:
    """The tokens of an image, and the tiles it is cut into."""

    name: str
    """The assistant's."""
    tokens: int
    """views × tokens_per_view."""
    tokens_per_view: int
    views: int
    """1, or 1 + columns × rows: the whole image and its tiles."""
    columns: int
    rows: int
    size: int
    """Side of a view, in pixels."""
    frames: int
    """Of a video, each of these tokens, that the assistant has room for."""


def assistant_cost(assistant: AssistantBackend, width: int, height: int) -> TokenCost | None:
    """Return what an image of these sides, in pixels, costs an assistant; None for one that does not run on this machine,
    or that orders a picture's tokens in a way of its own (SmolVLM, LLaVA-NeXT, Qwen3-VL)."""
    if not isinstance(assistant, Assistant) or not assistant.model.in_order:
        return None
    c, model = assistant.model.c, assistant.model
    assert isinstance(model.image, PatchTransformer)  # all image towers are
    tokens_per_view = model.label_tokens + model.image.grid**2
    columns, rows = grid(width, height, c.prep.size, c.tiles, c.tile_from)
    views = view_count(columns, rows)
    tokens = views * tokens_per_view
    frames = frames_in(assistant.room, tokens)
    return TokenCost(assistant.name, tokens, tokens_per_view, views, columns, rows, c.prep.size, frames)


def view_count(columns: int, rows: int) -> int:
    """Return how many views an image is encoded as: one, or the whole and each of its tiles."""
    return 1 if columns * rows == 1 else 1 + columns * rows
