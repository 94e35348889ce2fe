"""The losses of an assistant over a batch of conversations: its answers, or the names of regions of its images."""

import contextlib
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..core.config import Prep
from ..core.errors import ConfigError
from ..models.llava import Llava
from .contrastive import Normalize
from .conversations import IGNORE, ConversationBatch
from .data import split
from .distributed import mean_count, without_sync
from .regions import region_loss


class ConversationLoss(nn.Module):
    """A model whose `forward` returns a summed loss, so that DDP can wrap it."""

    def __init__(self, model: Llava, prep: Prep, blank: int = 0, bf16: bool = False):
        """`blank` is the token id of regions.BLANK."""
        super().__init__()
        self.model, self.blank, self.bf16 = model, blank, bf16
        self.normalize = Normalize(prep)

    @staticmethod
    def count(batch: ConversationBatch) -> int:
        """Return the number of losses that `forward` sums."""
        raise NotImplementedError


class AnswerLoss(ConversationLoss):
    """−log p of every token of the assistant's answers."""

    @staticmethod
    def count(batch: ConversationBatch) -> int:
        """Return the number of answer tokens."""
        return int((batch.targets[:, 1:] != IGNORE).sum())

    def forward(self, batch: ConversationBatch) -> Tensor:
        """Return the sum over answer tokens, a scalar."""
        with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=self.bf16):
            hidden = self.model(batch.ids[:, :-1], self._image_tokens(batch.pixels).flatten(0, 1))  # (B, N − 1, D)
            learned = batch.targets[:, 1:] != IGNORE
            logits = self.model.lm.logits(hidden[learned])  # only of the tokens that are learned: (answers, V)
        return cross_entropy(logits.float(), batch.targets[:, 1:][learned], reduction="sum")

    def _image_tokens(self, pixels: Tensor) -> Tensor:
        """uint8 (M, S, S, 3) → the tokens of all views (M, N, D)."""
        x = self.normalize(pixels)
        return self.model.encode_image(x).tokens if len(x) else x.new_empty(0, 1, self.model.c.lm.width)


class RegionLoss(ConversationLoss):
    """−log p of the words of regions in the first view of each row; the language model does not run."""

    @staticmethod
    def count(batch: ConversationBatch) -> int:
        """Return the number of regions."""
        return sum(len(regions) for views, regions in zip(batch.views, batch.regions) if views)

    def forward(self, batch: ConversationBatch) -> Tensor:
        """Return the sum over regions, a scalar."""
        first_views = [end - views for end, views in zip(accumulate(batch.views), batch.views)]
        rows = [i for i, (views, regions) in enumerate(zip(batch.views, batch.regions)) if views and regions]
        with torch.autocast(batch.pixels.device.type, torch.bfloat16, enabled=self.bf16):
            tokens = self.model.projected(self.normalize(batch.pixels[[first_views[i] for i in rows]]))
        embeddings = self.model.lm.token_embed.weight.detach()
        return region_loss(tokens.float(), [batch.regions[i] for i in rows], embeddings, self.blank) * self.count(batch)


LOSSES: dict[str, type[ConversationLoss]] = {"assistant": AnswerLoss, "regions": RegionLoss}
"""RunConfig.task → loss."""


def conversation_backward(
    model: nn.Module, loss_type: type[ConversationLoss], batch: ConversationBatch, chunk: int, weight: float
) -> Tensor:
    """Add the gradients of weight · the batch's mean loss, a chunk of conversations at a time, and return that mean.

    `model` is of `loss_type`, or wraps one. The mean is over what all processes learn. Raises ConfigError where the batch has nothing to learn.
    """
    chunks = [part for part in split(batch, chunk) if loss_type.count(part)]
    count = mean_count(loss_type.count(batch))
    if not chunks:
        raise ConfigError('a batch of conversations holds nothing to learn; give answers, or "regions" for task = "regions"')
    total = torch.zeros((), device=batch.ids.device)
    for part in chunks:
        with contextlib.nullcontext() if part is chunks[-1] else without_sync(model):
            loss = model(part)
            (loss * (weight / count)).backward()
        total = total + loss.detach()
    return total / count
