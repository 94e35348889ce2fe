"""Which weights learn: locked parts, LoRA, a connector; and how a model from nothing begins."""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..core.config import ImageTower, TextTower
from ..core.errors import CardError, MissingExtra, cause_of, error_summary
from ..models.clip import DualEncoder
from ..models.layers import Block
from ..models.lm import LlamaBlock
from ..spaces.towers import dual_encoder
from .config import Card
from .optim import within

LORA_ON = {"space": r".*\.(qkv|out|fc1|fc2)", "assistant": r"lm\.blocks\..*\.(qkv|out|gate_up|down)"}
"""Where LoRA goes by default: into every block, of an assistant into those of its language model."""


def initialize(model: DualEncoder) -> None:
    """Weights of a model from nothing, by the widths of its layers. Radford et al. 2021, §2.5, after GPT-2."""
    for tower in (model.image, model.text):
        blocks = [m for m in tower.modules() if isinstance(m, Block)]
        for block in blocks:
            width = block.norm1.normalized_shape[0]
            thin = width**-0.5 * (2 * len(blocks)) ** -0.5  # the more residual sums, the smaller each
            for layer, std in (
                (block.attn.qkv, width**-0.5), (block.attn.out, thin),
                (block.mlp.fc1, (2 * width) ** -0.5), (block.mlp.fc2, thin),
            ):  # fmt: skip
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)
        if isinstance(tower.proj, nn.Linear):
            nn.init.normal_(tower.proj.weight, std=tower.proj.in_features**-0.5)
    nn.init.normal_(model.text.token_embed.weight, std=0.02)


def with_connector(
    model: DualEncoder, image: ImageTower, text: TextTower, hidden: int
) -> tuple[ImageTower, TextTower, DualEncoder]:
    """The same towers with a connector after each, which at first changes nothing."""
    image, text = replace(image, adapter=hidden), replace(text, adapter=hidden)
    connected = dual_encoder(image, text, model.logit_bias is not None)
    connected.load_state_dict(model.state_dict() | {k: v for k, v in connected.state_dict().items() if ".connector." in k})
    return image, text, connected


def choose_parts(model: nn.Module, card: Card) -> None:
    """Lock what the card locks. Raises CardError where a name fits nothing, or nothing is left to learn."""
    if card.connector:
        for name, p in model.named_parameters():
            p.requires_grad_(".connector." in name or name.startswith("logit_"))
    for part in card.lock:
        named = [p for name, p in model.named_parameters() if within(name, part)]
        if not named:
            raise CardError(
                f"lock names {part!r}, which is no part of the model; parts begin with image., text., projector. or lm."
            )
        for p in named:
            p.requires_grad_(False)
    for part in card.rates:
        if not any(within(name, part) for name, p in model.named_parameters()):
            raise CardError(f"rates names {part!r}, which is no part of the model; parts begin with image. or text.")
    if not any(p.requires_grad for p in model.parameters()):
        raise CardError("every part is locked and nothing is left to learn; lock less")
    if card.recompute:
        for module in model.modules():
            if isinstance(module, Block | LlamaBlock):
                module.forward = partial(checkpoint, module.forward, use_reentrant=False)


class Adapters:
    """LoRA matrices beside linear layers, put there and merged by peft. Hu et al. 2021."""

    def __init__(self, model: nn.Module, card: Card):
        if not find_spec("peft"):
            raise MissingExtra("LoRA (peft)", "train")
        try:
            import peft
        except (ImportError, RuntimeError) as error:  # it is there, and something under it is broken
            raise CardError(
                f"LoRA's package peft cannot be loaded ({error_summary(cause_of(error))}); mend that package"
            ) from None
        on = card.lora_on or LORA_ON[card.task]
        config = peft.LoraConfig(r=card.lora, lora_alpha=2 * card.lora, target_modules=on, lora_dropout=0.0)
        try:
            self.tuner = peft.tuners.lora.LoraModel(model, {"default": config}, "default")
        except ValueError as error:
            raise CardError(f"lora_on = {on!r} fits no linear layer ({error}); see --dry-run for their names") from None
        for name, p in model.named_parameters():
            if name.startswith(("logit_", "projector.", "place")):
                p.requires_grad_(True)

    def merged(self) -> nn.Module:
        """The model with the matrices multiplied into its weights: plain linear layers again."""
        return self.tuner.merge_and_unload()


@torch.no_grad()
def copied(model: DualEncoder, image: ImageTower, text: TextTower) -> DualEncoder:
    """A model of its own with the same weights."""
    twin = dual_encoder(image, text, model.logit_bias is not None)
    twin.load_state_dict(model.state_dict())
    return twin.eval()


def sizes(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Parameters of each part (image.blocks, text.proj, …), and how many of them learn."""
    found: dict[str, tuple[int, int]] = {}
    for name, p in model.named_parameters():
        part = ".".join(name.split(".")[:2])
        total, learning = found.get(part, (0, 0))
        found[part] = total + p.numel(), learning + p.numel() * p.requires_grad
    return found
