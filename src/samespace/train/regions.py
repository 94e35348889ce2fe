"""Before a language model reads pictures: every token of a picture learns to name what stands in its cell.

A projector that begins from nothing says nothing that a language model understands, and the language model is by far the
dearest way to teach it. Here it never runs. A cell says the words at whose embeddings its token lands, and a region of a
picture is described by the mixture of its cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..models.starter.labelled_llava import token_log_probs

BLANK = " empty"
"""What a cell says that lies in no region."""
SHARE = 0.35
"""A region has the cells of which it fills this share, or which hold this share of it."""
ROWS, COLUMNS = (" top", " middle", " bottom"), (" left", " middle", " right")
"""What cells begin to say of where they stand."""
BLANK_WEIGHT = 0.3
"""Weight of the empty cells' loss against that of the regions."""


@dataclass(frozen=True)
class Region:
    """A part of a picture and the words that name it."""

    box: tuple[float, float, float, float]
    """left, top, right, bottom, as shares of the picture's width and height."""
    ids: tuple[int, ...]
    """The language model's tokens."""


def cells_of(box: tuple[float, float, float, float], grid: int) -> Tensor:
    """Which cells of a picture belong to a box: bool (grid²,), row by row; always at least one."""
    left, top, right, bottom = (n * grid for n in box)
    starts = torch.arange(grid, dtype=torch.float32)
    wide = (starts + 1).clamp(max=right) - starts.clamp(min=left)
    high = (starts + 1).clamp(max=bottom) - starts.clamp(min=top)
    inside = high.clamp(min=0)[:, None] * wide.clamp(min=0)  # (grid, grid): the area of each cell in the box
    inside[int(min((top + bottom) / 2, grid - 1)), int(min((left + right) / 2, grid - 1))] += 1.0
    return (inside > SHARE * min(1.0, (right - left) * (bottom - top))).flatten()


def places(rows: Tensor, columns: Tensor, grid: int) -> Tensor:
    """What cells begin to say of where they stand: words for top, middle, bottom (3, D) and for left, middle, right (3, D),
    blended from cell to cell, → (grid², D), row by row."""
    down, across = (
        interpolate(words.T[None], grid, mode="linear", align_corners=True)[0].T for words in (rows, columns)
    )  # (grid, D)
    return (down[:, None] + across[None]).flatten(0, 1) / 2


def region_loss(seen: Tensor, regions: Sequence[Sequence[Region]], embeddings: Tensor, blank: int) -> Tensor:
    """How badly pictures name their regions, told apart by the words of all pictures in the batch.

    Tokens (B, N, D) with N a square, regions of each picture, the language model's embeddings (vocabulary, D) → the mean of
    −log p over regions, and, weighted, over cells in none: a scalar, float32.
    """
    grid = int(seen.shape[1] ** 0.5)
    ids = torch.tensor(sorted({i for some in regions for r in some for i in r.ids} | {blank}), device=seen.device)
    words = embeddings[ids]  # (V, D)
    said = token_log_probs(seen, words)
    rows = torch.tensor([b for b, some in enumerate(regions) for _ in some], device=seen.device)
    cells = torch.stack([cells_of(r.box, grid) for some in regions for r in some]).to(seen.device)  # (R, N)
    target = torch.stack([torch.isin(ids, torch.tensor(r.ids, device=ids.device)) for some in regions for r in some])
    shares = cells / cells.sum(dim=1, keepdim=True)
    mixture = torch.bmm(shares[:, None], said.exp()[rows])[:, 0]  # (R, V)
    log_p = mixture.clamp(min=1e-9).log()
    of_regions = -((log_p * target).sum(dim=1) / target.sum(dim=1)).mean()
    taken = torch.zeros(seen.shape[:2], device=seen.device).index_add(0, rows, cells.float()) > 0  # (B, N)
    empty = said[..., torch.searchsorted(ids, blank)][~taken]
    return of_regions - BLANK_WEIGHT * empty.mean() if len(empty) else of_regions
