"""A run that trains a native model: words, pictures and sounds in one stream."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..core.errors import ConfigError, error_summary
from ..core.machine import usable_cpus
from ..core.native_config import CHANNELS, NativeConfig
from ..core.paths import expanded
from ..generate.native import Native, export, small
from ..models.generate.native import NativeBatch, NativeTransformer, native_losses
from ..preprocess.stream import PictureValues, SoundValues, StreamWords
from ..spaces.checkpoints.tensors import dequantize
from .adapters import choose_trainable
from .config import RunConfig, Source
from .data import Mixture
from .distributed import device_of, mean_count, uses_bf16
from .documents import DocumentLoader, open_documents
from .drawing import random_times
from .loop import Trainer
from .runs import Run, building

VAL_BATCHES = 4
"""Batches that the validation losses are the means of."""
FLOW_WEIGHT = 5.0
"""Weight of the loss of what is drawn; that of words has 1. Zhou et al. 2024, "Transfusion", §3.2."""


class NativeLoss(nn.Module):
    """A native model whose `forward` returns the losses, so that DDP can wrap it."""

    def __init__(self, model: NativeTransformer, bf16: bool):
        super().__init__()
        self.model, self.bf16 = model, bf16

    def forward(self, batch: NativeBatch, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """See `native_losses`."""
        return native_losses(self.model, batch, noise, t, self.bf16)


class NativeRun(Run[NativeBatch, NativeConfig]):
    """Everything that the run config of a native model names, opened."""

    samples = "documents"
    model: NativeTransformer

    def __init__(self, config: RunConfig):
        super().__init__(config)
        self.words = open_words(config)
        lm = self.words.c.lm
        lm = replace(lm, context=min(lm.context, config.row or lm.context))  # places beyond a row are never learnt
        self.native_config = replace(self.words.c, name=config.name, lm=lm)
        self.device = device_of(config)
        with building("[native]"):
            try_out(self.native_config, self.words.tokenizer)
            self.model = NativeTransformer(self.native_config).to(self.device).train()
        choose_trainable(self.model, config)
        self.training_model: nn.Module = NativeLoss(self.model, uses_bf16(config, self.device))
        if self.world > 1:  # a batch may have no sound, or no picture
            self.training_model = DistributedDataParallel(self.training_model, find_unused_parameters=True)
        self.loader = self._open_loader(config.train, config.seed, self.rank, self.world)
        self.val: list[NativeBatch] = []
        if config.val and self.rank == 0:
            self.val = list(islice(self._open_loader(config.val, 0, 0, 1), VAL_BATCHES))
        self.parts = {"words": 0.0, "drawn": 0.0}

    def _open_loader(self, sources: tuple[Source, ...], seed: int, rank: int, world: int) -> DocumentLoader:
        mixture = Mixture(sources, open_documents, seed, rank, world)
        row = self.config.row or self.native_config.lm.context
        return DocumentLoader(mixture, self.words, self.batch_per_process, row, self.config.threads or usable_cpus())

    def backward(self, batch: NativeBatch, weight: float = 1.0) -> Tensor:
        """Add the gradients of weight · loss to the weights, and return the loss."""
        rng = np.random.default_rng([self.config.seed, self.rank, self.loader.position.drawn, 2])
        counts = [max(1.0, mean_count(count)) for count in batch.counts(self.native_config)]
        words, drawn = (total / count for total, count in zip(self._losses(self.training_model, batch, rng), counts))
        loss = words + FLOW_WEIGHT * drawn
        (weight * loss).backward()
        self.parts = {"words": round(words.item(), 4), "drawn": round(drawn.item(), 4)}
        return loss.detach()

    def _losses(self, model: nn.Module, batch: NativeBatch, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return the summed losses of a batch, with times and noise drawn from `rng`."""
        stream = batch.stream.to(self.device)
        noise = torch.from_numpy(rng.standard_normal(tuple(stream.values.shape), np.float32)).to(self.device)
        t = random_times(int(stream.blocks.max()) + 1, rng).to(self.device)[stream.blocks]
        there = NativeBatch(stream, batch.targets.to(self.device), batch.drawn.to(self.device))
        losses: tuple[Tensor, Tensor] = model(there, noise, t)
        return losses

    def step_metrics(self) -> dict[str, float]:
        """Return the two parts of the loss."""
        return self.parts

    @torch.no_grad()
    def evaluate(self, trainer: Trainer[NativeBatch]) -> dict[str, float]:
        """Return the losses on the validation documents, always of the same noise; empty where there are none."""
        if not self.val:
            return {}
        model = cast(NativeLoss, trainer.averaged)
        totals = [[x.item() for x in self._losses(model, batch, np.random.default_rng(i))] for i, batch in enumerate(self.val)]
        counts = [batch.counts(self.native_config) for batch in self.val]
        words, drawn = (np.sum(totals, axis=0) / np.sum(counts, axis=0).clip(min=1)).tolist()
        return {"loss": round(words + FLOW_WEIGHT * drawn, 4), "words": round(words, 4), "drawn": round(drawn, 4)}

    def export(self, trainer: Trainer[NativeBatch], card: dict[str, Any]) -> NativeConfig | None:
        """Write OUT/native, with what was measured in its card; None on helper processes."""
        model = cast(NativeLoss, trainer.averaged).model
        model.load_state_dict(dequantize(small(model.state_dict())))  # as it is written
        validation = self.evaluate(trainer)
        if self.rank:
            return None
        model = model.cpu().eval()
        config = replace(self.native_config, card=card | {"validation": validation})
        return export(model, self.words.tokenizer, config, Path(self.config.out) / "native")


def try_out(c: NativeConfig, tokenizer: Tokenizer) -> None:
    """Read a picture and a sound with a model of these settings, so that a wrong one fails now and not hours later."""
    picture = PictureValues(np.zeros((CHANNELS, c.size, c.size), np.float32))
    sound = SoundValues(np.zeros((c.audio.mels, c.audio.frames), np.float32))
    native = Native(NativeTransformer(c), StreamWords(tokenizer, c))
    native.read([picture])
    native.read([sound])


def open_words(config: RunConfig) -> StreamWords:
    """Return the tokenizer of a run, and its model's settings for it. Raises ConfigError where it lacks a mark."""
    file = expanded(config.tokenizer)
    file = file / "tokenizer.json" if file.is_dir() else file
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exceptions
        raise ConfigError(
            f"{file} cannot be read as a tokenizer ({error_summary(error)}); train one as recipes/native does: tokenizer = …"
        ) from None
    lm = replace(config.native.lm, vocab=tokenizer.get_vocab_size())
    try:
        words = StreamWords(tokenizer, replace(config.native, lm=lm))
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from None
    words.c = replace(words.c, lm=replace(lm, end=(words.end,)))
    return words
