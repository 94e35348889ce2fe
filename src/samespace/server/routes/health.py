"""/health and /metrics: they wait for no thread."""

from fastapi import APIRouter
from starlette.responses import Response

from ... import __version__
from ..services.metrics import CONTENT_TYPE
from ..services.state import State

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the server runs, and its version; needs no key."""
    return {"status": "ok", "version": __version__}


@router.get("/metrics")
async def metrics(state: State) -> Response:
    """Return the metrics in Prometheus' text format."""
    return Response(state.metrics.text(), media_type=CONTENT_TYPE)
