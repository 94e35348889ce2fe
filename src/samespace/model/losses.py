"""Losses as pure functions, in the papers' letters."""

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_loss(z_image: Tensor, z_text: Tensor, scale: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE over a batch of pairs → scalar. Radford et al. 2021, figure 3.

    z_image, z_text: (B, E), unit length. scale: e^t, a scalar. same: bool (B, B), where row i and column j are a
    right pair too (equal captions); the target is then spread evenly over a row's right answers
    (Khosla et al. 2020, eq. 2). Without it the right answers are the diagonal.
    """
    logits = scale * z_image @ z_text.T  # (B, B)
    if same is None:
        labels = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    rows = same / same.sum(dim=1, keepdim=True)
    columns = same.T / same.T.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, columns)) / 2
