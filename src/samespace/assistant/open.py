"""Names → assistants: an endpoint's address, an installed assistant, a folder."""

from ..core.errors import MissingExtra
from .request import AssistantBackend


def open_assistant(name: str) -> AssistantBackend:
    """Open `https://host/v1#model`, a name or a folder, ready to answer. Raises UnknownAssistant, MissingExtra."""
    if name.startswith(("http://", "https://")):
        from .endpoint import Endpoint

        return Endpoint(name)
    try:
        from . import checkpoint, registry
    except ImportError as error:
        raise MissingExtra(f"asking ({error.name})", "ask") from None
    return checkpoint.load(registry.find(name))
