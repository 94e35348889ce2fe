"""One patch inside a Vision Transformer: its embedding, its position and its attention, in each layer and head."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..core.errors import RequestError
from ..models.layers import Tap
from ..models.vit import PatchTransformer


@dataclass(frozen=True)
class PatchActivations:
    """What a tower computes for one patch of an image. L is its number of layers."""

    grid: int
    """Patches along each side; maps over all patches are (grid, grid)."""
    embedding: np.ndarray
    """float32 (D,): after the linear projection, before the position is added."""
    pos_embed: np.ndarray
    """float32 (D,): the learned position embedding."""
    position_similarity: np.ndarray
    """float32 (grid, grid): cosines of its position embedding with those of all patches."""
    attention: np.ndarray
    """float32 (L, H, grid, grid): its attention to each patch; with that to the class token it adds up to 1."""
    class_attention: np.ndarray
    """float32 (L, H, grid, grid): the class token's attention to each patch; (0, 0, grid, grid) without a class token."""
    rollout: np.ndarray
    """float32 (1 or 2, grid, grid): attention rollout of the patch, and of the class token where there is one."""


def inspect_patch(tower: PatchTransformer, pixels: np.ndarray, number: int) -> PatchActivations:
    """Return the activations of patch `number`, counted from 0 row by row, of one image: float32 (1, 3, S, S).

    A hybrid tower's patches are cells of its backbone's last feature map. Raises RequestError if there is no such patch.
    """
    grid, first = tower.grid, int(tower.class_token is not None)
    if not 0 <= number < grid**2:
        raise RequestError(f"there is no patch {number}; the picture has {grid} × {grid}, counted from 0")
    tap = Tap()
    with torch.inference_mode():
        tower(torch.from_numpy(pixels), tap)
        positions = tower.pos_embed[first:]
        similarity = torch.nn.functional.cosine_similarity(positions[number], positions, dim=-1)
    weights = torch.stack([tap[f"blocks.{i}.attn.weights"][0] for i in range(len(tower.blocks))])  # (L, H, N, N)
    rolled = attention_rollout(weights)
    return PatchActivations(
        grid,
        tap["patches"][0, number].numpy(),
        positions[number].detach().numpy(),
        _maps(similarity, grid),
        _maps(weights[:, :, first + number, first:], grid),
        _maps(weights[:, :, 0, first:], grid) if first else np.empty((0, 0, grid, grid), np.float32),
        _maps(rolled[[first + number, 0][: 1 + first], first:], grid),
    )


def attention_rollout(weights: Tensor) -> Tensor:
    """Return how much of each token reaches each other token through all layers: (L, H, N, N) → (N, N).

    In each layer, half passes through the residual connection, half through the attention, averaged over heads. Abnar and
    Zuidema 2020, "Quantifying Attention Flow in Transformers", §3.
    """
    identity = torch.eye(weights.shape[-1])
    rolled = identity
    for layer in weights.mean(dim=1):
        rolled = (layer + identity) / 2 @ rolled
    return rolled


def _maps(rows: Tensor, grid: int) -> np.ndarray:
    """Lay rows over patches out as maps: (…, N) → (…, grid, grid)."""
    maps: np.ndarray = rearrange(rows, "... (h w) -> ... h w", h=grid).numpy()
    return maps
