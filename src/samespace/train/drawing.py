"""The task of drawing: pictures and captions → conditions, noisy pictures, and the loss of a generator."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..core.errors import ConfigError, UnreadableMedia
from ..core.files import write_atomically
from ..generate.sampler import from_rgba
from ..models.losses import flow_loss
from ..models.text import TextTransformer
from ..preprocess.pixels import square
from ..spaces.checkpoints.checkpoint import Checkpoint
from ..spaces.space import Space
from .config import Source
from .data import PREFETCH, read_item
from .sources import Item, open_source

TIME_MEAN, TIME_STD = -0.8, 0.8
"""Times are σ(normal) of this mean and deviation. Li and He 2025, "JiT", §4.1."""
UNGUIDED = 0.1
"""Share of pictures that are drawn from nothing, for guidance. Ho and Salimans 2022, §3.2."""
FROM_WORDS, FROM_PICTURE = 0.5, 0.3
"""Shares of z that are the caption's and the picture's; the others lie on the arc between."""
WORDS_READ = {"words": 0.8, "picture": 0.3, "between": 0.6}
"""How often the caption's states are read, where z is of words, of the picture, or between."""
MOST_NOISE = 0.6
"""Largest length of the noise that is added to z, whose length is 1."""
CACHE_BYTES = 2**29
"""Memory of the captions that are remembered."""


@dataclass
class Conditions:
    """What pictures are drawn from; row i of each field belongs to picture i."""

    z: Tensor
    """float32 (B, E), unit length; zero for nothing."""
    words: Tensor
    """float32 (B, T, W), states of the text tower."""
    present: Tensor
    """float32 (B, T), 1 where a state is of a word."""


class Captions:
    """A space's words as conditions, remembered: captions come again in every epoch."""

    def __init__(self, space: Checkpoint, most: int):
        """most: tokens of a caption that are read."""
        self.space, self.most = space, most
        self.read: LRUCache[str, tuple[Tensor, Tensor]] = LRUCache(
            CACHE_BYTES, getsizeof=lambda read: sum(x.nbytes for x in read)
        )

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Conditions:
        """Return z and the states of texts, padded to the longest."""
        states_of = {text: self.read[text] for text in texts if text in self.read}
        new = [text for text in dict.fromkeys(texts) if text not in states_of]
        if new:
            ids, mask = self.space.words.encode(new)
            text = self.space.model.text
            assert isinstance(text, TextTransformer)
            pooled, states = text.encode(torch.from_numpy(ids))
            z, states = nn.functional.normalize(text.project(pooled)[:, : self.space.config.dim], dim=-1), states.half()
            for i, caption in enumerate(new):
                self.read[caption] = states_of[caption] = z[i].clone(), states[i, : min(self.most, int(mask[i].sum()))].clone()
        rows = [states_of[text] for text in texts]
        words = nn.utils.rnn.pad_sequence([states.float() for _, states in rows], batch_first=True)
        lengths = torch.tensor([len(states) for _, states in rows])
        present = (torch.arange(words.shape[1]) < lengths[:, None]).float()
        return Conditions(torch.stack([z for z, _ in rows]), words, present)


def mixed(captions: Conditions, z_picture: Tensor, rng: np.random.Generator) -> Conditions:
    """Return the conditions that a batch is trained on: from words, from the picture, from between, or from nothing."""
    count = len(z_picture)
    choice, share = rng.random(count), rng.random(count)
    share = np.where(choice < FROM_WORDS, 0.0, np.where(choice < FROM_WORDS + FROM_PICTURE, 1.0, share))  # of the picture
    kinds = np.where(share == 0, "words", np.where(share == 1, "picture", "between"))
    read = rng.random(count) < np.array([WORDS_READ[kind] for kind in kinds])
    guided = torch.from_numpy(rng.random(count) >= UNGUIDED)[:, None]
    part = torch.from_numpy(share).float()[:, None]
    z = nn.functional.normalize((1 - part) * captions.z + part * z_picture, dim=-1)
    noise = torch.from_numpy(rng.standard_normal(z.shape, np.float32)) / z.shape[1] ** 0.5
    length = torch.from_numpy(rng.random((count, 1), np.float32)) * MOST_NOISE
    z = nn.functional.normalize(z + length * noise, dim=-1)
    return Conditions(z * guided, captions.words, captions.present * guided * torch.from_numpy(read)[:, None])


class DrawingLoss(nn.Module):
    """A generator whose `forward` returns the loss, so that DDP can wrap it."""

    def __init__(self, model: nn.Module, bf16: bool):
        super().__init__()
        self.model, self.bf16 = model, bf16

    def forward(self, pixels: Tensor, noise: Tensor, t: Tensor, c: Conditions) -> Tensor:
        """pixels: uint8 (B, S, S, 4); noise: float32 (B, 4, S, S); t: float32 (B,) → scalar."""
        picture = torch.from_numpy(from_rgba(pixels.cpu().numpy())).to(noise.device)
        noisy = (1 - t)[:, None, None, None] * noise + t[:, None, None, None] * picture
        precision = torch.autocast(noise.device.type, torch.bfloat16, enabled=self.bf16)
        with precision, sdpa_kernel(SDPBackend.MATH):  # on a CPU the fused kernel's backward pass is slower
            predicted = self.model(noisy, t, c.z, c.words, c.present)
        return flow_loss(predicted.float(), picture, t)


def random_times(count: int, rng: np.random.Generator) -> Tensor:
    """Return times between 0 and 1, more of them noisy: float32 (count,)."""
    return torch.from_numpy(rng.normal(TIME_MEAN, TIME_STD, count)).float().sigmoid()


def picture_vectors(sources: Sequence[Source], space: Space, file: Path, threads: int) -> dict[str, np.ndarray]:
    """Return z of each picture of sources by its name: float16 (E,). What the file holds of the same space is not computed again.

    Raises ConfigError where no picture can be read.
    """
    found = read_vectors(file, space)
    missing = (item for source in sources for item in open_source(source).in_order() if item.name not in found)

    def prepared(item: Item) -> np.ndarray | None:
        try:
            return square(read_item(item, space.config.prep.resized_side)[0], space.config.prep)
        except UnreadableMedia:
            return None  # the loader skips it, too, and says why

    before = len(found)
    with ThreadPoolExecutor(threads) as pool:
        while window := list(islice(missing, PREFETCH)):
            squares = {item.name: pixels for item, pixels in zip(window, pool.map(prepared, window)) if pixels is not None}
            if squares:
                found |= zip(squares, space.pixels(np.stack(list(squares.values()))).astype(np.float16))
    if not found:
        raise ConfigError("no picture of the sources can be read; check their paths")
    if len(found) > before:
        file.parent.mkdir(parents=True, exist_ok=True)
        columns = {"space": np.array(space.fingerprint), "names": np.array(list(found)), "z": np.stack(list(found.values()))}
        write_atomically(file, lambda out: np.savez(out, **columns))  # type: ignore[arg-type]
    return found


def read_vectors(file: Path, space: Space) -> dict[str, np.ndarray]:
    """Return the vectors in a file, by the names of their pictures; none where they are of another space."""
    if not file.exists():
        return {}
    with np.load(file) as stored:
        return dict(zip(stored["names"].tolist(), stored["z"])) if str(stored["space"]) == space.fingerprint else {}
