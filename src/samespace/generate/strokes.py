"""Drawings of Bézier strokes, optimised until an image tower sees the query in them: SVG that an artist can open.

Frans et al. 2021, "CLIPDraw", with a soft rasteriser: a pixel is covered as far as it is nearer to a stroke than half its width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.errors import as_utf8
from .guidance import Critic

STEPS, MOST_STROKES = 150, 256
CANVAS = 80
"""Pixels a side that are rasterised; the SVG has no pixels."""
ALONG = 9
"""Points of a stroke, joined by straight lines, whose distance to a pixel is taken."""
SOFTNESS = 0.006
"""How far the edge of a stroke is blurred, as a share of the canvas."""
THINNEST, THICKEST = 0.006, 0.06
"""Half widths of strokes, as shares of the canvas."""
RATES = {"points": 0.012, "width": 0.004, "colour": 0.04}
"""Adam's learning rates."""


@dataclass
class Strokes:
    """Cubic Bézier curves, of which later ones lie upon earlier ones; places and widths are shares of the canvas."""

    points: Tensor
    """float32 (N, 4, 2): control points, x and y."""
    width: Tensor
    """float32 (N,): half widths."""
    colour: Tensor
    """float32 (N, 4): red, green, blue and opacity, 0 to 1."""

    def clamp_(self) -> None:
        """Keep strokes visible, in place."""
        with torch.no_grad():
            self.points.clamp_(-0.1, 1.1)
            self.width.clamp_(THINNEST, THICKEST)
            self.colour.clamp_(0, 1)


def random_strokes(count: int, seed: int) -> Strokes:
    """Return short strokes in random places and colours."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0.1, 0.9, (count, 1, 2))
    steps = rng.normal(0, 0.08, (count, 3, 2)).cumsum(axis=1)
    points = np.concatenate([first, first + steps], axis=1)
    colour = np.concatenate([rng.uniform(0, 1, (count, 3)), np.full((count, 1), 0.7)], axis=1)
    made = (points, rng.uniform(0.01, 0.03, count), colour)
    return Strokes(*(torch.tensor(values, dtype=torch.float32, requires_grad=True) for values in made))


def rasterise(strokes: Strokes, side: int = CANVAS) -> Tensor:
    """Return strokes drawn on white: float32 (3, side, side), 0 to 1; differentiable in everything."""
    t = torch.linspace(0, 1, ALONG)[:, None]
    weights = torch.cat([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], dim=1)  # Bernstein's polynomials
    curve = torch.einsum("tk,nkc->ntc", weights, strokes.points)  # (N, ALONG, 2)
    cover = torch.sigmoid((strokes.width[:, None, None] - _distance(curve, side)) / SOFTNESS) * strokes.colour[:, 3, None, None]
    upper = cover.flip(0)  # the topmost first
    through = torch.cumprod(1 - upper, dim=0)  # what is left of the light below each
    above = torch.cat([torch.ones_like(through[:1]), through[:-1]])
    painted = torch.einsum("nhw,nc->chw", upper * above, strokes.colour[:, :3].flip(0))
    return painted + through[-1]


def _distance(curve: Tensor, side: int) -> Tensor:
    """Return how far each pixel is from each polyline: (N, ALONG, 2) → (N, side, side)."""
    places = (torch.arange(side) + 0.5) / side
    pixels = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=-1).reshape(-1, 2)  # (side², 2), x and y
    start, along = curve[:, :-1], curve[:, 1:] - curve[:, :-1]  # (N, S, 2): segments
    to_pixel = pixels - start[:, :, None]  # (N, S, side², 2)
    squared = along.square().sum(dim=-1)[..., None].clamp(min=1e-9)
    share = ((to_pixel * along[:, :, None]).sum(dim=-1) / squared).clamp(0, 1)  # of the segment, where it is nearest
    nearest = to_pixel - share[..., None] * along[:, :, None]
    return nearest.square().sum(dim=-1).amin(dim=1).add(1e-9).sqrt().reshape(-1, side, side)


def draw_strokes(critic: Critic, count: int, seed: int = 0, steps: int = STEPS) -> Iterator[Strokes]:
    """Yield strokes after each step of bringing what the critic sees nearer to its query."""
    strokes = random_strokes(count, seed)
    optimizer = torch.optim.Adam([{"params": [getattr(strokes, name)], "lr": rate} for name, rate in RATES.items()])
    for step in range(1, steps + 1):
        for group, rate in zip(optimizer.param_groups, RATES.values()):
            group["lr"] = rate * (1 - 0.8 * step / steps)
        loss = -critic.similarity(rasterise(strokes)[None]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        strokes.clamp_()
        yield strokes


def to_svg(strokes: Strokes, title: str, side: int = 512) -> str:
    """Return strokes as SVG, each a path."""
    from xml.sax.saxutils import escape

    paths = []
    for points, width, colour in zip(*(x.detach().numpy() for x in (strokes.points, strokes.width, strokes.colour))):
        (x0, y0), *rest = (points * side).round(1).tolist()
        curve = " ".join(f"{x:g},{y:g}" for x, y in rest)
        red, green, blue = (round(255 * c) for c in colour[:3].tolist())
        paths.append(
            f'<path d="M{x0:g},{y0:g} C{curve}" stroke="rgb({red},{green},{blue})" stroke-opacity="{colour[3]:.2f}" stroke-width="{2 * width * side:.1f}"/>'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" fill="none" stroke-linecap="round">'
    background = f'<rect width="{side}" height="{side}" fill="#fff"/>'
    return "\n".join([head, f"<title>{escape(as_utf8(title))}</title>", background, *paths, "</svg>"]) + "\n"
