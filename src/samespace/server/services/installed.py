"""The installed spaces and assistants, as the page of spaces shows them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.assistant_config import AssistantConfig
from ...core.config import SpaceConfig
from ...core.registry import Config, Registry
from ...spaces.registry import SPACES

WIDTH, HEIGHT = 240, 80
"""Size of a drawn curve."""


@dataclass(frozen=True)
class Curve:
    """How one number changed during a training run."""

    name: str
    points: list[list[float]]
    """[step, value]."""

    @property
    def polyline(self) -> str:
        """The points of an SVG polyline, the largest value at the top."""
        last, values = self.points[-1][0], [value for _, value in self.points]
        low, high = min(values), max(values)
        return " ".join(f"{WIDTH * x / last:.1f},{HEIGHT * (high - y) / ((high - low) or 1):.1f}" for x, y in self.points)

    @property
    def view_box(self) -> str:
        """The SVG's viewBox, with a little room above and below."""
        return f"0 -2 {WIDTH} {HEIGHT + 4}"

    @property
    def summary(self) -> str:
        """The curve in words."""
        (first, at_first), (last, at_last) = self.points[0], self.points[-1]
        return f"{self.name}: {at_first:.3g} at step {first}, {at_last:.3g} at step {last}"


@dataclass(frozen=True)
class InstalledModel:
    """A space or an assistant on this machine."""

    name: str
    summary: str
    """What it is; of a damaged one, what is wrong."""
    bytes: int
    licence: str = ""
    origin: str = ""
    curves: list[Curve] = field(default_factory=list)
    card: dict[str, Any] = field(default_factory=dict)
    """How it was made, without the curves."""


def installed_models() -> dict[str, list[InstalledModel]]:
    """Return the spaces, then the assistants; a damaged one with what is wrong with it."""
    from ...assistant.registry import ASSISTANTS

    return {"Spaces": described(SPACES, space_model), "Assistants": described(ASSISTANTS, assistant_model)}


def described(registry: Registry[Config], describe: Callable[[Config, Path], InstalledModel]) -> list[InstalledModel]:
    """Describe every model of a registry."""
    return [
        describe(entry.config, entry.folder)
        if entry.config is not None
        else InstalledModel(entry.name, entry.error, size_of(entry.folder))
        for entry in registry.entries()
    ]


def space_model(config: SpaceConfig, folder: Path) -> InstalledModel:
    """Describe a space."""
    summary = f"{config.dim} dimensions, pictures of {config.prep.size} pixels, fingerprint {config.fingerprint}"
    card, curves = split_card(config.card)
    return InstalledModel(config.name, summary, size_of(folder), config.licence, config.origin, curves, card)


def assistant_model(config: AssistantConfig, folder: Path) -> InstalledModel:
    """Describe an assistant."""
    language_model = config.language_model or "its own language model"
    tower = f"the image tower of {config.space}" if config.space else "its own image tower"
    card, curves = split_card(config.card)
    return InstalledModel(
        config.name, f"{language_model}, with {tower}", size_of(folder), config.licence, curves=curves, card=card
    )  # fmt: skip


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.iterdir())


def split_card(card: dict[str, Any]) -> tuple[dict[str, Any], list[Curve]]:
    """Return a card without its curves, and the curves; what is not a curve is left out, as anyone may have written it."""
    rest = {title: value for title, value in card.items() if title != "curves"}
    curves = card.get("curves")
    entries = curves.items() if isinstance(curves, dict) else ()
    return rest, [Curve(name, points) for name, points in entries if is_curve(points)]


def is_curve(points: Any) -> bool:
    """Whether these are at least two [step, value] pairs."""
    pairs = points if isinstance(points, list) else []
    numbers = [isinstance(p, list) and len(p) == 2 and all(isinstance(n, int | float) for n in p) for p in pairs]
    return len(numbers) > 1 and all(numbers) and pairs[-1][0] > 0
