"""One transformer over one stream of words, pictures and sounds, which it reads and writes.

Words are predicted one after another; the patches of a picture, or the chunks of a sound, are drawn together by rectified flow, and
see each other in both directions. Zhou et al. 2024, "Transfusion", §3; the clean patches are predicted, as by Li and He 2025, "JiT".
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.native_config import KINDS, PATCH, PICTURE, NativeConfig
from ..layers import Tap
from ..lm import Cache, Llama, LlamaBlock, RMSNorm, rotary
from ..losses import NEAREST_TIME
from .flow import TimeEmbedding

IGNORE = -100
"""The target of tokens after which nothing is learnt."""


@dataclass
class Stream:
    """Tokens of documents, in B rows that are padded at the end to N."""

    ids: Tensor
    """int64 (B, N): words; 0 where a patch or a chunk stands."""
    kinds: Tensor
    """int64 (B, N): WORD, PATCH or CHUNK."""
    values: Tensor
    """float32 (B, N, W): clean patches and chunks, −1 to 1; 0 elsewhere."""
    blocks: Tensor
    """int64 (B, N): tokens of the same number, which is not 0, see each other in both directions."""
    documents: Tensor
    """int64 (B, N): only tokens of the same number see each other; several documents stand in a row."""
    positions: Tensor
    """int64 (3, B, N): time, row and column."""

    def to(self, device: torch.device) -> "Stream":
        """Return the stream on a device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @property
    def mask(self) -> Tensor:
        """Which tokens each sees, those before it and those of its block, of its own document: bool (B, 1, N, N)."""
        n = self.ids.shape[1]
        before = torch.ones(n, n, dtype=torch.bool, device=self.ids.device).tril()
        together = (self.blocks[:, :, None] == self.blocks[:, None]) & (self.blocks > 0)[:, :, None]
        same = self.documents[:, :, None] == self.documents[:, None]
        return ((before | together) & same)[:, None]


class VisionEncoder(nn.Module):
    """Pictures in a stream, each by itself, through blocks that see the whole picture, and a projector (Liu et al. 2023, "LLaVA-1.5", §3)."""

    def __init__(self, c: NativeConfig):
        super().__init__()
        self.c, self.patches, width = c.lm, c.lengths[PICTURE], c.lm.width
        self.blocks = nn.ModuleList(LlamaBlock(c.lm) for _ in range(c.encoder))
        self.norm = RMSNorm(width, c.lm.eps)
        self.projector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the embeddings (B, N, D) with those of pictures, which are whole, encoded."""
        at = stream.kinds == PATCH
        pictures = x[at].view(-1, self.patches, x.shape[-1])
        positions = stream.positions[:, at].view(3, -1, 1, self.patches)
        whole = x.new_ones(self.patches, self.patches, dtype=torch.bool)
        angles = rotary(positions, self.c)
        for i, block in enumerate(self.blocks):
            pictures = block(pictures, angles, None, i, mask=whole)
        return x.masked_scatter(at[..., None], self.projector(self.norm(pictures)).to(x.dtype))


class NativeTransformer(nn.Module):
    """A stream, of which some patches or chunks are noisy → the next words, and the clean patches and chunks."""

    used: Tensor
    """bool (kinds, W): which numbers a token of a kind has."""

    def __init__(self, c: NativeConfig):
        super().__init__()
        self.c, width = c, c.lm.width
        self.lm = Llama(c.lm)
        self.lm.token_embed.weight.data *= width**-0.5  # tied to the head: logits begin near 0
        self.embed = nn.ModuleDict({name: nn.Linear(numbers, width) for name, numbers in c.widths.items()})
        self.time_embed = TimeEmbedding(width)
        self.encoder = VisionEncoder(c) if c.encoder else None
        used = torch.zeros(len(KINDS) + 1, max(c.widths.values()), dtype=torch.bool)
        for name, numbers in c.widths.items():
            used[KINDS[name], :numbers] = True
        self.register_buffer("used", used, persistent=False)
        self.to_values = nn.ModuleDict({name: nn.Linear(width, numbers) for name, numbers in c.widths.items()})
        for layer in self.to_values.values():  # at first everything is grey, and silent
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, stream: Stream, values: Tensor, t: Tensor, cache: Cache | None = None, tap: Tap | None = None) -> Tensor:
        """Run a stream with `values` in place of its own, after what is in the cache → hidden states (B, N, D).

        values: float32 (B, N, W), (1 − t) · noise + t · clean; t: float32 (B, N), 1 where nothing is noisy.
        """
        x = self.lm.embed(stream.ids)
        for name, kind in KINDS.items():
            at = (stream.kinds == kind)[..., None]
            x = torch.where(at, self.embed[name](values[..., : self.c.widths[name]]) + self.time_embed(t.flatten()).view_as(x), x)
        if self.encoder is not None:
            x = self.encoder(x, stream)
        mask, before = stream.mask, cache.length if cache is not None else 0
        if before:
            mask = torch.cat([mask.new_ones(*mask.shape[:3], before), mask], dim=-1)
        return self.lm(x, cache, tap, stream.positions[:, :, None], mask=mask)

    def clean(self, hidden: Tensor, kinds: Tensor) -> Tensor:
        """Return predicted clean patches and chunks; 0 for words: (B, N, D) → (B, N, W)."""
        widest = max(self.c.widths.values())
        found = hidden.new_zeros(*hidden.shape[:-1], widest)
        for name, kind in KINDS.items():
            predicted = F.pad(self.to_values[name](hidden), (0, widest - self.c.widths[name]))
            found = torch.where((kinds == kind)[..., None], predicted, found)
        return found


@dataclass
class NativeBatch:
    """Documents to be learnt."""

    stream: Stream
    targets: Tensor
    """int64 (B, N): the word after each token; IGNORE where it is not learnt."""
    drawn: Tensor
    """bool (B, N): patches and chunks that are learnt to be drawn."""
    names: tuple[str, ...] = ()
    """Of the documents."""

    def counts(self, c: NativeConfig) -> tuple[int, int]:
        """Return how many words and how many numbers are learnt."""
        widths = torch.tensor([0, *(c.widths[name] for name in sorted(KINDS, key=KINDS.__getitem__))])
        drawn = self.stream.kinds[self.drawn].cpu()
        return int((self.targets != IGNORE).sum()), int(widths[drawn].sum())


def native_losses(
    model: NativeTransformer, batch: NativeBatch, noise: Tensor, t: Tensor, bf16: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the summed loss of words, and that of drawn numbers: two scalars.

    noise: float32 (B, N, W); t: float32 (B, N), the same for all tokens of a block, used where `drawn`.
    """
    stream, drawn = batch.stream, batch.drawn[..., None]
    t = torch.where(batch.drawn, t, torch.ones_like(t))
    noisy = (1 - t)[..., None] * noise + t[..., None] * stream.values
    with torch.autocast(noise.device.type, torch.bfloat16, enabled=bf16):
        hidden = model(stream, noisy, t)
        logits, clean = model.lm.logits(hidden), model.clean(hidden, stream.kinds)
    words = F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=IGNORE, reduction="sum")
    wrong = (clean.float() - stream.values) / (1 - t.clamp(max=NEAREST_TIME))[..., None]
    numbers = (drawn & (model.used[stream.kinds])).float()
    return words, (wrong.square() * numbers).sum()
