"""The training loop, the same for every task: what a step does with a batch is the task's part."""

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import FSDPModule

from ..core.errors import ConfigError, TrainingStopped
from . import checkpoint
from .config import RunConfig
from .data import BatchLoader, Position
from .distributed import gather_objects, rank, world_size
from .optim import Optimizer, build_ema, build_optimizer, lr_at, set_lr

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

FULL_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True)
"""With FSDP2 a checkpoint is gathered from all processes, and looks like that of one."""
MAX_LOGIT_SCALE = 100.0
"""CLIP's temperature is clipped here. Radford et al. 2021, §2.5."""

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Progress:
    """The state of a run after a step."""

    step: int
    """Steps done."""
    loss: float
    """Loss of this step."""
    grad_norm: float
    """Norm of this step's gradient, before clipping."""
    samples_per_second: float
    """Samples per second since this process began."""
    skipped: int
    """Different samples skipped so far."""
    peak_memory: int
    """Largest memory of this process so far, in megabytes; 0 where it cannot be measured."""


class Trainer(Generic[BatchT]):
    """A model, its optimizer, and the step it is at."""

    def __init__(
        self, config: RunConfig, model: nn.Module, loader: BatchLoader[BatchT], folder: Path, writes: bool = True
    ):  # fmt: skip
        """`model` may be wrapped in DDP or FSDP2. Checkpoints go to the folder; of several processes one `writes` them."""
        self.config, self.model, self.loader, self.writes = config, model, loader, writes
        self.unwrapped: nn.Module = getattr(model, "module", model)  # without DDP
        self.optimizer: Optimizer = build_optimizer(model, config)
        self.ema = build_ema(self.unwrapped, config)
        if config.compile:
            compile_in_place(self.unwrapped)
        self.checkpoint, self.step, self.sharded = folder / "checkpoint.pt", 0, isinstance(model, FSDPModule)
        self.skipped: dict[str, str] = {}
        """Samples that all processes skipped until the last checkpoint, name → reason."""

    @property
    def averaged(self) -> nn.Module:
        """The module to evaluate: the moving average, if the run has one."""
        return self.unwrapped if self.ema is None else self.ema.module

    def resume(self) -> None:
        """Go on from the checkpoint. Raises TrainingStopped where it is of another model or number of processes."""
        state = checkpoint.load(self.checkpoint)
        try:
            self._load_weights(state)
            positions = [Position(**position) for position in state["positions"]]
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            text = str(error).splitlines()[0]
            raise TrainingStopped(f"{self.checkpoint} is of another model ({text}); name another folder: out=…") from None
        if len(positions) != world_size():
            raise TrainingStopped(f"the run had {len(positions)} processes; go on with as many, or name another folder: out=…")
        self.step, self.loader.position, self.skipped = state["step"], positions[rank()], state.get("skipped", {})
        configured = build_optimizer(self.model, self.config).param_groups
        for group, settings in zip(self.optimizer.param_groups, configured):  # the config may have changed since
            group |= {key: settings[key] for key in ("lr_multiplier", "weight_decay", "betas") if key in settings}

    def _load_weights(self, state: dict[str, Any]) -> None:
        """Load model, optimizer and moving average."""
        if self.sharded:
            set_state_dict(
                self.model, self._torch_optimizer(), options=FULL_STATE,
                model_state_dict=state["model"], optim_state_dict=state["optimizer"],
            )  # fmt: skip
        else:
            self.unwrapped.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])

    def _torch_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of a sharded model, which is always a single one."""
        assert isinstance(self.optimizer, torch.optim.Optimizer)
        return self.optimizer

    def save(self) -> None:
        """Write a checkpoint. Every process calls it."""
        positions = [asdict(position) for position in gather_objects(self.loader.position)]
        for reasons in gather_objects(self.loader.skipped.reasons):
            self.skipped |= reasons
        if self.sharded:
            model, optimizer = get_state_dict(self.model, self._torch_optimizer(), options=FULL_STATE)
        else:
            model, optimizer = self.unwrapped.state_dict(), self.optimizer.state_dict()
        if self.writes:
            ema = self.ema.state_dict() if self.ema is not None else {}
            state = {
                "model": model,
                "optimizer": optimizer,
                "ema": ema,
                "step": self.step,
                "positions": positions,
                "skipped": self.skipped,
            }
            checkpoint.save(self.checkpoint, state)

    def train(self, backward: Callable[[BatchT, float], Tensor], on_step: Callable[[Progress], None]) -> None:
        """Run the configured steps. `backward(batch, weight)` adds the gradients of weight · loss and returns the loss.

        Raises TrainingStopped on SIGTERM and Ctrl-C (after a checkpoint), and on a loss that is not finite.
        """
        config, batches, started, first = self.config, iter(self.loader), time.monotonic(), self.step
        with catch_stop_signals() as signals:
            while self.step < config.steps:
                set_lr(self.optimizer, lr_at(self.step, config))
                loss = 0.0
                for _ in range(config.accumulate):
                    batch = next(batches)
                    loss += backward(batch, 1 / config.accumulate).item() / config.accumulate
                    if not math.isfinite(loss):
                        raise TrainingStopped(self._describe_failure(f"the loss is {loss}", batch))
                grad_norm = self._update(batch)
                self.step += 1
                loss, stop = combine(loss, bool(signals))
                rate = (self.step - first) * config.batch * config.accumulate / (time.monotonic() - started)
                if self.step % config.save_every == 0 or self.step == config.steps:
                    self.save()
                skipped = len(self.skipped | self.loader.skipped.reasons)
                on_step(Progress(self.step, loss, grad_norm, rate, skipped, peak_memory()))
                if stop and self.step < config.steps:
                    self.save()
                    raise TrainingStopped(
                        f"stopped at step {self.step} of {config.steps}; the same command with --resume goes on"
                    )

    def _update(self, batch: BatchT) -> float:
        """Make one optimizer step and return the gradient's norm. Raises TrainingStopped where that is not finite."""
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.grad_clip or math.inf)
        grad_norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        if not math.isfinite(grad_norm):
            raise TrainingStopped(self._describe_failure(f"the gradient is {grad_norm}", batch))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if name.endswith("logit_scale") and p.requires_grad and self.config.loss == "clip":
                    p.clamp_(max=math.log(MAX_LOGIT_SCALE))
        if self.ema is not None:
            self.ema.update_parameters(self.unwrapped)
        return grad_norm

    def _describe_failure(self, what: str, batch: Any) -> str:
        """Return the message on a loss or gradient that is not finite, and write the names of its batch to a file."""
        file = self.checkpoint.with_name(f"bad_batch{rank() or ''}.txt")
        names = list(getattr(batch, "names", ()))  # a task's batches may have neither names nor captions
        captions = getattr(batch, "captions", [""] * len(names))
        file.write_text("".join(f"{name}\t{caption}\n" for name, caption in zip(names, captions)), "utf-8", "replace")
        which = f", for a batch that begins with {names[0]} (all: {file})" if names else ""
        return f"{what} at step {self.step}{which}; lower lr or raise warmup, then go on with --resume"


def compile_in_place(model: nn.Module) -> None:
    """Let torch.compile make a model's forward and backward pass faster; its weights keep their names. Raises ConfigError."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and not any(shutil.which(os.environ.get("CXX") or name) for name in ("g++", "clang++", "cl")):
        raise ConfigError("compile = true needs a C++ compiler on a CPU; install g++ or clang++, or leave it out")
    model.compile()


def combine(loss: float, stop: bool) -> tuple[float, bool]:
    """Return the mean loss of all processes, and whether any was told to stop: all stop after the same step, or none."""
    gathered = gather_objects((loss, stop))
    return sum(loss for loss, _ in gathered) / len(gathered), any(stop for _, stop in gathered)


@contextmanager
def catch_stop_signals() -> Iterator[list[int]]:
    """Yield a list that SIGTERM and Ctrl-C are appended to; a second Ctrl-C raises KeyboardInterrupt."""
    signals: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if signals and number == signal.SIGINT:
            raise KeyboardInterrupt
        signals.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def peak_memory() -> int:
    """Return the largest memory of this process so far, in megabytes; 0 where the system does not tell."""
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
