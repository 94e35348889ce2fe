"""What the lesson does on the running models: real training steps, a trace of the assistant. Nothing is made up."""

from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from ..assistant.engine import Assistant
from ..demo import PHOTOGRAPHS, photographs
from ..errors import MissingExtra, RequestError, UnknownAssistant
from ..explain.report import as_json
from ..explain.trace import trace
from ..model.losses import clip_loss
from .pictures import picture
from .shapes import ContrastRequest, TraceRequest

STEPS, RATE = 10, 0.01
"""Steps of training at one press, and their learning rate."""


def contrast(said: ContrastRequest) -> dict[str, Any]:
    """Train one linear map for pictures and one for texts by the symmetric InfoNCE, from where they are.

    The maps begin as the identity and come back as the vectors that they make; each press goes on from those.
    """
    lengths = {len(z) for z in (*said.images, *said.texts)}
    if not 2 <= len(said.images) == len(said.texts) <= 32 or len(lengths) != 1 or max(lengths) > 4096:
        raise RequestError("give between 2 and 32 pictures, as many texts, and vectors of one length")
    z_image, z_text = (torch.tensor(z, dtype=torch.float32) for z in (said.images, said.texts))
    scale, dim = torch.tensor(1 / said.temperature), z_image.shape[1]
    maps = [torch.eye(dim, requires_grad=True) for _ in range(2)]
    optimiser, losses = torch.optim.Adam(maps, lr=RATE / dim**0.5), []

    def mapped() -> list[torch.Tensor]:
        return [torch.nn.functional.normalize(z @ m, dim=-1) for z, m in zip((z_image, z_text), maps)]

    for _ in range(STEPS):
        loss = clip_loss(*mapped(), scale)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    with torch.no_grad():
        images, texts = (z.tolist() for z in mapped())
    return {"images": images, "texts": texts, "losses": losses}


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
        return contrast(said)

    @app.post("/app/lesson/trace")
    def steps(said: TraceRequest) -> dict[str, Any]:
        assistant = assistant_of()
        if not isinstance(assistant, Assistant):
            raise UnknownAssistant("this assistant answers from elsewhere; start samespace serve with one of this machine")
        return as_json(trace(assistant, picture(said.picture, urls_allowed=False), said.question, said.max_tokens))
