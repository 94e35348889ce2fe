"""/v1: models, embeddings, search and chat completions, in OpenAI's shapes, and rerank in the common one."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.encoders import jsonable_encoder
from starlette.responses import JSONResponse, Response

from ...core.errors import OperationStopped, UnknownSpace
from ...core.paths import to_text
from ..services.chat import complete
from ..services.schemas import ChatRequest, EmbeddingRequest, RerankRequest, SearchRequest
from ..services.state import State
from ..services.threads import one_by_one, preparing, while_wanted, working

router = APIRouter(prefix="/v1")


@router.get("/models")
def models(state: State) -> dict[str, Any]:
    """List the space and the assistant."""
    return {"object": "list", "data": [describe(name) for name in served(state)]}


@router.get("/models/{name:path}")
def model(name: str, state: State) -> dict[str, Any]:
    """Describe the space or the assistant."""
    if name not in served(state):
        raise UnknownSpace(f"the model {name!r} is not served here; ask for {' or '.join(map(repr, served(state)))}")
    return describe(name)


def served(state: State) -> list[str]:
    """Return the names of the models: the space's and the assistant's."""
    return list(dict.fromkeys([state.library.space.handle, state.assistant.name]))


def describe(name: str) -> dict[str, Any]:
    """Return a model in OpenAI's shape."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "samespace"}


@router.post("/embeddings")
def embed(body: EmbeddingRequest, state: State) -> JSONResponse:
    """Embed texts and images."""
    return JSONResponse(state.embedding.answer(body, state.allow_urls))


@router.post("/search")
async def search(body: SearchRequest, request: Request, state: State) -> JSONResponse:
    """Search the library with words; no part of the query opens a file."""

    def found(check: Callable[..., None]) -> JSONResponse:
        hits = state.library.search(
            body.query, body.top, min_relevance=body.min_relevance, files=False, where=body.where, group_by=body.group_by
        )
        hits = state.reranking.hits(body.query, hits, check) if body.rerank else hits
        rows = [asdict(hit) | {"id": hit.id, "path": to_text(hit.path)} for hit in hits]
        return JSONResponse(jsonable_encoder({"object": "list", "data": rows}))

    return await while_wanted(request, found)


@router.post("/rerank")
async def rerank(body: RerankRequest, request: Request, state: State) -> dict[str, Any]:
    """Say how relevant each of some documents is to a query; what is left is not read when the client has gone."""
    name, scores = await working(state.reranking.scores, body, state.allow_urls)
    found: list[float] = []
    async for score in one_by_one(scores):
        found.append(score)
        if await request.is_disconnected():
            raise OperationStopped("the client has gone")
    return state.reranking.response(body, name, found)


@router.post("/chat/completions")
async def chat(body: ChatRequest, request: Request, state: State) -> Response:
    """Answer a conversation, whole or streamed."""
    assistant = await preparing(state.assistant.open, body.model)
    return await complete(body, assistant, request, state.allow_urls, state.metrics.count_tokens)
