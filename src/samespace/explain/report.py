"""A trace as one HTML file with its images inside, and as JSON."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from ..media.image import data_uri
from .trace import Trace

ORANGE = np.array([255, 120, 20], np.uint8)
"""Colour of attention maps."""
DRAWN_DIMS = 96
"""Most dimensions of a vector that are drawn."""


def write_report(path: Path, trace: Trace, question: str, assistant: str) -> None:
    """Write the six steps as an HTML page; `assistant` is its name. Raises OSError."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    page = templates.get_template("trace.html").render(
        trace=trace,
        question=question,
        assistant=assistant,
        drawn_dims=min(DRAWN_DIMS, trace.features.shape[1]),
        picture=png_uri(trace.pixels),
        features=png_uri(_vector_image(trace.features)),
        projected=png_uri(_vector_image(trace.projected)),
        attention_maps=[png_uri(attention_overlay(token.attention)) for token in trace.answer],
    )
    path.write_text(page, "utf-8")


def as_json(trace: Trace) -> dict[str, Any]:
    """Return the six steps as values that JSON can hold: shapes, images as data URIs, words and maps."""
    return {
        "pixels": {"shape": trace.pixels.shape, "picture": png_uri(trace.pixels)},
        "grid": trace.grid,
        "features": {"shape": trace.features.shape, "picture": png_uri(_vector_image(trace.features))},
        "projected": {"shape": trace.projected.shape, "picture": png_uri(_vector_image(trace.projected))},
        "nearest_words": trace.nearest_words,
        "labels": trace.labels,
        "sequence": [{"text": token.text, "cell": token.cell, "is_image": token.is_image} for token in trace.sequence],
        "answer": [
            {"text": token.text, "candidates": token.candidates, "attention": np.round(token.attention, 3).tolist()}
            for token in trace.answer
        ],
        "text": trace.text,
    }


def attention_overlay(attention: np.ndarray) -> np.ndarray:
    """Return a map to lay over the image: float (grid, grid) → RGBA uint8 (grid, grid, 4), clear where attention is 1 or less."""
    strength = np.clip(attention - 1, 0, None)
    alpha = np.uint8(200 * strength / (strength.max() or 1.0))
    return np.dstack([np.broadcast_to(ORANGE, (*attention.shape, 3)), alpha])


def _vector_image(vectors: np.ndarray) -> np.ndarray:
    """Draw vectors as grey levels, one vector per column: float (N, D) → uint8 (at most DRAWN_DIMS, N)."""
    x = vectors[:, :DRAWN_DIMS].T
    spread = np.quantile(np.abs(x), 0.98) or 1.0  # a few numbers are far larger than the rest
    grey: np.ndarray = (127.5 + 127.5 * np.clip(x / spread, -1, 1)).astype(np.uint8)
    return grey


def png_uri(pixels: np.ndarray) -> str:
    """Return pixels, uint8 (H, W), (H, W, 3) or (H, W, 4), as the data URI of a PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return data_uri(out.getvalue(), "png")
