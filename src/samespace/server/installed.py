"""What is installed, as the page of spaces shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.config import AssistantConfig, SpaceConfig
from ..core.errors import SamespaceError
from ..spaces import hub
from ..spaces.space import read_space_config

WIDE, HIGH = 240, 80
"""Of a drawn curve."""


@dataclass(frozen=True)
class Curve:
    """How one number went while a model was trained."""

    name: str
    points: list[list[float]]
    """[step, value]."""

    @property
    def line(self) -> str:
        """Its points as SVG's polyline takes them, the largest value at the top."""
        last, values = self.points[-1][0], [value for _, value in self.points]
        low, high = min(values), max(values)
        return " ".join(f"{WIDE * x / last:.1f},{HIGH * (high - y) / ((high - low) or 1):.1f}" for x, y in self.points)

    @property
    def box(self) -> str:
        """SVG's viewBox, with a little room above and below."""
        return f"0 -2 {WIDE} {HIGH + 4}"

    @property
    def told(self) -> str:
        """The same in words."""
        (first, begun), (last, ended) = self.points[0], self.points[-1]
        return f"{self.name}: {begun:.3g} at step {first}, {ended:.3g} at step {last}"


def installed() -> list[tuple[str, list[dict[str, Any]]]]:
    """Spaces, then assistants; a damaged folder is listed with what is wrong."""
    from ..assistant import checkpoint as folder  # and with them torch, which a server that only searches never needs
    from ..assistant import registry as shelf

    return [
        ("Spaces", [shown(*entry, read_space_config, what_of_space) for entry in hub.installed().items()]),
        ("Assistants", [shown(*entry, folder.read_config, what_of_assistant) for entry in shelf.installed().items()]),
    ]


def shown(name: str, place: Path, read: Callable[[Path], Any], what: Callable[[Any], str]) -> dict[str, Any]:
    size = sum(f.stat().st_size for f in place.iterdir())
    try:
        config = read(place)
    except SamespaceError as error:
        return {"name": name, "what": str(error), "bytes": size, "licence": "", "origin": "", "curves": [], "card": {}}
    card = {title: value for title, value in config.card.items() if title != "curves"}
    facts = {"licence": config.licence, "origin": getattr(config, "origin", ""), "curves": curves_of(config.card), "card": card}
    return {"name": name, "what": what(config), "bytes": size} | facts


def curves_of(card: dict[str, Any]) -> list[Curve]:
    """A card's curves; whoever made the model wrote it, so that what is no curve is left out."""
    curves = card.get("curves")
    named = curves.items() if isinstance(curves, dict) else ()
    return [Curve(name, points) for name, points in named if is_curve(points)]


def is_curve(points: Any) -> bool:
    """Whether these are two [step, value] pairs or more."""
    pairs = points if isinstance(points, list) else []
    numbers = [isinstance(p, list) and len(p) == 2 and all(isinstance(n, int | float) for n in p) for p in pairs]
    return len(numbers) > 1 and all(numbers) and pairs[-1][0] > 0


def what_of_space(config: SpaceConfig) -> str:
    return f"{config.dim} dimensions, pictures of {config.prep.size} pixels, fingerprint {config.fingerprint}"


def what_of_assistant(config: AssistantConfig) -> str:
    return f"{config.language_model or 'its own language model'}, seeing through {config.space or 'an image tower of its own'}"
