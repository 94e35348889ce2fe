"""What the lesson does on the running models: real training steps, a trace of the assistant. Nothing is made up.

Torch is imported when it is first needed: the pages stand sooner without it.
"""

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from ..core.errors import MissingExtra, RequestError, UnknownAssistant
from ..library.demo import PHOTOGRAPHS, photographs
from ..preprocess.pixels import normalize_pixels, square
from ..preprocess.tiles import grid
from ..spaces.space import Space
from .pictures import picture
from .schemas import ContrastRequest, PatchRequest, SidesRequest, TraceRequest


def add_lesson(app: FastAPI, space: Space, assistant_of: Any) -> None:
    """The lesson's routes; `assistant_of()` opens the assistant."""

    @cache
    def tower() -> Any:
        from ..spaces.checkpoint import load

        return load(space.folder).model.image

    @app.get("/app/lesson/photographs/{name}")
    def photograph(name: str) -> Response:
        try:
            files: dict[str, Path] = {path.name: path for path in photographs()} if name in PHOTOGRAPHS else {}
        except MissingExtra:
            files = {}
        if name not in files:
            raise HTTPException(404, f"there is no photograph {name[:40]!r}; drop six of your own")
        return FileResponse(files[name])

    @app.post("/app/lesson/contrast")
    def train(said: ContrastRequest) -> dict[str, Any]:
        from ..explain.contrast import steps_of

        lengths = {len(z) for z in (*said.images, *said.texts)}
        if not 2 <= len(said.images) == len(said.texts) <= 32 or len(lengths) != 1:
            raise RequestError("give between 2 and 32 pictures, as many texts, and vectors of one length")
        images, texts, losses = steps_of(said.images, said.texts, said.temperature)
        return {"images": images, "texts": texts, "losses": losses}

    @app.post("/app/lesson/patch")
    def inside(said: PatchRequest) -> dict[str, Any]:
        from ..explain.patch import look_inside

        given, prep = picture(said.picture, urls_allowed=False), space.config.prep
        found = look_inside(tower(), normalize_pixels(square(space.decode(given.data, given.name), prep)[None], prep), said.patch)
        lists = {name: np.round(value, 4).tolist() for name, value in asdict(found).items() if name != "grid"}
        return {"grid": found.grid, "hybrid": getattr(space.config.image, "backbone", "")} | lists

    @app.post("/app/lesson/sides")
    def tokens(said: SidesRequest) -> dict[str, Any]:
        try:
            return cost(assistant_of(), said.width, said.height)
        except UnknownAssistant:
            return {}  # none is installed: the table then does without

    @app.post("/app/lesson/trace")
    def steps(said: TraceRequest) -> dict[str, Any]:
        from ..explain.report import as_json
        from ..explain.trace import trace

        return as_json(trace(assistant_of(), picture(said.picture, urls_allowed=False), said.question, said.max_tokens))


def cost(assistant: Any, width: int, height: int) -> dict[str, Any]:
    """What a picture of these sides costs our own assistant: its tiles, of `size` pixels, and tokens. Nothing for others."""
    from ..assistant.engine import Assistant
    from ..assistant.excerpts import SHOWN

    if not isinstance(assistant, Assistant):
        return {}
    c = assistant.model.c
    each = assistant.model.label_tokens + assistant.model.image.grid**2
    columns, rows = grid(width, height, c.prep.size, c.tiles, c.tile_from)
    views = 1 if columns * rows == 1 else 1 + columns * rows
    tiles = {"columns": columns, "rows": rows, "size": c.prep.size}
    return {"name": assistant.name, "tokens": views * each, "each": each, "views": views, **tiles, "stills": SHOWN}
