"""Losses as pure functions, in the papers' letters.

All take whole batches of unit vectors z_image, z_text (B, E). Where many machines share a batch, each gives the z that
were gathered from all, and its own `rows` of them: the mean over machines is then the loss of the whole.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ALL = slice(None)


def clip_loss(z_image: Tensor, z_text: Tensor, scale: Tensor, same: Tensor | None = None, rows: slice = ALL) -> Tensor:
    """Symmetric InfoNCE over a batch of pairs → scalar. Radford et al. 2021, figure 3.

    scale: e^t, a scalar. same: bool (B, B), symmetric, where row i and column j are a right pair too (equal captions);
    the target is then spread evenly over a row's right answers (Khosla et al. 2020, eq. 2). Without it the right
    answers are the diagonal.
    """
    images, texts = scale * z_image[rows] @ z_text.T, scale * z_text[rows] @ z_image.T  # (rows, B)
    if same is None:
        right = torch.arange(len(z_text), device=z_text.device)[rows]
    else:
        right = same[rows] / same[rows].sum(dim=1, keepdim=True)
    return (F.cross_entropy(images, right) + F.cross_entropy(texts, right)) / 2


def siglip_loss(
    z_image: Tensor, z_text: Tensor, scale: Tensor, bias: Tensor, same: Tensor | None = None, rows: slice = ALL
) -> Tensor:
    """Every pair by itself: right or wrong, by a sigmoid → scalar. Zhai et al. 2023, algorithm 1.

    scale: e^t, bias: b, scalars. same: as for `clip_loss`.
    """
    logits = scale * z_image[rows] @ z_text.T + bias  # (rows, B)
    right = torch.eye(len(z_text), dtype=torch.bool, device=z_text.device)[rows] if same is None else same[rows]
    return -F.logsigmoid(torch.where(right, logits, -logits)).sum(dim=1).mean()


def distil_loss(
    z_image: Tensor, z_text: Tensor, t_image: Tensor, t_text: Tensor, scale: Tensor, t_scale: float, rows: slice = ALL
) -> Tensor:
    """How far the batch's similarities are from a teacher's: KL of its softmaxes, both ways → scalar.

    t_image, t_text: the teacher's z of the same pairs, (B, E'). After Wu et al. 2023, "TinyCLIP", §3.1 (affinity).
    """

    def far(a: Tensor, b: Tensor, t_a: Tensor, t_b: Tensor) -> Tensor:
        taught = (t_scale * t_a[rows] @ t_b.T).log_softmax(dim=-1)  # (rows, B)
        return F.kl_div((scale * a[rows] @ b.T).log_softmax(dim=-1), taught, log_target=True, reduction="batchmean")

    return (far(z_image, z_text, t_image, t_text) + far(z_text, z_image, t_text, t_image)) / 2


NEAREST_TIME = 0.95
"""Pictures of a later time than this have the weight of this one."""


def flow_loss(predicted: Tensor, picture: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of the velocity that a predicted clean picture implies → scalar.

    predicted, picture: (B, C, H, W); t: (B,), 0 for noise to 1 for the picture. The noisy picture (1 − t) ε + t x moves with
    v = x − ε = (x − x_t) / (1 − t), so the error of v is that of x, divided by 1 − t. Li and He 2025, "JiT", table 1 (3)(c).
    """
    return ((predicted - picture) / (1 - t.clamp(max=NEAREST_TIME))[:, None, None, None]).square().mean()
