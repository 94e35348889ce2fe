"""Before a language model is trained on images: every patch token learns to name what is in its cell.

The language model understands nothing of a new projector's output, and training through it is by far the most expensive way to
change that. Here it does not run. A patch token means the words whose embeddings it is near to, and a region of an image is
described by the mixture of its patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..models.starter.labelled_llava import token_log_probs

Box = tuple[float, float, float, float]
"""left, top, right, bottom, as shares of the image's width and height."""
BLANK = " empty"
"""The word for a cell outside of all regions."""
MIN_OVERLAP = 0.35
"""A cell belongs to a region that covers this share of the cell, or has this share of its area in it."""
ROWS, COLUMNS = (" top", " middle", " bottom"), (" left", " middle", " right")
"""Words from which position embeddings are initialised."""
BLANK_WEIGHT = 0.3
"""Weight of the loss of cells outside of all regions, relative to that of regions."""


@dataclass(frozen=True)
class Region:
    """A part of an image and the words that name it."""

    box: Box
    ids: tuple[int, ...]
    """Token ids of the words."""


def cells_of(box: Box, grid: int) -> Tensor:
    """Return which cells of an image belong to a box: bool (grid²,), row by row; always at least one."""
    left, top, right, bottom = (n * grid for n in box)
    starts = torch.arange(grid, dtype=torch.float32)
    widths = (starts + 1).clamp(max=right) - starts.clamp(min=left)
    heights = (starts + 1).clamp(max=bottom) - starts.clamp(min=top)
    overlap = heights.clamp(min=0)[:, None] * widths.clamp(min=0)  # (grid, grid): area of each cell in the box
    overlap[int(min((top + bottom) / 2, grid - 1)), int(min((left + right) / 2, grid - 1))] += 1.0
    return (overlap > MIN_OVERLAP * min(1.0, (right - left) * (bottom - top))).flatten()


def initial_positions(rows: Tensor, columns: Tensor, grid: int) -> Tensor:
    """Interpolate word embeddings into position embeddings → (grid², D), row by row.

    rows: embeddings of top, middle, bottom (3, D). columns: of left, middle, right (3, D).
    """
    down, across = (
        interpolate(words.T[None], grid, mode="linear", align_corners=True)[0].T for words in (rows, columns)
    )  # (grid, D)
    return (down[:, None] + across[None]).flatten(0, 1) / 2


def region_loss(tokens: Tensor, regions: Sequence[Sequence[Region]], embeddings: Tensor, blank: int) -> Tensor:
    """Mean −log p of the regions' words, plus that of BLANK for cells outside of them, weighted → scalar, float32.

    tokens: patch tokens (B, N, D), N a square. regions: those of each image. embeddings: of the language model's vocabulary
    (V, D). blank: token id of BLANK. Words compete with the words of all images in the batch.
    """
    grid = int(tokens.shape[1] ** 0.5)
    of_images = [(image, region) for image, of_image in enumerate(regions) for region in of_image]
    ids = torch.tensor(sorted({i for _, region in of_images for i in region.ids} | {blank}), device=tokens.device)
    log_probs = token_log_probs(tokens, embeddings[ids])  # (B, N, W) over the batch's W words
    images = torch.tensor([image for image, _ in of_images], device=tokens.device)
    cells = torch.stack([cells_of(region.box, grid) for _, region in of_images]).to(tokens.device)  # (R, N)
    targets = torch.stack([torch.isin(ids, torch.tensor(region.ids, device=ids.device)) for _, region in of_images])  # (R, W)
    weights = cells / cells.sum(dim=1, keepdim=True)
    mixture = torch.bmm(weights[:, None], log_probs.exp()[images])[:, 0]  # (R, W)
    log_p = mixture.clamp(min=1e-9).log()
    loss = -((log_p * targets).sum(dim=1) / targets.sum(dim=1)).mean()
    covered = torch.zeros(tokens.shape[:2], device=tokens.device).index_add(0, images, cells.float()) > 0  # (B, N)
    blank_log_p = log_probs[..., torch.searchsorted(ids, blank)][~covered]
    return loss - BLANK_WEIGHT * blank_log_p.mean() if len(blank_log_p) else loss
