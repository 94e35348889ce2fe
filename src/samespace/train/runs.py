"""A run, from its config to what it exports: the same for spaces and for assistants."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ..core.config import non_default_fields
from ..core.errors import ConfigError, TrainingStopped, as_utf8, error_summary
from .config import RunConfig
from .data import BatchLoader
from .distributed import gather_objects, process_group, rank, world_size
from .loop import Progress, Trainer
from .metrics import Metrics, read_curves

Show = Callable[[Progress, RunConfig], None]
"""Called after every step, to show it."""
NOT_IN_CARD = ("image", "text", "prep", "train", "val", "out")
"""Settings that a training card leaves out: the model's own config has them, or they are paths on this machine."""

BatchT = TypeVar("BatchT")
ResultT = TypeVar("ResultT")


@contextmanager
def building(tables: str) -> Iterator[None]:
    """While a model is built of a config's tables, and tried out: raise ConfigError where they do not fit together."""
    try:
        yield
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError) as error:
        reason, settings = error_summary(error), "sizes, widths, heads, patch, vocab"
        raise ConfigError(f"no model can be built of {tables} ({reason}); check {settings}") from None


class Run(ABC, Generic[BatchT, ResultT]):
    """Everything that a run config names, opened: model, data and loss."""

    samples = "pairs"
    """What a batch consists of."""
    model: nn.Module
    """What is trained."""
    training_model: nn.Module
    """The model inside a module whose `forward` returns what the loss needs, perhaps wrapped in DDP or FSDP2."""
    loader: BatchLoader[BatchT]

    def __init__(self, config: RunConfig):
        """Set the seed. Raises ConfigError where the batch cannot be shared by the processes."""
        torch.manual_seed(config.seed)
        self.config, self.rank, self.world = config, rank(), world_size()
        if config.batch % self.world:
            raise ConfigError(f"a batch of {config.batch} cannot be shared by {self.world} processes; make it a multiple")
        self.batch_per_process = config.batch // self.world

    @abstractmethod
    def backward(self, batch: BatchT, weight: float = 1.0) -> Tensor:
        """Add the gradients of weight · loss to the weights, and return the loss."""

    @abstractmethod
    def evaluate(self, trainer: Trainer[BatchT]) -> dict[str, float]:
        """Return validation metrics; empty where there is nothing to validate on. Every process calls it."""

    @abstractmethod
    def export(self, trainer: Trainer[BatchT], card: dict[str, Any]) -> ResultT | None:
        """Write the model with its training card and return its config; None on helper processes. Every process calls it."""

    def step_metrics(self) -> dict[str, float]:
        """Return metrics to log after each step, besides those of every run."""
        return {}


def train(
    kind: type[Run[BatchT, ResultT]], config: RunConfig, resume: bool, show: Show, command: str = ""
) -> ResultT | None:  # fmt: skip
    """Run a config to its end and return the config of what was exported; None on helper processes.

    `command` is recorded in the training card. Raises ConfigError (config or data), TrainingStopped (stopped by a signal, disk
    full, loss not finite), and what loading the start raises.
    """
    with process_group(config.device) as process:
        run, trainer = start(kind, config, resume)
        metrics = Metrics(Path(config.out), trainer.step) if process == 0 else None

        def on_step(progress: Progress) -> None:
            if metrics is not None:
                metrics.log(progress.step, row_of(run, progress))
                show(progress, config)
            if progress.step % config.evaluate_every == 0 or progress.step == config.steps:
                validation = run.evaluate(trainer)
                if metrics is not None:
                    metrics.log(progress.step, {f"val/{name}": value for name, value in validation.items()})
                    metrics.draw_curve()

        trainer.train(run.backward, on_step)
        return run.export(trainer, card_of(run, trainer.step, command, metrics.file) if metrics is not None else {})


def start(
    kind: type[Run[BatchT, ResultT]], config: RunConfig, resume: bool
) -> tuple[Run[BatchT, ResultT], Trainer[BatchT]]:  # fmt: skip
    """Open a run, with its trainer at the checkpoint to resume from if there is one. Raises ConfigError, TrainingStopped."""
    folder = Path(config.out)
    if (folder / "checkpoint.pt").exists() and not resume:
        raise TrainingStopped(f"{folder} holds a run already; add --resume to go on with it, or write out=ANOTHER")
    folder.mkdir(parents=True, exist_ok=True)
    run = kind(config)
    trainer = Trainer(config, run.training_model, run.loader, folder, writes=run.rank == 0)
    if resume and trainer.checkpoint.exists():
        trainer.resume()
    if len(set(gather_objects(trainer.step))) > 1:
        raise TrainingStopped(f"not every process sees {trainer.checkpoint}; give them a shared folder: out=…")
    return run, trainer


def row_of(run: Run[Any, Any], progress: Progress) -> dict[str, float]:
    """Return a step's metrics, as they are logged."""
    return {
        "loss": round(progress.loss, 5),
        "gradient": round(progress.grad_norm, 5),
        f"{run.samples}/s": round(progress.samples_per_second, 1),
        **run.step_metrics(),
        "memory": progress.peak_memory,
    }


def card_of(run: Run[Any, Any], steps: int, command: str, metrics: Path) -> dict[str, Any]:
    """Return what every training card has: command, steps, samples seen, curves, and settings that are not the default."""
    settings = {key: value for key, value in non_default_fields(run.config).items() if key not in NOT_IN_CARD}
    seen = steps * run.config.batch * run.config.accumulate
    curves = read_curves(metrics)
    return {"command": as_utf8(command), "steps": steps, f"{run.samples}_seen": seen, "curves": curves, "settings": settings}
