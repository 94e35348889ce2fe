"""What a Vision Transformer makes of one patch: its vector, its position, and where it looks, layer by layer, head by head."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..core.errors import RequestError
from ..models.layers import Tap
from ..models.vit import ViT


@dataclass(frozen=True)
class Patch:
    """One patch on its way through the tower."""

    grid: int
    """Patches along each side; the others are laid out (grid, grid), row by row."""
    vector: np.ndarray
    """float32 (D,): after the linear projection, before its position is added."""
    position: np.ndarray
    """float32 (D,): its learned position."""
    near: np.ndarray
    """float32 (grid, grid): cosines of its position with those of all patches."""
    attention: np.ndarray
    """float32 (L, H, grid, grid): how much it looks at each patch; with the class token's share they add up to 1."""
    summary: np.ndarray
    """float32 (L, H, grid, grid): the same of the class token, whose vector becomes z; empty where the tower has none."""
    rollout: np.ndarray
    """float32 (1 or 2, grid, grid): where the patch looks through all layers, and the class token, where there is one."""


def look_inside(tower: ViT, pixels: np.ndarray, number: int) -> Patch:
    """Follow patch `number`, from 0, row by row, of a prepared picture: float32 (1, 3, S, S).

    Of a hybrid the patches are cells of its trunk's last map. Raises RequestError where there is no such patch.
    """
    grid, first = tower.grid, int(tower.class_token is not None)
    if not 0 <= number < grid**2:
        raise RequestError(f"there is no patch {number}; the picture has {grid} × {grid}, counted from 0")
    tap = Tap()
    with torch.inference_mode():
        tower(torch.from_numpy(pixels), tap)
        places = tower.pos_embed[first:]
        near = torch.nn.functional.cosine_similarity(places[number], places, dim=-1)
    weights = torch.stack([tap[f"blocks.{i}.attn.weights"][0] for i in range(len(tower.blocks))])  # (L, H, N, N)
    through = rollout(weights)
    return Patch(
        grid,
        tap["patches"][0, number].numpy(),
        places[number].detach().numpy(),
        maps(near, grid),
        maps(weights[:, :, first + number, first:], grid),
        maps(weights[:, :, 0, first:], grid) if first else np.empty((0, 0, grid, grid), np.float32),
        maps(through[[first + number, 0][: 1 + first], first:], grid),
    )


def rollout(weights: Tensor) -> Tensor:
    """How much of each token reaches each through all layers, half of it past every layer's attention: (L, H, N, N) → (N, N).

    Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", §3; the mean over heads.
    """
    same = torch.eye(weights.shape[-1])
    through = same
    for layer in weights.mean(dim=1):
        through = (layer + same) / 2 @ through
    return through


def maps(rows: Tensor, grid: int) -> np.ndarray:
    """(…, N) → (…, grid, grid)"""
    return rearrange(rows, "... (h w) -> ... h w", h=grid).numpy()
