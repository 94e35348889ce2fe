"""What is installed, as the page of spaces shows it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import hub
from ..config import AssistantConfig, SpaceConfig, read_space_config
from ..errors import SamespaceError


def installed() -> list[tuple[str, list[dict[str, Any]]]]:
    """Spaces, then assistants; a damaged folder is listed with what is wrong."""
    from ..assistant import folder, shelf  # and with them torch, which a server that only searches never needs

    return [
        ("Spaces", [shown(*entry, read_space_config, what_of_space) for entry in hub.installed().items()]),
        ("Assistants", [shown(*entry, folder.read_config, what_of_assistant) for entry in shelf.installed().items()]),
    ]


def shown(name: str, place: Path, read: Callable[[Path], Any], what: Callable[[Any], str]) -> dict[str, Any]:
    size = sum(f.stat().st_size for f in place.iterdir())
    try:
        config = read(place)
    except SamespaceError as error:
        return {"name": name, "what": str(error), "bytes": size, "licence": "", "origin": "", "card": {}}
    origin = getattr(config, "origin", "")
    return {"name": name, "what": what(config), "bytes": size, "licence": config.licence, "origin": origin, "card": config.card}


def what_of_space(config: SpaceConfig) -> str:
    return f"{config.dim} dimensions, pictures of {config.prep.size} pixels, fingerprint {config.fingerprint}"


def what_of_assistant(config: AssistantConfig) -> str:
    return f"{config.language_model or 'its own language model'}, seeing through {config.space or 'an image tower of its own'}"
