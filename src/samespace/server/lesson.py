"""What the lesson does on the running models: real training steps, a trace of the assistant. Nothing is made up.

Torch is imported when it is first needed: the pages stand sooner without it.
"""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from ..demo import PHOTOGRAPHS, photographs
from ..errors import MissingExtra, RequestError
from .pictures import picture
from .shapes import ContrastRequest, TraceRequest


def add_lesson(app: FastAPI, assistant_of: Any) -> None:
    """The lesson's routes; `assistant_of()` opens the assistant."""

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
        if not 2 <= len(said.images) == len(said.texts) <= 32 or len(lengths) != 1 or max(lengths) > 4096:
            raise RequestError("give between 2 and 32 pictures, as many texts, and vectors of one length")
        images, texts, losses = steps_of(said.images, said.texts, said.temperature)
        return {"images": images, "texts": texts, "losses": losses}

    @app.post("/app/lesson/trace")
    def steps(said: TraceRequest) -> dict[str, Any]:
        from ..explain.report import as_json
        from ..explain.trace import trace

        return as_json(trace(assistant_of(), picture(said.picture, urls_allowed=False), said.question, said.max_tokens))
