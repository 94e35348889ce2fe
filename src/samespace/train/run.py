"""A card -> a space folder: towers from where the card says, data, loop, evaluation, export."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from ..core.config import SpaceConfig
from ..core.errors import CardError, TrainingStopped, as_utf8, error_summary
from ..core.machine import usable_cpus
from ..evaluate.retrieval import retrieval
from ..evaluate.zeroshot import accuracy
from ..models.clip import DualEncoder
from ..models.layers import Block
from ..preprocess.pixels import normalize_pixels
from ..preprocess.tokens import Words
from ..spaces import checkpoint, export, hub
from ..spaces.checkpoint import Checkpoint
from ..spaces.towers import dual_encoder
from .adapters import Adapters, choose_parts, copied, initialize, with_connector
from .config import Card, Source
from .data import Bad, Batch, Loader, Mixture, read_pairs
from .loop import Progress, Trainer
from .metrics import Watch, curves_of
from .tasks import Objective, Trainee, backward, gathered_objects, rank, scalars_of, world_size

Show = Callable[[Progress, Card], None]
GUARD = (Source(str(export.HELD_OUT)),)
"""Pairs on which a model that is trained further is measured before and after, so that forgetting shows."""


PATIENCE = timedelta(hours=2)
"""How long processes wait for the one that evaluates."""


class Towers:
    """A torch model as evaluation sees it: the same two calls as a Space."""

    def __init__(self, model: DualEncoder, words: Words, config: SpaceConfig, batch: int = 64):
        self.model, self.words, self.config, self.batch = model, words, config, batch
        self.device = model.logit_scale.device

    @torch.inference_mode()
    def pixels(self, squares: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) → z: float32 (B, dim), unit length."""
        parts = (squares[i : i + self.batch] for i in range(0, len(squares), self.batch))
        x = (torch.from_numpy(normalize_pixels(part, self.config.prep)).to(self.device) for part in parts)
        return np.concatenate([self.model.encode_image(part).float().cpu().numpy() for part in x])

    @torch.inference_mode()
    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, dim), unit length."""
        parts = (self.words.ids(list(texts[i : i + self.batch])) for i in range(0, len(texts), self.batch))
        ids = (torch.from_numpy(part).to(self.device) for part in parts)
        return np.concatenate([self.model.encode_text(part).float().cpu().numpy() for part in ids])


class Run:
    """Everything a card names, opened."""

    def __init__(self, card: Card):
        torch.manual_seed(card.seed)
        self.card, self.rank, self.world = card, rank(), world_size()
        if card.batch % self.world:
            raise CardError(f"a batch of {card.batch} cannot be shared by {self.world} processes; make it a multiple")
        start = begin(card)
        self.config, self.tokenizer, model = start.config, start.tokenizer, start.model.train()
        self.words = Words(self.tokenizer, self.config.prep)
        self.bad = Bad()
        self.val = read_pairs(card.val, self.config.prep, self.bad, card.threads) if card.val and self.rank == 0 else None
        self.guard = read_pairs(GUARD, self.config.prep, Bad()) if card.start and self.rank == 0 else None
        self.before = self.forgetting(model)
        self.adapters = Adapters(model, card) if card.lora else None
        choose_parts(model, card)
        self.device = device_of(card)
        self.model = model.to(self.device)
        self.trainee = self.wrapped(Trainee(self.model, self.config.prep, card).to(self.device))
        self.objective = Objective(card, hub.load(card.teacher) if card.teacher else None)
        mixture = Mixture(card.train, card.seed, self.rank, self.world)
        threads = card.threads or usable_cpus()
        self.loader = Loader(mixture, self.words, self.config.prep, card.batch // self.world, card.augment, threads)

    def wrapped(self, trainee: Trainee) -> nn.Module:
        """The trainee on one machine as it is, on many behind DDP, or sharded block by block with FSDP2."""
        if self.world == 1:
            return trainee
        if not self.card.shard:
            return DistributedDataParallel(trainee)
        for module in trainee.modules():
            if isinstance(module, Block):
                fully_shard(module)
        return fully_shard(trainee, ignored_params=scalars_of(trainee))

    def backward(self, batch: Batch, share: float = 1.0) -> torch.Tensor:
        batch.pixels, batch.ids, batch.group = (x.to(self.device) for x in (batch.pixels, batch.ids, batch.group))
        return backward(self.trainee, batch, self.objective, self.card.chunk, share)

    def whole(self, trainer: Trainer) -> DualEncoder:
        """The model as it is measured: averaged, or put together from all machines. Every process calls it."""
        if trainer.average is not None:
            return trainer.average.module.model
        if not self.card.shard or self.world == 1:
            return self.model
        state = get_model_state_dict(self.trainee, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        twin = dual_encoder(self.config.image, self.config.text, self.model.logit_bias is not None)
        if self.rank == 0:
            twin.load_state_dict({name.removeprefix("model."): tensor for name, tensor in state.items()})
        return twin

    def finished(self, trainer: Trainer) -> DualEncoder:
        """The model as it is kept: plain layers, on the CPU. Every process calls it."""
        model = self.whole(trainer)
        if self.adapters:
            self.model.load_state_dict(model.state_dict())
            model = self.adapters.merged()
        return copied(model.cpu(), self.config.image, self.config.text)

    def measure(self, model: DualEncoder) -> dict[str, float]:
        """Recall on the validation pairs, both ways."""
        if self.val is None:
            return {}
        model.eval()
        found = retrieval(Towers(model, self.words, self.config), *self.val)
        model.train()
        return {k: round(v, 4) for k, v in found.items()}

    def forgetting(self, model: DualEncoder) -> dict[str, float]:
        """What the guard pairs say: recall, and zero-shot accuracy with their captions as labels."""
        if self.guard is None:
            return {}
        model.eval()
        towers, (squares, captions) = Towers(model, self.words, self.config), self.guard
        labels = list(dict.fromkeys(some[0] for some in captions))
        top = accuracy(towers, squares, [labels.index(some[0]) for some in captions], labels)["acc1"]
        found = retrieval(towers, squares, captions)
        model.train()
        return {k: round(found[k], 4) for k in ("image_retrieval_recall@1", "image_retrieval_recall@5")} | {
            "zeroshot_acc1": round(top, 4)
        }


def begin(card: Card) -> Checkpoint:
    """The towers a run begins with: a space's or a checkpoint's, or new ones of the card's architecture."""
    if card.start:
        start = checkpoint.load(hub.folder_of(card.start))
        config = replace(start.config, name=card.name, weights="", files={}, card={})
        if card.loss == "siglip" and start.model.logit_bias is None:
            raise CardError(f'{card.start} was trained with softmax and has no bias; write loss = "clip"')
        if card.loss == "clip":
            start.model.logit_bias = None  # it would stay as it was, and mean nothing any more
            config = replace(config, logit_bias=None)
    else:
        start = built(card)
        config = start.config
    if card.connector and not config.text.adapter:
        image, text, model = with_connector(start.model, config.image, config.text, card.connector)
        start, config = Checkpoint(model, config, start.tokenizer), replace(config, image=image, text=text)
    start.config = config
    return start


def built(card: Card) -> Checkpoint:
    """New towers of the card's architecture. Raises CardError where none can be built of it."""
    tokenizer = checkpoint.read_tokenizer(hub.folder_of(card.tokenizer))
    text, prep = fitted(card, tokenizer)
    if card.image.patch > card.image.image_size:
        raise CardError(
            f"a patch of {card.image.patch} does not fit into {card.image.image_size} pixels; change patch or image_size"
        )
    try:
        model = dual_encoder(card.image, text, bias=card.loss == "siglip")
        initialize(model)
        with torch.no_grad():  # one picture and one text: what does not fit is said now, not hours later
            pixels, ids = torch.zeros(1, 3, prep.size, prep.size), Words(tokenizer, prep).ids(["a"])
            model(pixels, torch.from_numpy(ids))
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise CardError(
            f"no towers can be built of [image], [text] and [prep] ({error_summary(error)}); check sizes, widths, heads, patch, vocab"
        ) from None
    if (card.image.dim or card.image.width) != text.dim:
        raise CardError(f"the towers end in {card.image.dim} and {text.dim} numbers; give both the same dim")
    return Checkpoint(model, SpaceConfig(name=card.name, image=card.image, text=text, prep=prep), tokenizer)


ENDS = ("<|endoftext|>", "[SEP]", "</s>")
PADS = ("[PAD]", "<pad>", "<|endoftext|>")


def fitted(card: Card, tokenizer: Any) -> tuple[Any, Any]:
    """The card's text tower and preprocessing; what they leave at the default is as the tokenizer and the tower have it."""
    ids = {
        name: next((i for t in tokens if (i := tokenizer.token_to_id(t)) is not None), 0)
        for name, tokens in (("end", ENDS), ("pad", PADS))
    }
    clip = tokenizer.token_to_id("<|endoftext|>") is not None
    text = filled(card.text, vocab=tokenizer.get_vocab_size(), **ids)
    size, clean = card.image.image_size, "clip" if clip else "none"
    prep = filled(card.prep, size=size, context=text.context, pad=text.pad, clean=clean)
    if text.pool == "end" and text.end not in Words(tokenizer, prep).ids(["a"])[0]:
        raise CardError(f"texts of this tokenizer do not end with id {text.end}; set end or pool in [text]")
    return text, prep


def filled(config: Any, **values: Any) -> Any:
    """A dataclass with values for those fields that are still at their default."""
    at_default = {f.name for f in dataclasses.fields(config) if getattr(config, f.name) == f.default}
    return replace(config, **{name: value for name, value in values.items() if name in at_default})


def device_of(card: Card) -> torch.device:
    """Where a run computes. Raises CardError where that is not there."""
    try:
        device = torch.device(card.device or best_device())
        torch.zeros(1).to(device)
    except (RuntimeError, AssertionError) as error:
        raise CardError(
            f"{card.device} cannot be used here ({error_summary(error)}); write device=cpu, or leave it out"
        ) from None
    return device


def best_device() -> str:
    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def processes(device: str = "") -> Iterator[int]:
    """Joins the processes that `torchrun` started, where it did; gives this one's rank."""
    if "RANK" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield 0
        return
    cuda = (device or best_device()).startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield dist.get_rank()
        # One that left while others still talk to it would take them down. Gloo's plain barrier may still be held by gloo's
        # thread, waiting for the interpreter, when the group's end waits for that thread; the monitored one never is.
        dist.barrier() if cuda else dist.monitored_barrier()
    finally:
        dist.destroy_process_group()


def opened(card: Card, resume: bool, kind: Callable[[Card], Any]) -> tuple[Trainer, Any]:
    """A run of this kind and its trainer, gone on from the checkpoint where there is one. Raises TrainingStopped."""
    folder = Path(card.out)
    if (folder / "checkpoint.pt").exists() and not resume:
        raise TrainingStopped(f"{folder} holds a run already; add --resume to go on with it, or write out=ANOTHER")
    folder.mkdir(parents=True, exist_ok=True)
    a_run = kind(card)
    trainer = Trainer(card, a_run.trainee, a_run.loader, folder, main=a_run.rank == 0)
    if resume and trainer.checkpoint.exists():
        trainer.resume()
    if len(set(gathered_objects(trainer.step))) > 1:
        raise TrainingStopped(f"not every process sees {trainer.checkpoint}; give them a shared folder: out=…")
    return trainer, a_run


def run(card: Card, resume: bool, show: Show, command: str = "") -> SpaceConfig | None:
    """Train a card to its end and write OUT/space; None on processes that only help.

    Raises CardError (card or data), TrainingStopped (asked to, disk, loss), and what reading a start space raises.
    """
    folder = Path(card.out)
    with processes(card.device) as here:
        trainer, a_run = opened(card, resume, Run)
        watch = Watch(folder, trainer.step) if here == 0 else None

        def on_step(progress: Progress) -> None:
            due = progress.step % card.evaluate_every == 0 or progress.step == card.steps
            model = a_run.whole(trainer) if due else None
            if watch is None:
                return
            row = {"loss": round(progress.loss, 5), "gradient": round(progress.norm, 5), "pairs/s": round(progress.rate, 1)}
            watch.note(progress.step, **row, scale=round(a_run.model.logit_scale.exp().item(), 3), memory=progress.memory)
            show(progress, card)
            if due:
                watch.note(progress.step, **{f"val/{k}": v for k, v in a_run.measure(model).items()})
                watch.draw()

        trainer.train(a_run.backward, on_step)
        model = a_run.finished(trainer)
        if watch is None:
            return None
        pairs = trainer.step * card.batch * card.accumulate
        facts = {"command": as_utf8(command), "steps": trainer.step, "pairs_seen": pairs, "curves": curves_of(watch.file)}
        return finish(a_run, model, folder, facts)


def finish(a_run: Run, model: DualEncoder, folder: Path, facts: dict[str, Any]) -> SpaceConfig:
    """Measure the model and write the space; its card says how it came about: these facts, and what was measured."""
    facts |= {"validation": a_run.measure(model), "before": a_run.before, "after": a_run.forgetting(model)}
    left_out = [
        as_utf8(f"{'/'.join(Path(name).parts[-2:])}: {reason}")
        for bad in (a_run.bad, a_run.loader.bad)
        for name, reason in bad.names.items()
    ]
    facts |= {"left_out": left_out[:100], "settings": settings_of(a_run.card)}
    bias = None if model.logit_bias is None else model.logit_bias.item()
    config = replace(a_run.config, logit_scale=model.logit_scale.exp().item(), logit_bias=bias, card=facts)
    made = Checkpoint(model, config, a_run.tokenizer)
    return export.export(made, folder / "space", gate_pairs(a_run, made))


def summary(config: SpaceConfig) -> list[str]:
    """What a finished run says: recall on validation pairs, and what training further did to what was known."""
    lines = [f"{k:28} {v:.4f}" for k, v in config.card["validation"].items()]
    before, after = config.card["before"], config.card["after"]
    return lines + [f"{k:28} {before[k]:.4f} before, {v:.4f} after, on drawings it was not trained on" for k, v in after.items()]


def gate_pairs(a_run: Run, made: Checkpoint) -> export.Pairs:
    """Pairs for the exporter's gate: validation pairs of different captions, or else the ones every space is held to."""
    squares, captions = a_run.val or (np.empty(0), [])
    mixed = np.random.default_rng(0).permutation(len(captions))
    first = {captions[i][0]: i for i in mixed[::-1]}
    some = list(first.values())[: export.MOST_PAIRS]
    if len(some) < export.ENOUGH_PAIRS:
        return export.held_out_pairs(made, export.HELD_OUT)
    return export.Pairs(normalize_pixels(squares[some], made.config.prep), a_run.words.ids([captions[i][0] for i in some]))


def settings_of(card: Card) -> dict[str, Any]:
    """What a card says that is not its default, as JSON."""
    defaults = {f.name: f.default for f in dataclasses.fields(card)}
    elsewhere = ("image", "text", "prep", "train", "val", "out")  # in the space itself, or nobody else's business
    return {k: v for k, v in vars(card).items() if v != defaults[k] and k not in elsewhere}
