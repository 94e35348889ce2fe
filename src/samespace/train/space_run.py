"""A run that trains a space: towers, pairs, contrastive loss, evaluation, export."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from ..core.config import Prep, SpaceConfig, TextTower
from ..core.errors import ConfigError, as_utf8
from ..core.machine import usable_cpus
from ..evaluate.retrieval import retrieval
from ..evaluate.zeroshot import accuracy
from ..models.clip import DualEncoder
from ..models.layers import Block
from ..preprocess.pixels import normalize_pixels
from ..preprocess.tokens import Words
from ..spaces import registry
from ..spaces.checkpoints import checkpoint
from ..spaces.checkpoints.checkpoint import Checkpoint
from ..spaces.checkpoints.tokenizer_files import read_tokenizer
from ..spaces.checkpoints.towers import dual_encoder
from ..spaces.convert import export as space_export
from .adapters import Lora, checkpoint_blocks, choose_trainable, copy_of, initialize, with_adapters
from .augment import AUGMENTS
from .config import RunConfig, Source
from .contrastive import Objective, TrainingModel, backward
from .data import Batch, Loader, Mixture, SkippedSamples, read_pairs
from .distributed import device_of, scalar_parameters
from .loop import Trainer
from .runs import Run, building
from .sources import open_source

FORGETTING_EVAL = (Source(str(space_export.HELD_OUT)),)
"""Pairs on which a fine-tuned model is measured before and after, to show what it forgets."""
FORGETTING_METRICS = ("image_retrieval_recall@1", "image_retrieval_recall@5")
MAX_SKIPPED_IN_CARD = 100
"""Skipped samples that a training card names, at most."""
END_TOKENS = ("<|endoftext|>", "[SEP]", "</s>")
PAD_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>")

ConfigT = TypeVar("ConfigT", Prep, TextTower)


class SpaceRun(Run[Batch, SpaceConfig]):
    """Everything that the run config of a space names, opened."""

    model: DualEncoder

    def __init__(self, config: RunConfig):
        super().__init__(config)
        towers = load_towers(config)
        self.space_config, model, self.words = towers.config, towers.model.train(), towers.words
        self.tokenizer, prep = self.words.tokenizer, self.space_config.prep
        teacher = registry.load(config.teacher) if config.teacher else None
        if teacher and (of_any_shape := next((c for c in (self.space_config, teacher.config) if c.prep.patch), None)):
            raise ConfigError(
                f"{of_any_shape.name} takes pictures of any shape, which no teacher and its student can share; leave teacher out"
            )
        self.skipped = SkippedSamples()
        self.val = read_pairs(config.val, prep, self.skipped, config.threads) if config.val and self.rank == 0 else None
        fine_tuned = bool(config.start) and self.rank == 0
        self.forgetting_eval = read_pairs(FORGETTING_EVAL, prep, SkippedSamples()) if fine_tuned else None
        self.lora = Lora(model, config) if config.lora else None  # changes no output before it is trained
        choose_trainable(model, config)
        self.before = self.measure_forgetting(model)
        if config.gradient_checkpointing:
            checkpoint_blocks(model)
        self.device = device_of(config)
        self.model = model.to(self.device)
        self.training_model = self._wrap(TrainingModel(self.model, prep, config).to(self.device))
        self.objective = Objective(config, teacher)
        mixture = Mixture(config.train, open_source, config.seed, self.rank, self.world)
        threads = config.threads or usable_cpus()
        self.loader = Loader(mixture, self.words, prep, self.batch_per_process, AUGMENTS[config.augment], threads)

    def _wrap(self, model: TrainingModel) -> nn.Module:
        """Return the model as it is for one process; for several in DDP, or sharded block by block with FSDP2."""
        if self.world == 1:
            return model
        if not self.config.fsdp:
            return DistributedDataParallel(model)
        for module in model.modules():
            if isinstance(module, Block):
                fully_shard(module)
        fully_shard(model, ignored_params=scalar_parameters(model))
        return model

    def backward(self, batch: Batch, weight: float = 1.0) -> Tensor:
        """Add the gradients of weight · loss to the weights, and return the loss."""
        batch.pixels, batch.ids, batch.group = (x.to(self.device) for x in (batch.pixels, batch.ids, batch.group))
        return backward(self.training_model, batch, self.objective, self.config.grad_cache_chunk, weight)

    def step_metrics(self) -> dict[str, float]:
        """Return the temperature's scale e^t."""
        return {"scale": round(self.model.logit_scale.exp().item(), 3)}

    def evaluate(self, trainer: Trainer[Batch]) -> dict[str, float]:
        """Return recall on the validation pairs; empty where there are none. Every process calls it."""
        return self.measure(self.current_model(trainer))

    def current_model(self, trainer: Trainer[Batch]) -> DualEncoder:
        """Return the model to evaluate: the moving average, or gathered from all processes. Every process calls it."""
        if trainer.ema is not None:
            return cast(TrainingModel, trainer.averaged).model
        if not self.config.fsdp or self.world == 1:
            return self.model
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_model_state_dict(self.training_model, options=options)
        twin = dual_encoder(self.space_config.image, self.space_config.text, self.model.logit_bias is not None)
        if self.rank == 0:
            twin.load_state_dict({name.removeprefix("model."): tensor for name, tensor in state.items()})
        return twin

    def trained_model(self, trainer: Trainer[Batch]) -> DualEncoder:
        """Return the model to export, with plain layers and on the CPU. Every process calls it."""
        model = self.current_model(trainer)
        if self.lora:
            self.model.load_state_dict(model.state_dict())
            model = cast(DualEncoder, self.lora.merge())
        return copy_of(model.cpu(), self.space_config.image, self.space_config.text)

    def measure(self, model: DualEncoder) -> dict[str, float]:
        """Return a model's recall on the validation pairs, in both directions; empty where there are none."""
        if self.val is None:
            return {}
        model.eval()
        encoder, (squares, captions) = Checkpoint(model, self.space_config, self.tokenizer), self.val
        recalls = retrieval(encoder, encoder.pixels(squares), captions)
        model.train()
        return {name: round(value, 4) for name, value in recalls.items()}

    def measure_forgetting(self, model: DualEncoder) -> dict[str, float]:
        """Return a model's recall and zero-shot accuracy, captions as labels, on the pairs of FORGETTING_EVAL."""
        if self.forgetting_eval is None:
            return {}
        model.eval()
        encoder, (squares, captions) = Checkpoint(model, self.space_config, self.tokenizer), self.forgetting_eval
        labels = list(dict.fromkeys(texts[0] for texts in captions))
        z_images = encoder.pixels(squares)
        top1 = accuracy(encoder, z_images, [labels.index(texts[0]) for texts in captions], labels)["acc1"]
        recalls = retrieval(encoder, z_images, captions)
        model.train()
        return {name: round(recalls[name], 4) for name in FORGETTING_METRICS} | {"zeroshot_acc1": round(top1, 4)}

    def export(self, trainer: Trainer[Batch], card: dict[str, Any]) -> SpaceConfig | None:
        """Write OUT/space, with what was measured in its card; None on helper processes. Every process calls it."""
        model = self.trained_model(trainer)
        if self.rank:
            return None
        card = card | {"validation": self.measure(model), "before": self.before, "after": self.measure_forgetting(model)}
        skipped = self.skipped.reasons | trainer.skipped
        lines = [as_utf8(f"{'/'.join(Path(name).parts[-2:])}: {reason}") for name, reason in skipped.items()]
        card["skipped"] = lines[:MAX_SKIPPED_IN_CARD]
        bias = None if model.logit_bias is None else model.logit_bias.item()
        scale = model.logit_scale.exp().item()
        trained = Checkpoint(
            model, replace(self.space_config, logit_scale=scale, logit_bias=bias, card=card), self.tokenizer
        )  # fmt: skip
        return space_export.export(trained, Path(self.config.out) / "space", self._gate_pairs(trained))

    def _gate_pairs(self, trained: Checkpoint) -> space_export.Pairs:
        """Return pairs for the exporter's gate: validation pairs of different captions, or else those every space is gated on."""
        squares, captions = self.val or (np.empty(0, np.uint8), [])
        rows = space_export.different([some[0] for some in captions])
        if len(rows) < space_export.ENOUGH_PAIRS:
            return space_export.held_out_pairs(trained, space_export.HELD_OUT)
        pixels = normalize_pixels(squares[rows], trained.config.prep)
        return space_export.Pairs(pixels, self.words.ids([captions[i][0] for i in rows]))


def load_towers(config: RunConfig) -> Checkpoint:
    """Return the towers that a run starts from: a space's or a checkpoint's, or new ones. Raises ConfigError, UnknownSpace."""
    towers = load_start(config) if config.start else new_towers(config)
    if config.adapter and towers.config.text.adapter not in (0, config.adapter):
        raise ConfigError(
            f"{config.start} has an adapter of {towers.config.text.adapter}; write adapter = {towers.config.text.adapter}"
        )
    if config.adapter and not towers.config.text.adapter:
        image, text, model = with_adapters(towers.model, towers.config.image, towers.config.text, config.adapter)
        towers = Checkpoint(model, replace(towers.config, image=image, text=text), towers.tokenizer)
    return towers


def load_start(config: RunConfig) -> Checkpoint:
    """Return the towers to fine-tune. Raises ConfigError where they do not fit the loss, UnknownSpace."""
    start = checkpoint.load(registry.find_folder(config.start))
    if start.config.short:
        raise ConfigError(
            f"{config.start} uses {start.config.short} of its numbers; train the whole one, installed without --dim"
        )
    start.config = replace(start.config, name=config.name, weights="", files={}, card={}, calibration={})
    if config.loss == "siglip" and start.model.logit_bias is None:
        raise ConfigError(f'{config.start} was trained with softmax and has no bias; write loss = "clip"')
    if config.loss == "clip":
        start.model.logit_bias = None  # softmax has no use for it
        start.config = replace(start.config, logit_bias=None)
    return start


def new_towers(config: RunConfig) -> Checkpoint:
    """Return new towers of the configured architecture. Raises ConfigError where its settings do not fit together."""
    tokenizer = read_tokenizer(registry.find_folder(config.tokenizer))
    text, prep = fit_to_tokenizer(config, tokenizer)
    if config.image.patch > config.image.image_size:
        size = config.image.image_size
        raise ConfigError(f"a patch of {config.image.patch} does not fit into {size} pixels; change patch or image_size")
    with building("[image], [text] and [prep]"):
        model = dual_encoder(config.image, text, bias=config.loss == "siglip")
        initialize(model)
        with torch.no_grad():  # one picture and one text, so that a wrong setting fails now and not hours later
            model(
                torch.from_numpy(normalize_pixels(np.zeros((1, *prep.shape), np.uint8), prep)),
                torch.from_numpy(Words(tokenizer, prep).ids(["a"])),
            )
    if (config.image.dim or config.image.width) != text.dim:
        raise ConfigError(f"the towers end in {config.image.dim} and {text.dim} numbers; give both the same dim")
    space_config = SpaceConfig(name=config.name, image=config.image, text=text, prep=prep)
    return Checkpoint(model, space_config, tokenizer)


def fit_to_tokenizer(config: RunConfig, tokenizer: Tokenizer) -> tuple[TextTower, Prep]:
    """Return the configured text tower and preprocessing, their defaults replaced by what fits the tokenizer and the towers.

    Raises ConfigError where the text tower pools at an end token that this tokenizer does not write.
    """
    end, pad = (
        next((i for token in tokens if (i := tokenizer.token_to_id(token)) is not None), 0) for tokens in (END_TOKENS, PAD_TOKENS)
    )
    clean = "clip" if tokenizer.token_to_id("<|endoftext|>") is not None else "none"
    text = replace_defaults(config.text, vocab=tokenizer.get_vocab_size(), end=end, pad=pad)
    prep = replace_defaults(config.prep, size=config.image.image_size, context=text.context, pad=text.pad, clean=clean)
    if text.pool == "end" and text.end not in Words(tokenizer, prep).ids(["a"])[0]:
        raise ConfigError(f"texts of this tokenizer do not end with id {text.end}; set end or pool in [text]")
    return text, prep


def replace_defaults(config: ConfigT, **values: Any) -> ConfigT:
    """Return a dataclass with values for those fields that are at their default."""
    at_default = {f.name for f in dataclasses.fields(config) if getattr(config, f.name) == f.default}
    return replace(config, **{name: value for name, value in values.items() if name in at_default})


def summary(space_config: SpaceConfig) -> list[str]:
    """Return lines on a trained space: recall on validation pairs, and what fine-tuning made it forget."""
    card = space_config.card
    return [f"{name:28} {value:.4f}" for name, value in card["validation"].items()] + [
        f"{name:28} {card['before'][name]:.4f} before, {value:.4f} after, on drawings it was not trained on"
        for name, value in card["after"].items()
    ]
