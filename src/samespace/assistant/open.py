"""Names -> assistants: an endpoint's address, an installed assistant, a folder."""

from ..core.errors import MissingExtra
from .request import Answers


def open_assistant(name: str) -> Answers:
    """`https://host/v1#model`, a name or a folder, ready to answer. Raises UnknownAssistant, MissingExtra."""
    if name.startswith(("http://", "https://")):
        from .endpoint import Endpoint

        return Endpoint(name)
    try:
        from . import checkpoint as folder
        from . import registry as shelf
    except ImportError as error:
        raise MissingExtra(f"asking ({error.name})", "ask") from None
    return folder.load(shelf.find(name))
