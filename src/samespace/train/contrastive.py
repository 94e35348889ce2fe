"""The contrastive task: a batch of pairs → its loss, and the gradients of the weights."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..core.config import Prep
from ..models.clip import DualEncoder
from ..models.losses import clip_loss, distil_loss, siglip_loss
from ..spaces.space import Space
from .config import RunConfig
from .data import Batch, split
from .distributed import (
    average_scalar_gradients,
    device_of,
    gather,
    gather_with_grad,
    rank,
    uses_bf16,
    without_sync,
    world_size,
)  # fmt: skip

Outputs = tuple[Tensor, ...]
"""z_image (B, E), z_text (B, E), the scale e^t, and with SigLIP's loss its bias."""
LOSSES: dict[str, Callable[..., Tensor]] = {"clip": clip_loss, "siglip": siglip_loss}
"""RunConfig.loss → function."""


class Normalize(nn.Module):
    """Pixels as they are decoded → as a tower takes them."""

    mean: Tensor
    std: Tensor

    def __init__(self, prep: Prep):
        super().__init__()
        self.cut = bool(prep.patches)
        repeats = prep.patch**2 or 1
        self.register_buffer("mean", torch.tensor(prep.mean).repeat(repeats) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(prep.std).repeat(repeats) * 255, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) → float32 (B, 3, S, S); patches as preprocess.pixels.normalize_pixels does."""
        if self.cut:
            place = pixels[..., -8:].contiguous().view(torch.int16).float()
            return torch.cat([(pixels[..., :-8].float() - self.mean) / self.std, place], dim=-1)
        return ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)


class TrainingModel(nn.Module):
    """A dual encoder whose `forward` returns all that a loss needs, so that DDP and FSDP2 can wrap it."""

    def __init__(self, model: DualEncoder, prep: Prep, config: RunConfig):
        super().__init__()
        self.model, self.bf16, self.has_bias = model, uses_bf16(config, device_of(config)), config.loss == "siglip"
        self.normalize = Normalize(prep)

    def forward(self, pixels: Tensor, ids: Tensor) -> Outputs:
        """uint8 (B, S, S, 3) and int64 (B, T) → Outputs, float32."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.bf16):
            z_image, z_text = self.model(self.normalize(pixels), ids)
        out = z_image.float(), z_text.float(), self.model.logit_scale.exp()
        if not self.has_bias:
            return out
        assert self.model.logit_bias is not None
        return *out, self.model.logit_bias * 1


@dataclass
class Objective:
    """The loss of a run over one batch; with several processes, over the batch that they share."""

    config: RunConfig
    teacher: Space | None = None

    def __call__(self, out: Outputs, group: Tensor, teacher_z: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return this process's part of the loss, a scalar, from the outputs for its pairs.

        group: int64 (B,), equal numbers for equal captions. teacher_z: the teacher's (z_image, z_text) of the same pairs.
        """
        z_image, z_text, scale, *bias = out
        rows = slice(0, len(z_image))
        if world_size() > 1:
            start = rank() * len(z_image)
            rows = slice(start, start + len(z_image))
            z_image, z_text = gather_with_grad(z_image), gather_with_grad(z_text)
            group = gather(group)
            teacher_z = teacher_z and (gather(teacher_z[0]), gather(teacher_z[1]))
        same = group[:, None] == group
        loss = LOSSES[self.config.loss](z_image, z_text, scale, *bias, same=same, rows=rows)
        if self.teacher is not None and teacher_z is not None:
            distilled = distil_loss(z_image, z_text, *teacher_z, scale, self.teacher.logit_scale, rows)
            loss = loss + self.config.teacher_weight * distilled
        return loss

    def encode_with_teacher(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Return the teacher's z of a batch's pictures and captions, (B, E') each; None where there is no teacher."""
        if self.teacher is None:
            return None
        size, pixels = self.teacher.config.prep.size, batch.pixels.cpu().numpy()
        if pixels.shape[1] != size:
            pixels = np.stack([np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC)) for p in pixels])
        z_image, z_text = self.teacher.pixels(pixels), self.teacher.text(batch.captions)
        return torch.from_numpy(z_image).to(batch.ids.device), torch.from_numpy(z_text).to(batch.ids.device)


def backward(model: nn.Module, batch: Batch, objective: Objective, chunk: int = 0, weight: float = 1.0) -> Tensor:
    """Add the gradients of weight · loss to a TrainingModel's weights, and return the loss.

    With a chunk size, only so many pairs are in memory at a time: all are encoded without gradients, the loss gives the
    gradient of every z, and each chunk is encoded again to carry its part into the weights. The sum is the whole batch's
    gradient. Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".
    """
    teacher_z = objective.encode_with_teacher(batch)
    chunks = list(split(batch, chunk))
    if len(chunks) == 1:
        loss = objective(model(batch.pixels, batch.ids), batch.group, teacher_z)
        (weight * loss).backward()
        average_scalar_gradients(model)
        return loss.detach()
    with torch.no_grad():
        outputs = [model(part.pixels, part.ids) for part in chunks]
    z = [torch.cat([out[i] for out in outputs]).requires_grad_() for i in (0, 1)]
    leaves = [*z, *(scalar.clone().requires_grad_() for scalar in outputs[0][2:])]
    loss = objective(tuple(leaves), batch.group, teacher_z)
    (weight * loss).backward()
    start = 0
    for part in chunks:
        last = start + len(part) == len(batch)
        with contextlib.nullcontext() if last else without_sync(model):
            out = model(part.pixels, part.ids)
            grads = [_grad(leaf)[start : start + len(part)] for leaf in z]
            grads += [_grad(leaf) if last else torch.zeros_like(leaf) for leaf in leaves[2:]]
            learned = [(o, g) for o, g in zip(out, grads) if o.requires_grad]
            torch.autograd.backward([o for o, _ in learned], [g for _, g in learned])
        start += len(part)
    average_scalar_gradients(model)
    return loss.detach()


def _grad(leaf: Tensor) -> Tensor:
    """Return a leaf's gradient."""
    assert leaf.grad is not None  # every output enters the loss
    return leaf.grad
