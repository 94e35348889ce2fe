"""The contrastive task: a batch of pairs -> a loss, and its gradients in the weights."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

from ..core.config import Prep
from ..models.clip import DualEncoder
from ..models.losses import clip_loss, distil_loss, siglip_loss
from ..spaces.space import Space
from .config import Card
from .data import Batch

Outputs = tuple[Tensor, ...]
"""z_image (B, E), z_text (B, E), scale, and SigLIP's bias where there is one."""


class Normalize(nn.Module):
    """Pictures as they are read -> as a tower takes them."""

    def __init__(self, prep: Prep):
        super().__init__()
        self.register_buffer("mean", torch.tensor(prep.mean) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(prep.std) * 255, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) → float32 (B, 3, S, S)."""
        return ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)


class Trainee(nn.Module):
    """A model behind one `forward` that gives all a loss needs, so that DDP and FSDP2 can stand around it."""

    def __init__(self, model: DualEncoder, prep: Prep, card: Card):
        super().__init__()
        self.model, self.bf16, self.biased = model, card.precision == "bf16", card.loss == "siglip"
        self.normalized = Normalize(prep)

    def forward(self, pixels: Tensor, ids: Tensor) -> Outputs:
        """uint8 (B, S, S, 3) and int64 (B, T) → Outputs, fp32."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.bf16):
            z_image, z_text = self.model(self.normalized(pixels), ids)
        bias = (self.model.logit_bias * 1,) if self.biased else ()
        return z_image.float(), z_text.float(), self.model.logit_scale.exp(), *bias


@dataclass
class Objective:
    """The loss of a card over one batch, or over the whole batch that many machines share."""

    card: Card
    teacher: Space | None = None

    def __call__(self, out: Outputs, group: Tensor, taught: tuple[Tensor, Tensor] | None) -> Tensor:
        """Outputs of this machine's pairs → this machine's part of the loss, a scalar.

        group: int64 (B,), equal numbers for equal captions. taught: the teacher's z of the same pairs.
        """
        z_image, z_text, scale, *bias = out
        rows = slice(0, len(z_image))
        if world_size() > 1:
            start = rank() * len(z_image)
            rows = slice(start, start + len(z_image))
            z_image, z_text = torch.cat(all_gather(z_image)), torch.cat(all_gather(z_text))
            group = gathered(group)
            taught = taught and tuple(gathered(t) for t in taught)
        same = group[:, None] == group
        loss = LOSSES[self.card.loss](z_image, z_text, scale, *bias, same=same, rows=rows)
        if taught is not None:
            t_scale = self.teacher.config.logit_scale
            loss = loss + self.card.teacher_weight * distil_loss(z_image, z_text, *taught, scale, t_scale, rows)
        return loss

    def lesson(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """What the teacher makes of a batch: its z of the pictures and of the captions."""
        if self.teacher is None:
            return None
        size, pixels = self.teacher.config.prep.size, batch.pixels.cpu().numpy()
        if pixels.shape[1] != size:
            pixels = np.stack([np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC)) for p in pixels])
        z = self.teacher.pixels(pixels), self.teacher.text(batch.captions)
        return torch.from_numpy(z[0]).to(batch.ids.device), torch.from_numpy(z[1]).to(batch.ids.device)


LOSSES: dict[str, Callable[..., Tensor]] = {"clip": clip_loss, "siglip": siglip_loss}


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


def gathered_objects(mine: Any) -> list[Any]:
    """Every machine's small object, in order of rank."""
    found = [mine] * world_size()
    if world_size() > 1:
        dist.all_gather_object(found, mine)
    return found


def gathered(x: Tensor) -> Tensor:
    """Every machine's x, without gradient: (B, …) → (world · B, …)."""
    parts = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def backward(trainee: nn.Module, batch: Batch, objective: Objective, chunk: int = 0, share: float = 1.0) -> Tensor:
    """Add the gradients of share · loss to the weights; return the loss.

    With a chunk only so many pairs are in memory at a time: all are encoded without gradients, the loss gives the
    gradient of every z, and each chunk is encoded again to carry its part into the weights. The sum is the whole
    batch's gradient. Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".
    """
    taught = objective.lesson(batch)
    parts = list(chunks(batch, chunk))
    if len(parts) == 1:
        loss = objective(trainee(batch.pixels, batch.ids), batch.group, taught)
        (share * loss).backward()
        mean_of_scalars(trainee)
        return loss.detach()
    with torch.no_grad():
        outs = [trainee(part.pixels, part.ids) for part in parts]
    z = [torch.cat([out[i] for out in outs]).requires_grad_() for i in (0, 1)]
    leaves = [*z, *(scalar.clone().requires_grad_() for scalar in outs[0][2:])]
    loss = objective(tuple(leaves), batch.group, taught)
    (share * loss).backward()
    start = 0
    for part in parts:
        last = start + len(part) == len(batch)
        with contextlib.nullcontext() if last else without_sync(trainee):
            out = trainee(part.pixels, part.ids)
            grads = [leaf.grad[start : start + len(part)] for leaf in z]
            grads += [leaf.grad if last else torch.zeros_like(leaf) for leaf in leaves[2:]]
            carried = [(o, g) for o, g in zip(out, grads) if o.requires_grad]
            torch.autograd.backward(*map(list, zip(*carried)))
        start += len(part)
    mean_of_scalars(trainee)
    return loss.detach()


def mean_of_scalars(trainee: nn.Module) -> None:
    """FSDP2 takes no scalars: the temperature's gradient is averaged over machines here."""
    if isinstance(trainee, FSDPModule):
        for p in scalars_of(trainee):
            if p.grad is not None:
                dist.all_reduce(p.grad)
                p.grad /= world_size()


def scalars_of(trainee: nn.Module) -> set[nn.Parameter]:
    return {p for p in trainee.parameters() if p.ndim == 0}


def chunks(batch: Batch, size: int) -> Iterator[Batch]:
    for start in range(0, len(batch), size or len(batch)):
        yield batch.rows(start, min(start + (size or len(batch)), len(batch)))


@contextlib.contextmanager
def without_sync(trainee: nn.Module) -> Iterator[None]:
    """Gradients stay on this machine until the last chunk."""
    if isinstance(trainee, DistributedDataParallel):
        with trainee.no_sync():
            yield
    elif isinstance(trainee, FSDPModule):
        trainee.set_requires_gradient_sync(False)
        yield
        trainee.set_requires_gradient_sync(True)
    else:
        yield
