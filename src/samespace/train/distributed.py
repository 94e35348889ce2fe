"""Training in several processes that `torchrun` started, and which device each of them uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

from ..core.errors import ConfigError, error_summary
from .config import RunConfig

TIMEOUT = timedelta(hours=2)
"""How long processes wait for the one that evaluates."""

T = TypeVar("T")


@contextmanager
def process_group(device: str = "") -> Iterator[int]:
    """Join the processes that `torchrun` started, if it did, and yield this one's rank."""
    if "RANK" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield 0
        return
    cuda = (device or best_device()).startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=TIMEOUT)
    try:
        yield dist.get_rank()
        # A process that leaves while others still send to it would fail them, so all wait for each other. Gloo's plain barrier
        # can deadlock here: its thread may wait for the interpreter while destroy_process_group waits for that thread.
        if cuda:
            dist.barrier()
        else:
            dist.monitored_barrier()
    finally:
        dist.destroy_process_group()


def best_device() -> str:
    """Return the best device there is: cuda:LOCAL_RANK, mps or cpu."""
    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16; a processor without them would compute it many times slower than fp32."""
    return device.type != "cpu" or (torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def uses_bf16(config: RunConfig, device: torch.device) -> bool:
    """Whether a run computes in bf16: where its config says so, and its device has instructions for it."""
    return config.precision == "bf16" and multiplies_bf16(device)


def device_of(config: RunConfig) -> torch.device:
    """Return the device that a run uses. Raises ConfigError where it is not available."""
    try:
        device = torch.device(config.device or best_device())
        torch.zeros(1).to(device)
    except (RuntimeError, AssertionError) as error:
        reason = error_summary(error)
        raise ConfigError(f"{config.device} cannot be used here ({reason}); write device=cpu, or leave it out") from None
    return device


def world_size() -> int:
    """Return the number of processes; 1 outside of `process_group`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number; 0 outside of `process_group`."""
    return dist.get_rank() if world_size() > 1 else 0


def gather_objects(mine: T) -> list[T]:
    """Return every process's small object, in order of rank. Every process calls it."""
    objects = [mine] * world_size()
    if world_size() > 1:
        dist.all_gather_object(objects, mine)
    return objects


def mean_count(count: int) -> float:
    """Return the mean of every process's count. Every process calls it.

    A sum divided by it, averaged over the processes as DDP does with gradients, is the mean over all that they count.
    """
    return sum(gather_objects(count)) / world_size()


def gather(x: Tensor) -> Tensor:
    """Concatenate every process's x, without gradient: (B, …) → (world · B, …)."""
    parts = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate every process's x; gradients flow back to each: (B, …) → (world · B, …)."""
    return torch.cat(all_gather(x))


@contextmanager
def without_sync(model: nn.Module) -> Iterator[None]:
    """Accumulate gradients in this process only, until a backward pass outside of this context."""
    if isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    elif isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(False)
        yield
        model.set_requires_gradient_sync(True)
    else:
        yield


def scalar_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Return the parameters without dimensions, which FSDP2 cannot shard."""
    return {p for p in model.parameters() if p.ndim == 0}


def average_scalar_gradients(model: nn.Module) -> None:
    """Average the gradients of scalars over processes; FSDP2 does so for all other parameters only."""
    if isinstance(model, FSDPModule):
        for p in scalar_parameters(model):
            if p.grad is not None:
                dist.all_reduce(p.grad)
                p.grad /= world_size()
