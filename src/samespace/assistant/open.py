"""Names → assistants: an endpoint's address, a model of Ollama's or llama-server's, an installed assistant, a folder."""

from ..core.errors import MissingExtra
from ..core.paths import expanded
from .request import AssistantBackend

OLLAMA = "ollama:"
"""What an assistant's name begins with that Ollama runs."""


def open_assistant(name: str) -> AssistantBackend:
    """Open `https://host/v1#model`, `ollama:NAME`, a GGUF file with its image tower, a name or a folder, ready to answer.

    Raises UnknownAssistant, MissingExtra.
    """
    if name.startswith(("http://", "https://")):
        from .endpoint import Endpoint

        return Endpoint(name)
    if name.startswith(OLLAMA):
        from .local_server import with_ollama

        return with_ollama(name.removeprefix(OLLAMA))
    if name.endswith(".gguf"):
        from .local_server import with_llama_server

        return with_llama_server(expanded(name))
    try:
        from ..generate.native_registry import NATIVES
        from . import checkpoint, registry
        from .native_assistant import NativeAssistant
    except ImportError as error:
        raise MissingExtra(f"asking ({error.name})", "ask") from None
    if (native := NATIVES.find(name)) is not None and name not in registry.ASSISTANTS.installed():
        return NativeAssistant.open(native)
    return checkpoint.load(registry.find(name))
