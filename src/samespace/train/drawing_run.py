"""A run that trains a generator: pictures and captions, rectified flow, samples at every evaluation."""

from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..core.config import to_json
from ..core.errors import ConfigError
from ..core.files import write_text_atomically
from ..core.generator_config import GeneratorConfig
from ..core.machine import usable_cpus
from ..generate.export import export
from ..generate.files import sheet_on_white
from ..generate.generator import GENERATORS
from ..generate.sampler import Pictures, sample
from ..models.generate.flow import CHANNELS, FlowTransformer
from ..models.text import TextTransformer
from ..spaces import registry
from ..spaces.checkpoints import checkpoint
from ..spaces.sessions import open_graph
from .adapters import choose_trainable
from .augment import CUTOUTS
from .config import RunConfig
from .data import Batch, Loader, Mixture
from .distributed import device_of, multiplies_bf16, uses_bf16
from .drawing import Captions, Conditions, DrawingLoss, mixed, picture_vectors, random_times
from .loop import Trainer
from .runs import Run, building
from .sources import open_source

VAL_BATCHES = 8
"""Batches that the validation loss is the mean of."""
SAMPLES, SAMPLE_STEPS, SAMPLE_GUIDANCE = 64, 25, 3.0
"""Drawings of a sheet, which is made at every evaluation."""


class DrawingRun(Run[Batch, GeneratorConfig]):
    """Everything that the run config of a generator names, opened."""

    samples = "pictures"
    model: FlowTransformer

    def __init__(self, config: RunConfig):
        super().__init__(config)
        folder = registry.find_folder(config.start)
        self.space = registry.load(config.start)
        towers = checkpoint.load(folder)
        if not isinstance(towers.model.text, TextTransformer):
            raise ConfigError(
                f"{config.start} has no text tower of ours, whose words a generator reads; choose a CLIP, SigLIP or the starter"
            )
        self.generator_config = replace(
            config.generator,
            name=config.name,
            dim=self.space.dim,
            word_width=towers.config.text.width,
            space=self.space.fingerprint,
        )
        self.captions = Captions(towers, config.generator.words)
        self.device = device_of(config)
        with building("[generator]"):
            self.model = FlowTransformer(self.generator_config)
            try_out(self.model)
        self.model = self.model.to(self.device).train()
        choose_trainable(self.model, config)
        self.training_model: nn.Module = DrawingLoss(self.model, uses_bf16(config, self.device))
        if self.world > 1:
            self.training_model = DistributedDataParallel(self.training_model)
        self.threads = config.threads or usable_cpus()
        self.prep = replace(self.space.config.prep, size=self.generator_config.size, resize="squash", patch=0, patches=0)
        open_loader = partial(Loader, words=towers.words, prep=self.prep, batch=self.batch_per_process, threads=self.threads)
        self.loader = open_loader(
            Mixture(config.train, open_source, config.seed, self.rank, self.world), view=CUTOUTS[config.augment]
        )
        self.val: list[Batch] = []
        if config.val and self.rank == 0:
            self.val = list(islice(open_loader(Mixture(config.val, open_source, 0), view=CUTOUTS["none"]), VAL_BATCHES))

    @cached_property
    def vectors(self) -> dict[str, np.ndarray]:
        """z of each picture by its name: float16 (E,); computed once for a run's folder."""
        out = Path(self.config.out)
        found = picture_vectors(self.config.train, self.space, out / "vectors.npz", self.threads)
        if self.val:
            found |= picture_vectors(self.config.val, self.space, out / "val_vectors.npz", self.threads)
        return found

    def backward(self, batch: Batch, weight: float = 1.0) -> Tensor:
        """Add the gradients of weight · loss to the weights, and return the loss."""
        rng = np.random.default_rng([self.config.seed, self.rank, self.loader.position.drawn, 2])
        loss = self._loss(self.training_model, batch, rng)
        (weight * loss).backward()
        return loss.detach()

    def _loss(self, model: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Return the loss of a batch, with times, noise and conditions drawn from `rng`."""
        z = torch.from_numpy(np.stack([self.vectors[name] for name in batch.names])).float()
        c = mixed(self.captions(batch.captions), z, rng)
        shape = (len(batch), CHANNELS, self.prep.size, self.prep.size)
        noise = torch.from_numpy(rng.standard_normal(shape, np.float32)).to(self.device)
        c = Conditions(c.z.to(self.device), c.words.to(self.device), c.present.to(self.device))
        loss: Tensor = model(batch.pixels, noise, random_times(len(batch), rng).to(self.device), c)
        return loss

    @torch.no_grad()
    def evaluate(self, trainer: Trainer[Batch]) -> dict[str, float]:
        """Return the loss on the validation pairs, always of the same noise, and draw some of their captions to a sheet."""
        if not self.val:
            return {}
        model = cast(DrawingLoss, trainer.averaged)
        self._draw_sheet(cast(FlowTransformer, model.model), Path(self.config.out) / "samples" / f"{trainer.step:06}.png")
        return self._validation(model)

    @torch.no_grad()
    def _validation(self, model: DrawingLoss) -> dict[str, float]:
        """Return the loss on the validation pairs, always of the same noise; empty where there are none."""
        losses = [self._loss(model, batch, np.random.default_rng(i)).item() for i, batch in enumerate(self.val)]
        return {"loss": round(float(np.mean(losses)), 4)} if losses else {}

    def _draw_sheet(self, model: FlowTransformer, file: Path) -> None:
        """Draw validation captions, side by side, to a file."""
        captions = [caption for batch in self.val for caption in batch.captions][:SAMPLES]
        pictures = draw(model, self.captions(captions), SAMPLE_STEPS, SAMPLE_GUIDANCE, np.random.default_rng(0))
        file.parent.mkdir(exist_ok=True)
        sheet_on_white(pictures, 1).save(file)

    def export(self, trainer: Trainer[Batch], card: dict[str, Any]) -> GeneratorConfig | None:
        """Write OUT/generator, with the loss of what is written in its card; None on helper processes."""
        if self.rank:
            return None
        model = cast(FlowTransformer, cast(DrawingLoss, trainer.averaged).model).cpu().eval()
        folder, self.device = Path(self.config.out) / "generator", torch.device("cpu")
        card = card | {"validation": {}}
        config = export(model, replace(self.generator_config, card=card), folder)
        if self.val:  # of the weights that were written, which are rounded
            measured = self._validation(DrawingLoss(ExportedTransformer(folder), bf16=False))
            config = replace(config, card=card | {"validation": measured})
            write_text_atomically(folder / GENERATORS.file, to_json(config))
        return config


@torch.no_grad()
def try_out(model: FlowTransformer) -> None:
    """Read a picture, so that a wrong setting fails now and not hours later."""
    c = model.c
    model(
        torch.zeros(1, CHANNELS, c.size, c.size),
        torch.zeros(1),
        torch.zeros(1, c.dim),
        torch.zeros(1, 1, c.word_width),
        torch.ones(1, 1),
    )


class ExportedTransformer(nn.Module):
    """A generator's folder, called as the transformer that it was exported from."""

    def __init__(self, folder: Path):
        super().__init__()
        self.session = open_graph(folder / "model.onnx")

    def forward(self, x: Tensor, t: Tensor, z: Tensor, words: Tensor, present: Tensor) -> Tensor:
        """See FlowTransformer.forward."""
        feed = {"x": x.numpy(), "t": t.numpy(), "z": z.numpy(), "words": words.numpy(), "present": present.numpy()}
        return torch.from_numpy(self.session.run(["picture"], feed)[0])


@torch.no_grad()
def draw(model: FlowTransformer, c: Conditions, steps: int, guidance: float, rng: np.random.Generator) -> Pictures:
    """Return drawings of conditions: float32 (B, 4, S, S)."""
    count, size, device = len(c.z), model.c.size, model.pos_embed.device
    z = torch.cat([c.z, torch.zeros_like(c.z)]).to(device)
    words, present = torch.cat([c.words, c.words]).to(device), torch.cat([c.present, torch.zeros_like(c.present)]).to(device)

    def predict(x: Pictures, t: float) -> Pictures:
        both = torch.from_numpy(np.concatenate([x, x])).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bf16(device)):
            wanted, free = model(both, torch.full((2 * count,), t, device=device), z, words, present).float().chunk(2)
        guided: Pictures = (free + guidance * (wanted - free)).cpu().numpy()
        return guided

    noise = rng.standard_normal((count, CHANNELS, size, size), np.float32)
    *_, last = sample(predict, noise, steps)
    return last
