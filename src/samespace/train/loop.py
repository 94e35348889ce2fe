"""The training loop. One for every task: what a step does with a batch is the task's business."""

import math
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import FSDPModule
from torch.optim.swa_utils import AveragedModel

from ..core.errors import TrainingStopped
from . import checkpoint as state
from .config import Card
from .data import Batch, Loader
from .optim import Optimizer, average_of, lr_at, optimizer_of, set_rate
from .tasks import gathered_objects, rank, world_size

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
"""With FSDP2 a checkpoint is put together from all machines, and looks as one machine's does."""


@dataclass
class Progress:
    """What a run can say of itself after a step."""

    step: int
    """Steps done."""
    loss: float
    """Of the last step."""
    norm: float
    """Of the gradient, before it was clipped."""
    rate: float
    """Pairs a second since this process began."""
    bad: int
    """Samples left out so far."""
    memory: int
    """Largest memory of this process so far, in megabytes."""


class Trainer:
    """A model, what moves its weights, and where it stands."""

    def __init__(self, card: Card, model: nn.Module, loader: Loader, folder: Path, main: bool = True):
        self.card, self.model, self.loader, self.main = card, model, loader, main
        self.plain: nn.Module = getattr(model, "module", model)  # without DDP
        self.optimizer: Optimizer = optimizer_of(model, card)
        self.average: AveragedModel | None = average_of(self.plain, card)
        self.checkpoint, self.step, self.sharded = folder / "checkpoint.pt", 0, isinstance(model, FSDPModule)

    def resume(self) -> None:
        """Go on from the checkpoint."""
        kept = state.load(self.checkpoint)
        try:
            if self.sharded:
                set_state_dict(
                    self.model, self.optimizer, options=WHOLE,
                    model_state_dict=kept["model"], optim_state_dict=kept["optimizer"],
                )  # fmt: skip
            else:
                self.plain.load_state_dict(kept["model"])
                self.optimizer.load_state_dict(kept["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(kept["average"])
        except (KeyError, ValueError, RuntimeError) as error:
            text = str(error).splitlines()[0]
            raise TrainingStopped(f"{self.checkpoint} is of another model ({text}); name another folder: out=…") from None
        if len(kept["places"]) != world_size():
            raise TrainingStopped(
                f"the run had {len(kept['places'])} processes; go on with as many, or name another folder: out=…"
            )
        self.step, self.loader.place = kept["step"], kept["places"][rank()]
        for group, said in zip(self.optimizer.param_groups, optimizer_of(self.model, self.card).param_groups):
            group |= {k: said[k] for k in ("rate", "weight_decay", "betas") if k in said}  # the card may say otherwise by now

    def save(self) -> None:
        """Write where the run stands. Every process calls it; one writes."""
        model, optimizer, places = self.plain.state_dict(), self.optimizer.state_dict(), gathered_objects(self.loader.place)
        if self.sharded:
            model, optimizer = get_state_dict(self.model, self.optimizer, options=WHOLE)
        if self.main:
            average = self.average.state_dict() if self.average is not None else {}
            parts = {"model": model, "optimizer": optimizer, "average": average}
            state.save(self.checkpoint, parts | {"step": self.step, "places": places})

    def train(self, backward: Callable[[Batch, float], Tensor], on_step: Callable[[Progress], None]) -> None:
        """Run the card's steps. `backward(batch, share)` adds the gradients of share · loss and returns the loss.

        Raises TrainingStopped on SIGTERM and Ctrl-C (after a checkpoint), and on a loss that is no number.
        """
        card, batches, started, first = self.card, iter(self.loader), time.monotonic(), self.step
        with asked_to_stop() as asked:
            while self.step < card.steps:
                set_rate(self.optimizer, lr_at(self.step, card))
                loss = 0.0
                for _ in range(card.accumulate):
                    batch = next(batches)
                    loss += backward(batch, 1 / card.accumulate).item() / card.accumulate
                    if not math.isfinite(loss):
                        raise TrainingStopped(self.describe(f"the loss is {loss}", batch))
                norm = self.update(batch)
                self.step += 1
                loss, stop = agreed(loss, bool(asked))
                rate = (self.step - first) * card.batch * card.accumulate / (time.monotonic() - started)
                if self.step % card.save_every == 0 or self.step == card.steps:
                    self.save()
                on_step(Progress(self.step, loss, norm, rate, len(self.loader.bad.names), memory()))
                if stop and self.step < card.steps:
                    self.save()
                    raise TrainingStopped(f"stopped at step {self.step} of {card.steps}; the same command with --resume goes on")

    def update(self, batch: Batch) -> float:
        """One step of the optimizer; the gradient's norm. Raises TrainingStopped where that is no number."""
        trainable = [p for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(trainable, self.card.clip or math.inf)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        if not math.isfinite(norm):
            raise TrainingStopped(self.describe(f"the gradient is {norm}", batch))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if name.endswith("logit_scale") and p.requires_grad and self.card.loss == "clip":
                    p.clamp_(max=math.log(100))  # Radford et al. 2021, §2.5
        if self.average is not None:
            self.average.update_parameters(self.plain)
        return norm

    def describe(self, what: str, batch: Batch) -> str:
        """What a loss or gradient that is no number came from; the whole batch's names go to a file."""
        file = self.checkpoint.with_name(f"bad_batch{rank() or ''}.txt")
        file.write_text("".join(f"{n}\t{c}\n" for n, c in zip(batch.names, batch.captions)), "utf-8", "replace")
        return (
            f"{what} at step {self.step}, for a batch that begins with {batch.names[0]} (all: {file}); "
            "lower lr or raise warmup, then go on with --resume"
        )


def agreed(loss: float, asked: bool) -> tuple[float, bool]:
    """The mean loss of all processes, and whether any was asked to stop: all stop after the same step, or none."""
    told = gathered_objects((loss, asked))
    return sum(loss for loss, _ in told) / len(told), any(asked for _, asked in told)


@contextmanager
def asked_to_stop() -> Iterator[list[Any]]:
    """A list that is no longer empty once SIGTERM or Ctrl-C has come; a second Ctrl-C stops at once."""
    asked: list[Any] = []

    def ask(number: int, frame: Any) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def memory() -> int:
    """Largest memory of this process so far, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
