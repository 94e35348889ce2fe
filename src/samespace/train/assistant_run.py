"""A run that trains an assistant: its projector, LoRA, or all of it, on conversations about pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..assistant import checkpoint as assistant_checkpoint
from ..assistant import registry as assistant_registry
from ..assistant.chat import Chat
from ..assistant.language import Language
from ..core.assistant_config import AssistantConfig
from ..core.errors import ConfigError
from ..core.machine import usable_cpus
from ..core.paths import expanded
from ..models.llava import Llava
from ..spaces import registry as space_registry
from .adapters import Lora, checkpoint_blocks, choose_trainable
from .config import RunConfig, Source
from .conversation_loss import LOSSES, ConversationLoss, conversation_backward
from .conversations import ConversationBatch, ConversationLoader, open_conversations
from .data import Mixture
from .distributed import device_of, uses_bf16
from .loop import Trainer
from .regions import BLANK, COLUMNS, ROWS, initial_positions
from .runs import Run

VAL_BATCHES = 16
"""Batches that the validation loss is the mean of."""


class AssistantRun(Run[ConversationBatch, AssistantConfig]):
    """Everything that the run config of an assistant names, opened."""

    samples = "conversations"
    model: Llava

    def __init__(self, config: RunConfig):
        super().__init__(config)
        model, self.language = load_start(config)
        if config.task == "regions" and model.c.prep.resize != "squash":
            raise ConfigError(f"{config.start} crops or pads pictures, which moves boxes; start from one that squashes")
        self.chat, size = Chat(self.language), model.c.prep.size
        with torch.inference_mode():
            self.image_tokens = model.encode_image(torch.zeros(1, 3, size, size)).tokens.shape[1]
        if config.position_embedding and getattr(model, "place", None) is None:
            model = with_position_embedding(model, self.chat, round((self.image_tokens - model.label_tokens) ** 0.5))
        self.assistant_config = replace(model.c, name=config.name, files={}, card={})
        self.lora = Lora(model, config) if config.lora else None
        choose_trainable(model, config)
        if config.gradient_checkpointing:
            checkpoint_blocks(model)
        self.device = device_of(config)
        self.model = model.to(self.device).train()
        self.loss_type = LOSSES[config.task]
        self.training_model: nn.Module = self.loss_of(self.model, uses_bf16(config, self.device)).to(self.device)
        if self.world > 1:  # conversations without pictures leave the projector unused
            self.training_model = DistributedDataParallel(self.training_model, find_unused_parameters=True)
        self.loader = self._open_loader(config.train, config.seed, self.rank, self.world)
        self.val: list[ConversationBatch] = []
        if config.val and self.rank == 0:
            val = iter(self._open_loader(config.val, seed=0, rank=0, world=1))
            self.val = [next(val) for _ in range(VAL_BATCHES)]
        self.validation: dict[str, float] = {}

    def loss_of(self, model: Llava, bf16: bool) -> ConversationLoss:
        """Return a module whose `forward` is the task's loss of a model."""
        return self.loss_type(model, self.assistant_config.prep, self.chat.token_ids(BLANK)[0], bf16)

    def _open_loader(self, sources: tuple[Source, ...], seed: int, rank: int, world: int) -> ConversationLoader:
        """Return a loader of conversations."""
        mixture = Mixture(sources, open_conversations, seed, rank, world)
        threads, of_regions = self.config.threads or usable_cpus(), self.config.task == "regions"
        return ConversationLoader(
            mixture, self.chat, self.assistant_config, self.image_tokens, self.batch_per_process, threads, of_regions
        )  # fmt: skip

    def backward(self, batch: ConversationBatch, weight: float = 1.0) -> Tensor:
        """Add the gradients of weight · loss to the weights, and return the loss."""
        chunk = self.config.grad_cache_chunk
        return conversation_backward(self.training_model, self.loss_type, batch.to(self.device), chunk, weight)

    def evaluate(self, trainer: Trainer[ConversationBatch]) -> dict[str, float]:
        """Return the mean loss of the validation conversations; empty where there are none."""
        self.validation = self.measure(cast(ConversationLoss, trainer.averaged))
        return self.validation

    @torch.no_grad()
    def measure(self, model: ConversationLoss) -> dict[str, float]:
        """Return the mean loss over answer tokens, or regions, of the validation conversations; empty where there are none."""
        count = sum(model.count(batch) for batch in self.val)
        device = model.model.lm.norm.weight.device
        total = sum(model(batch.to(device)).item() for batch in self.val if model.count(batch))
        return {"loss": round(total / count, 4)} if count else {}

    def export(self, trainer: Trainer[ConversationBatch], card: dict[str, Any]) -> AssistantConfig | None:
        """Write OUT/assistant, with what was measured in its card; None on helper processes."""
        if self.rank:
            return None
        current = cast(ConversationLoss, trainer.averaged)
        card = card | {"validation": self.validation or self.measure(current)}
        self.model.load_state_dict(current.model.state_dict())
        model = cast(Llava, self.lora.merge() if self.lora else self.model).cpu().eval()
        model.c = replace(self.assistant_config, card=card)
        measured = card["validation"] and self.config.task == "assistant"  # of regions, embeddings are compared, not answers
        validate = (lambda written: self.measure(self.loss_of(written, bf16=False))["loss"]) if measured else None
        folder = Path(self.config.out) / "assistant"
        return assistant_registry.write(model, self.language, self.config.name, folder, validate)


def load_start(config: RunConfig) -> tuple[Llava, Language]:
    """Return what a run starts from: an assistant, or, where a language model is named, a space's image tower, it and a new projector.

    Raises UnknownAssistant, UnknownSpace, ConfigError.
    """
    if not config.language:
        model, language = assistant_checkpoint.read(assistant_registry.find(config.start))
        if not model.in_order:
            raise ConfigError(f"{config.start} orders a picture's tokens in its own way and cannot be trained; use a LLaVA 1.5")
        return model, language
    space = space_registry.find_folder(config.start)
    model, language = assistant_registry.assemble(AssistantConfig(tiles=config.tiles), space, config.language)
    model.c = replace(model.c, space=config.start, language_model=config.language)
    if config.template:
        language.template = expanded(config.template).read_text("utf-8")
    return model, language


@torch.no_grad()
def with_position_embedding(model: Llava, chat: Chat, grid: int) -> Llava:
    """Return the same assistant with a learned 2-D position for each patch token, initialised from words' embeddings."""
    positioned = assistant_checkpoint.build(assistant_checkpoint.labelled_config(model.c, position_grid=grid))
    rows, columns = (
        torch.stack([model.lm.token_embed.weight[chat.token_ids(word)].mean(dim=0) for word in words])
        for words in (ROWS, COLUMNS)
    )
    positioned.load_state_dict(model.state_dict() | {"place": initial_positions(rows, columns, grid)})
    return positioned
