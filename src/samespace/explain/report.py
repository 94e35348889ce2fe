"""A trace as one HTML file that opens anywhere, pictures included."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from .trace import Trace

WARM = np.array([255, 120, 20], np.uint8)
SHOWN_NUMBERS = 96
"""Numbers of a vector that are drawn."""


def write_report(path: Path, trace: Trace, words: str, assistant: str) -> None:
    """Write the six steps as a page. Raises OSError."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    page = templates.get_template("trace.html").render(
        trace=trace, question=words, assistant=assistant, picture=uri(trace.pixels), strip=uri(strip(trace.features)),
        projected=uri(strip(trace.projected)), maps=[uri(warm(said.cells)) for said in trace.answer],
        names=list(zip(range(trace.grid**2), trace.words)),
    )  # fmt: skip
    path.write_text(page, "utf-8")


def strip(vectors: np.ndarray) -> np.ndarray:
    """The first numbers of vectors as grey levels, one vector a column: uint8 (SHOWN_NUMBERS, N)."""
    x = vectors[:, :SHOWN_NUMBERS].T
    spread = np.quantile(np.abs(x), 0.98) or 1.0  # a few numbers are far larger than the rest
    return np.uint8(127.5 + 127.5 * np.clip(x / spread, -1, 1))


def warm(cells: np.ndarray) -> np.ndarray:
    """A map over the picture: uint8 (grid, grid, 4), clear where it is 1 or less, warm where it is most."""
    strength = np.clip(cells - 1, 0, None)
    alpha = np.uint8(200 * strength / (strength.max() or 1.0))
    return np.dstack([np.broadcast_to(WARM, (*cells.shape, 3)), alpha])


def uri(pixels: np.ndarray) -> str:
    """A picture as a data URI."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def as_json(trace: Trace) -> dict[str, Any]:
    """The six steps for a page that draws them itself: shapes, pictures as data URIs, words and maps."""
    return {
        "pixels": {"shape": trace.pixels.shape, "picture": uri(trace.pixels)},
        "grid": trace.grid,
        "features": {"shape": trace.features.shape, "picture": uri(strip(trace.features))},
        "projected": {"shape": trace.projected.shape, "picture": uri(strip(trace.projected))},
        "words": trace.words,
        "called": trace.called,
        "sequence": [{"text": token.text, "cell": token.cell, "seen": token.seen} for token in trace.sequence],
        "answer": [
            {"text": said.text, "likely": said.likely, "cells": np.round(said.cells, 3).tolist()} for said in trace.answer
        ],
        "text": trace.text,
    }
