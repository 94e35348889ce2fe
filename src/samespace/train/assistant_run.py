"""A card -> an assistant's folder: what is asked and answered about pictures, learned by projector, LoRA, or all of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..assistant import checkpoint as folders
from ..assistant import registry as shelf
from ..assistant.chat import Chat
from ..assistant.language import Language
from ..core.config import AssistantConfig
from ..core.errors import CardError, UnknownAssistant
from ..core.machine import usable_cpus
from ..core.paths import expanded
from ..models.llava import IMAGE_TOKEN, Llava
from ..spaces import hub
from .adapters import Adapters, choose_parts, sizes
from .config import Card
from .conversation_loss import LESSONS, TalkLoss, talk_backward
from .conversations import IGNORE, TalkBatch, TalkLoader, open_conversations
from .data import Mixture
from .loop import Progress, Trainer
from .metrics import Watch, curves_of
from .regions import BLANK, COLUMNS, ROWS, places
from .run import device_of, opened, processes, settings_of
from .tasks import rank, world_size

VAL_BATCHES = 16
"""Batches that the validation loss is the mean of."""


class AssistantRun:
    """Everything a card names, opened."""

    def __init__(self, card: Card):
        torch.manual_seed(card.seed)
        self.card, self.rank, self.world = card, rank(), world_size()
        if card.batch % self.world:
            raise CardError(f"a batch of {card.batch} cannot be shared by {self.world} processes; make it a multiple")
        model, self.language = begin(card)
        if card.task == "regions" and model.c.prep.resize != "squash":
            raise CardError(f"{card.start} cuts or pads pictures, and boxes would miss their cells; begin from one that squashes")
        self.chat, size = Chat(self.language), model.c.prep.size
        with torch.inference_mode():
            tokens = model.encode_image(torch.zeros(1, 3, size, size)).tokens.shape[1]
        if card.places and getattr(model, "place", None) is None:
            model = with_places(model, self.chat, round((tokens - model.label_tokens) ** 0.5))
        self.config = replace(model.c, name=card.name, files={}, card={})
        self.adapters = Adapters(model, card) if card.lora else None
        choose_parts(model, card)
        self.device = device_of(card)
        self.model = model.to(self.device).train()
        blank, bf16 = self.chat.words(BLANK)[0], card.precision == "bf16"
        self.trainee: nn.Module = LESSONS[card.task](self.model, self.config.prep, blank, bf16).to(self.device)
        if self.world > 1:
            self.trainee = DistributedDataParallel(self.trainee, find_unused_parameters=True)  # talks without pictures
        threads, share = card.threads or usable_cpus(), card.batch // self.world

        def loader(sources: tuple, seed: int, rank: int, world: int) -> TalkLoader:
            mixture = Mixture(sources, seed, rank, world, open_conversations)
            return TalkLoader(mixture, self.chat, self.config, tokens, share, threads, alike=card.task == "assistant")

        self.loader = loader(card.train, card.seed, self.rank, self.world)
        self.val = [b for b, _ in zip(loader(card.val, 0, 0, 1), range(VAL_BATCHES))] if card.val and not self.rank else []

    def backward(self, batch: TalkBatch, share: float = 1.0) -> Tensor:
        return talk_backward(self.trainee, LESSONS[self.card.task], batch.to(self.device), self.card.chunk, share)

    def measured(self, trainer: Trainer) -> TalkLoss:
        """The trainee as it is measured: averaged, where the card asks for it."""
        return trainer.average.module if trainer.average is not None else trainer.plain

    @torch.no_grad()
    def measure(self, trainee: TalkLoss) -> dict[str, float]:
        """The mean loss of validation conversations: of their answers' tokens, or of their regions."""
        count = sum(map(trainee.count, self.val))
        total = sum(trainee(batch.to(self.device)).item() for batch in self.val if trainee.count(batch))
        return {"loss": round(total / count, 4)} if count else {}

    def finished(self, trainer: Trainer) -> Llava:
        """The model as it is kept: plain layers, on the CPU."""
        self.model.load_state_dict(self.measured(trainer).model.state_dict())
        return (self.adapters.merged() if self.adapters else self.model).cpu().eval()


def begin(card: Card) -> tuple[Llava, Language]:
    """What a run begins with: an assistant, or a space's image tower and a language model with a new projector."""
    try:
        return folders.read(shelf.find(card.start))
    except UnknownAssistant:
        if not card.language:
            raise
    model, language = shelf.put_together(AssistantConfig(tiles=card.tiles), hub.folder_of(card.start), card.language)
    model.c = replace(model.c, space=card.start, language_model=card.language)
    if card.template:
        language.template = expanded(card.template).read_text("utf-8")
    return model, language


@torch.no_grad()
def with_places(model: Llava, chat: Chat, grid: int) -> Llava:
    """The same assistant, whose tokens also say where in the picture they stand: at first in the language model's words."""
    told = folders.build(folders.labelled(model.c, position_grid=grid))
    rows, columns = (
        torch.stack([model.lm.token_embed.weight[chat.words(word)].mean(dim=0) for word in words]) for words in (ROWS, COLUMNS)
    )
    told.load_state_dict(model.state_dict() | {"place": places(rows, columns, grid)})
    return told


def run(card: Card, resume: bool, show: Callable[[Progress, Card], None], command: str = "") -> AssistantConfig | None:
    """Train a card to its end and write OUT/assistant; None on processes that only help.

    Raises CardError (card or data), TrainingStopped (asked to, disk, loss), and what reading the start raises.
    """
    out = Path(card.out)
    with processes(card.device) as here:
        trainer, a_run = opened(card, resume, AssistantRun)
        watch = Watch(out, trainer.step) if here == 0 else None
        last: dict[str, float] = {}

        def on_step(progress: Progress) -> None:
            if watch is None:
                return
            watch.note(progress.step, loss=progress.loss, gradient=progress.norm, memory=progress.memory)
            show(progress, card)
            if progress.step % card.evaluate_every == 0 or progress.step == card.steps:
                last.update(a_run.measure(a_run.measured(trainer)))
                watch.note(progress.step, **{f"val/{k}": v for k, v in last.items()})
                watch.draw()

        trainer.train(a_run.backward, on_step)
        if watch is None:
            return None
        facts = {"command": command, "steps": trainer.step, "conversations_seen": trainer.step * card.batch * card.accumulate}
        facts |= {"validation": last or a_run.measure(a_run.measured(trainer)), "settings": settings_of(card)}
        facts |= {"curves": curves_of(watch.file)}
        model = a_run.finished(trainer)
        model.c = replace(a_run.config, card=facts)
        return shelf.keep(model, a_run.language, card.name, out / "assistant")


def report(card: Card) -> Iterator[str]:
    """What a card would do: lines to print."""
    a_run = AssistantRun(card)
    batch = next(iter(a_run.loader))
    learned, shown = int((batch.targets != IGNORE).sum()), sum(batch.views)
    yield f"a batch: {len(batch)} conversations, ids int64 {tuple(batch.ids.shape)}, {learned} tokens learned, {shown} views"
    for name, (total, learning) in sizes(a_run.model).items():
        yield f"  {name:24} {total / 1e6:9.2f} M parameters, {learning / 1e6:9.2f} M learn"
    ids = [i if i != IMAGE_TOKEN else 0 for i in batch.ids[0].tolist()]
    yield f"the first: {a_run.chat.tokenizer.decode(ids, skip_special_tokens=False)!r}"
    for name, reason in a_run.loader.bad.names.items():
        yield f"left out {name}: {reason}"
