"""What a batch of conversations teaches an assistant: to answer, or first to name the regions of a picture."""

import contextlib
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..core.config import Prep
from ..core.errors import CardError
from ..models.llava import Llava
from .conversations import IGNORE, TalkBatch
from .regions import region_loss
from .tasks import Normalize, chunks, without_sync


class TalkLoss(nn.Module):
    """A model behind one `forward` that gives a summed loss, so that DDP can stand around it."""

    def __init__(self, model: Llava, prep: Prep, blank: int = 0, bf16: bool = False):
        super().__init__()
        self.model, self.blank, self.bf16 = model, blank, bf16
        self.normalized = Normalize(prep)

    def see(self, pixels: Tensor) -> Tensor:
        """uint8 (M, S, S, 3) → the tokens of all views (M, N, D)."""
        x = self.normalized(pixels)
        return self.model.encode_image(x).tokens if len(x) else x.new_empty(0, 1, self.model.c.lm.width)

    @staticmethod
    def count(batch: TalkBatch) -> int:
        """How many losses `forward` sums."""
        raise NotImplementedError


class AnswerLoss(TalkLoss):
    """−log p of every token that the assistant says."""

    @staticmethod
    def count(batch: TalkBatch) -> int:
        return int((batch.targets[:, 1:] != IGNORE).sum())

    def forward(self, batch: TalkBatch) -> Tensor:
        """→ the sum over answer tokens, a scalar."""
        with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=self.bf16):
            hidden = self.model(batch.ids[:, :-1], self.see(batch.pixels).flatten(0, 1))  # (B, N − 1, D)
            spoken = batch.targets[:, 1:] != IGNORE
            logits = self.model.lm.logits(hidden[spoken])  # only where something is learned: (answers, V)
        return cross_entropy(logits.float(), batch.targets[:, 1:][spoken], reduction="sum")


class RegionLoss(TalkLoss):
    """How badly the first view of each picture names what stands in it; the language model does not run."""

    @staticmethod
    def count(batch: TalkBatch) -> int:
        return sum(len(regions) for views, regions in zip(batch.views, batch.regions) if views)

    def forward(self, batch: TalkBatch) -> Tensor:
        """→ the sum over regions, a scalar."""
        firsts = [start - views for start, views in zip(accumulate(batch.views), batch.views)]
        rows = [i for i, (views, regions) in enumerate(zip(batch.views, batch.regions)) if views and regions]
        with torch.autocast(batch.pixels.device.type, torch.bfloat16, enabled=self.bf16):
            seen = self.model.projected(self.normalized(batch.pixels[[firsts[i] for i in rows]]))
        words = self.model.lm.token_embed.weight.detach()
        return region_loss(seen.float(), [batch.regions[i] for i in rows], words, self.blank) * self.count(batch)


LESSONS: dict[str, type[TalkLoss]] = {"assistant": AnswerLoss, "regions": RegionLoss}


def talk_backward(trainee: nn.Module, lesson: type[TalkLoss], batch: TalkBatch, chunk: int, share: float) -> Tensor:
    """Add the gradients of share · the mean of this batch's losses, a chunk of conversations at a time; give that mean.

    Raises CardError where the batch has nothing to learn from.
    """
    count, total = lesson.count(batch), 0.0
    parts = [part for part in chunks(batch, chunk) if lesson.count(part)]
    if not parts:
        raise CardError('a batch of conversations holds nothing to learn; give answers, or "regions" for task = "regions"')
    for part in parts:
        with contextlib.nullcontext() if part is parts[-1] else without_sync(trainee):
            loss = trainee(part)
            (loss * (share / count)).backward()
        total = total + loss.detach()
    return total / count
