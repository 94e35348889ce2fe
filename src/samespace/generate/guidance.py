"""A space's image tower as a critic: what it sees in a picture, and how the picture has to change to be nearer to a query.

Any space can be one, whatever the generator was trained in. Bansal et al. 2023, "Universal Guidance for Diffusion Models", §3.2.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import UnknownGenerator
from ..spaces.checkpoints import checkpoint
from ..spaces.space import Space
from .generator import read_query
from .sampler import Pictures

VIEWS, LEAST_VIEW = 4, 0.6
"""Random squares of a picture that are looked at, and the smallest of them as a share of its side: what pleases the tower in one place and
size only is no picture."""
STRENGTH = 0.06
"""How far the clean picture is moved in each step, as the root of the mean square of its values, from −1 to 1."""


class Critic:
    """The image tower of a space, and what a query means in it."""

    def __init__(self, space: Space, query: str, seed: int = 0):
        """Raises UnknownGenerator where the space's tower cannot be differentiated, QueryError, UnreadableMedia."""
        p = space.config.prep
        if p.patches or p.resize == "native":
            raise UnknownGenerator(
                f"the space {space.name} cuts pictures before its tower, and cannot steer; choose a CLIP or SigLIP"
            )
        self.model, self.size = checkpoint.load(space.folder).model.requires_grad_(False), p.size
        self.mean, self.std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (p.mean, p.std))
        self.z = torch.from_numpy(read_query(space, query).z)
        self.rng = np.random.default_rng(seed)

    def similarity(self, shown: Tensor) -> Tensor:
        """Return the mean cosine of random views of pictures to the query: float32 (B, 3, S, S), 0 to 1 → (B,)."""
        encoded = [self.model.encode_image((self._view(shown) - self.mean) / self.std) for _ in range(VIEWS)]
        return torch.stack([F.normalize(z[:, : len(self.z)], dim=-1) @ self.z for z in encoded]).mean(dim=0)

    def _view(self, shown: Tensor) -> Tensor:
        """Return a random square of pictures, in the tower's size."""
        side = shown.shape[-1]
        part = max(1, round(side * self.rng.uniform(LEAST_VIEW, 1)))
        top, left = self.rng.integers(0, side - part + 1, 2)
        view = shown[..., top : top + part, left : left + part]
        return F.interpolate(view, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)

    def improve(self, strength: float = STRENGTH) -> Callable[[Pictures], Pictures]:
        """Return what moves predicted clean pictures, float32 (B, 4, S, S), towards the query."""

        def improved(pictures: Pictures) -> Pictures:
            x = torch.from_numpy(pictures).requires_grad_()
            (gradient,) = torch.autograd.grad(self.similarity(on_white(x)).sum(), x)
            length = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
            return np.asarray((x + strength * gradient / length).detach().clamp(-1, 1).numpy())

        return improved


def on_white(x: Tensor) -> Tensor:
    """Return pictures as the sampler has them, (B, 4, S, S), on a white ground: (B, 3, S, S), 0 to 1."""
    opacity = (x[:, 3:] + 1) / 2
    return ((x[:, :3] + 1 - opacity + 1) / 2).clamp(0, 1)
