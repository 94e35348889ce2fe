"""Ways to attend to what was read, each as the algorithm that makes it cheap. Queries, keys and values are float32 (H, N, d).

All but the last two compute a softmax over some of the tokens before: `mask` says which. The last two keep a state of fixed size in
place of the tokens, as linear attention and state-space models do.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.lm import SINKS, visible

FULL, WINDOW, BLOCKS, LINEAR, DECAY = KINDS = ("full", "window", "blocks", "linear", "decay")
DECAYED = 0.97
"""What is left of the state after a token, of DECAY."""
PART = 64
"""Tokens that the algorithms with a state read together."""


def mask(kind: str, n: int, size: int) -> Tensor:
    """Return which of n tokens each sees: bool (N, N). Those with a state see all before, through it.

    window: the latest `size` and the first SINKS (Xiao et al. 2023); blocks: its own block of `size`, and the last of each earlier one
    (Child et al. 2019, "Sparse Transformers", §4.2, strided).
    """
    before = visible(n, n, 0, torch.device("cpu"))
    if kind == WINDOW:
        return visible(n, n, size, torch.device("cpu"), SINKS)
    if kind == BLOCKS:
        i = torch.arange(n)
        own = i[:, None] // size == i[None] // size
        return before & (own | (i[None] % size == size - 1))
    return before


def attend(kind: str, q: Tensor, k: Tensor, v: Tensor, size: int) -> Tensor:
    """Return what each token attends to, by the algorithm of a kind: (H, N, d)."""
    if kind == FULL:
        return F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    if kind in (LINEAR, DECAY):
        return _with_state(q, k, v, DECAYED if kind == DECAY else 1.0)
    return torch.cat(list(_by_blocks(kind, q, k, v, size)), dim=1)


def _by_blocks(kind: str, q: Tensor, k: Tensor, v: Tensor, size: int) -> Iterator[Tensor]:
    """Yield what the tokens of each block attend to; only the keys that one of them sees are touched."""
    n = q.shape[1]
    for start in range(0, n, size):
        stop = min(start + size, n)
        if kind == WINDOW:
            near = torch.arange(max(0, start - size + 1), stop)
            sinks = torch.arange(min(SINKS, int(near[0])))
            keys = torch.cat([sinks, near])
        else:
            keys = torch.cat([torch.arange(size - 1, max(start, size - 1), size), torch.arange(start, stop)])
        rows = torch.arange(start, stop)[:, None]
        seen = keys <= rows
        if kind == WINDOW:
            seen &= (keys > rows - size) | (keys < SINKS)
        yield F.scaled_dot_product_attention(q[:, start:stop], k[:, keys], v[:, keys], attn_mask=seen)


def _with_state(q: Tensor, k: Tensor, v: Tensor, decay: float) -> Tensor:
    """Return φ(q)·S / φ(q)·s, where S is the sum of φ(k)ᵀv so far, s that of φ(k), and both fade by `decay` with each token.

    φ(x) = elu(x) + 1. Katharopoulos et al. 2020, "Transformers are RNNs", §3.3; with decay Sun et al. 2023, "RetNet", §2.2.
    """
    q, k = F.elu(q) + 1, F.elu(k) + 1
    v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)  # the last column sums φ(k)
    state, out = q.new_zeros(q.shape[0], q.shape[2], v.shape[2]), []
    for a, b, c in zip(*(x.split(PART, dim=1) for x in (q, k, v))):
        i = torch.arange(a.shape[1])
        fade = torch.where(i[:, None] >= i, decay ** (i[:, None] - i).clamp(min=0).float(), 0.0)
        ages = decay ** (i + 1).float()[:, None]
        out.append((a @ b.transpose(1, 2) * fade) @ c + ages * (a @ state))
        left = decay ** (a.shape[1] - 1 - i).float()[:, None]
        state = decay ** a.shape[1] * state + (left * b).transpose(1, 2) @ c
    mixed = torch.cat(out, dim=1)
    return mixed[..., :-1] / mixed[..., -1:].clamp(min=1e-6)


def pairs(kind: str, n: int, size: int) -> int:
    """Return how many pairs of a token and one that it sees are computed; of those with a state, one for each token."""
    return n if kind in (LINEAR, DECAY) else int(mask(kind, n, size).sum())


def kept(kind: str, n: int, size: int) -> int:
    """Return of how many of n tokens the keys and values must be kept for the next one; of those with a state, 0."""
    if kind == WINDOW:
        return min(n, SINKS + size - 1)
    if kind == BLOCKS:
        return n // size + n % size
    return 0 if kind in (LINEAR, DECAY) else n
