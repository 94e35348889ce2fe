"""A few real steps of contrastive training on vectors that are there."""

import torch

from ..models.losses import clip_loss

STEPS, RATE = 10, 0.01
"""Steps of training at a time, and their learning rate."""

Vectors = list[list[float]]


def steps_of(images: Vectors, texts: Vectors, temperature: float) -> tuple[Vectors, Vectors, list[float]]:
    """Train one linear map for pictures and one for texts by the symmetric InfoNCE, from where they are.

    Vectors (B, E) of unit length, in pairs → the same as the maps make them, and the loss before each step. The maps begin
    as the identity, so that the next steps go on from these.
    """
    z_image, z_text = (torch.tensor(z, dtype=torch.float32) for z in (images, texts))
    scale, dim = torch.tensor(1 / temperature), z_image.shape[1]
    maps = [torch.eye(dim, requires_grad=True) for _ in range(2)]
    optimiser, losses = torch.optim.Adam(maps, lr=RATE / dim**0.5), []

    def mapped() -> list[torch.Tensor]:
        return [torch.nn.functional.normalize(z @ m, dim=-1) for z, m in zip((z_image, z_text), maps)]

    for _ in range(STEPS):
        loss = clip_loss(*mapped(), scale)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    with torch.no_grad():
        images, texts = (z.tolist() for z in mapped())
    return images, texts, losses
