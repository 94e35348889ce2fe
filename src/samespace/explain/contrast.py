"""A few steps of contrastive training on given vectors, for the course's demonstration."""

import torch

from ..models.losses import clip_loss

STEPS = 10
"""Training steps of one call."""
LEARNING_RATE = 0.01
"""Adam's learning rate, before division by √E."""

Vectors = list[list[float]]


def contrastive_steps(images: Vectors, texts: Vectors, temperature: float) -> tuple[Vectors, Vectors, list[float]]:
    """Train one linear map for image vectors and one for text vectors with the symmetric InfoNCE loss.

    images, texts: (B, E), unit length, row i of one paired with row i of the other. Return both after mapping, (B, E), unit
    length, and the loss before each step. The maps begin as the identity, so that another call goes on from what this
    one returns.
    """
    z_image, z_text = (torch.tensor(z, dtype=torch.float32) for z in (images, texts))
    scale, dim = torch.tensor(1 / temperature), z_image.shape[1]
    maps = [torch.eye(dim, requires_grad=True) for _ in range(2)]
    optimizer, losses = torch.optim.Adam(maps, lr=LEARNING_RATE / dim**0.5), []

    def mapped() -> tuple[torch.Tensor, torch.Tensor]:
        a, b = (torch.nn.functional.normalize(z @ m, dim=-1) for z, m in zip((z_image, z_text), maps))
        return a, b

    for _ in range(STEPS):
        loss = clip_loss(*mapped(), scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        a, b = mapped()
    return a.tolist(), b.tolist(), losses
