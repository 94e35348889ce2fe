"""A run config: one TOML file that says what is trained, on which data, and how."""

import dataclasses
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..core.config import ImageTower, Prep, TextTower, from_dict
from ..core.errors import ConfigError
from ..core.generator_config import GeneratorConfig
from ..core.native_config import NativeConfig
from ..core.paths import expanded


@dataclass(frozen=True)
class Source:
    """Where pairs come from."""

    path: str = ""
    """A folder, .tsv, .csv, .jsonl, .parquet or .tar files ({00..99} for many), or hf://NAME; local or s3://…"""
    weight: float = 1.0
    """How often it is sampled, relative to the other sources."""
    image: str = "filepath"
    """In a table: the column of pictures (paths relative to the table, or bytes)."""
    caption: str = "title"
    """In a table: the column of captions; of several, separated by commas, one is sampled each time."""
    templates: tuple[str, ...] = ("{}",)
    """Sentences with {} for the caption, one sampled for each picture: "a photo of a {}"."""


@dataclass(frozen=True)
class RunConfig:
    """The settings of a training run."""

    name: str = ""
    """Name of the run and of the space; the file's name by default."""
    out: str = ""
    """Folder for checkpoints, metrics and the finished space; runs/NAME by default."""
    task: str = "space"
    """space (pairs of pictures and captions), assistant (conversations about pictures), regions (the projector of a new
    assistant learns to name regions of pictures; the language model does not run), draw (a generator learns to draw
    pictures from their captions and vectors), or native (one model reads and draws words, pictures and sounds)."""
    start: str = ""
    """A space, folder or hub name to fine-tune; empty for new weights. An assistant starts from an assistant, or from the
    image tower of a space and `language`; a generator draws in the space that it names."""
    language: str = ""
    """For a new assistant: its language model, by name (SmolLM2-135M-Instruct), as a folder or a .gguf file."""
    template: str = ""
    """For a new assistant: a file with the chat template to use instead of the language model's own."""
    tiles: int = 1
    """For a new assistant: the most tiles that a large picture is cut into."""
    position_embedding: bool = False
    """For an assistant: add a learned 2-D position to each token of a picture, initialised from the words for it."""
    image: ImageTower = field(default_factory=ImageTower)
    """For new weights: the image tower."""
    text: TextTower = field(default_factory=TextTower)
    """For new weights: the text tower; `vocab` 0 takes the tokenizer's own size."""
    prep: Prep = field(default_factory=Prep)
    """For new weights: the preprocessing."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """For a generator: its transformer."""
    native: NativeConfig = field(default_factory=NativeConfig)
    """For a native model: its transformer."""
    tokenizer: str = "starter"
    """For new weights: the space, or folder with a tokenizer.json, whose tokenizer is used."""
    train: tuple[Source, ...] = ()
    """Training sources, mixed by weight."""
    val: tuple[Source, ...] = ()
    """Validation sources, never trained on."""
    augment: str = "crop"
    """none, crop (open_clip's random resized crop) or strong (for cut-outs and drawings)."""
    lock: tuple[str, ...] = ()
    """Frozen parts, by the beginning of their parameters' names: image (LiT), text, image.blocks.0."""
    lora: int = 0
    """Rank of LoRA, which freezes all other weights; 0 for none."""
    lora_targets: str = ""
    """Regular expression of the linear layers that LoRA is added to; empty for those of all blocks (of an assistant: those of
    its language model)."""
    adapter: int = 0
    """Hidden width of a residual adapter after each tower, which freezes all other weights; 0 for none."""
    lr_multipliers: dict[str, float] = field(default_factory=dict)
    """Learning rates of parts, by the beginning of their parameters' names, as multiples of lr."""
    loss: str = "clip"
    """clip (softmax) or siglip (sigmoid)."""
    teacher: str = ""
    """A space whose similarities are distilled, in addition to the loss on pairs."""
    teacher_weight: float = 1.0
    """Weight of the distillation loss; the loss on pairs has weight 1."""
    steps: int = 1000
    """Optimizer steps."""
    batch: int = 256
    """Global batch size: pairs contrasted per step."""
    row: int = 0
    """For a native model: tokens of a row, in which several documents stand; 0 for its context."""
    grad_cache_chunk: int = 0
    """Pairs in memory at a time; gradients are cached (GradCache) and equal those of the whole batch. 0 for all at once."""
    accumulate: int = 1
    """Batches whose gradients are accumulated for one step: their mean, each batch's own loss being a mean over what it holds."""
    gradient_checkpointing: bool = False
    """Recompute the activations of blocks in the backward pass instead of storing them."""
    precision: str = "fp32"
    """fp32 or bf16 (autocast; weights stay fp32; on a processor that has no instructions for it, fp32)."""
    compile: bool = False
    """Compile the model (torch.compile): slow to begin, faster ever after. On a CPU it needs a C++ compiler."""
    optimizer: str = "adamw"
    """adamw, or muon for the matrices of blocks and adamw for the rest."""
    lr: float = 5e-4
    """Peak learning rate."""
    warmup: int = 100
    """Steps of linear warm-up, before a cosine decay to zero."""
    weight_decay: float = 0.1
    """Weight decay of matrices; vectors and scalars have none."""
    beta2: float = 0.98
    """AdamW's second beta."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    ema_decay: float = 0.0
    """Decay of an exponential moving average of the weights, which is then evaluated and exported; 0 for none."""
    fsdp: bool = False
    """With torchrun: shard the weights over processes (FSDP2) instead of replicating them (DDP)."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    threads: int = 0
    """Threads that decode pictures; 0 for one per processor."""
    save_every: int = 200
    """Steps between checkpoints."""
    evaluate_every: int = 200
    """Steps between evaluations."""
    device: str = ""
    """cpu, cuda or mps; empty for the best available."""


CHOICES = {
    "task": ("space", "assistant", "regions", "draw", "native"),
    "augment": ("none", "crop", "strong"),
    "loss": ("clip", "siglip"),
    "precision": ("fp32", "bf16"),
    "optimizer": ("adamw", "muon"),
    "image.pool": ("class", "attention"),
    "image.act": ("gelu", "quick_gelu", "gelu_tanh"),
    "text.act": ("gelu", "quick_gelu", "gelu_tanh"),
    "text.mask": ("causal", "none", "padding"),
    "text.pool": ("end", "last", "mean"),
    "prep.resize": ("shortest", "squash", "longest"),
    "prep.interpolation": ("bicubic", "bilinear"),
    "prep.crop": ("round", "floor"),
    "prep.clean": ("clip", "canonicalize", "siglip", "none"),
}
"""Setting → allowed values."""
RANGES = {
    **{
        key: (0, math.inf)
        for key in (
            "adapter", "row", "grad_cache_chunk", "grad_clip", "lora", "lr", "seed", "teacher_weight", "threads", "warmup", "weight_decay",
        )
    },
    "ema_decay": (0, 0.99999),
    "beta2": (0, 0.99999),
}  # fmt: skip
"""Setting → (minimum, maximum)."""
AT_LEAST_ONE = ("steps", "batch", "accumulate", "save_every", "evaluate_every")


def read_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run config from a TOML file and apply `key=value` overrides. Raises ConfigError naming the key that is wrong.

    Paths of sources are relative to the file; those in overrides are relative to the working directory.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read as a run config ({reason}); write TOML such as: steps = 1000") from None
    keys = [override.partition("=")[0].strip() for override in overrides]
    if repeated := next((key for key in keys if keys.count(key) > 1), None):
        raise ConfigError(f"{repeated} is set more than once; a range of files needs quotes: 'train=shards/{{00..41}}.tar'")
    overridden: dict[str, Any] = {}
    for override in overrides:
        _apply_override(overridden, override)
    values = _merge(_parse_sources(values, path.parent), _parse_sources(overridden, Path.cwd()))
    config = from_dict(RunConfig, values, ConfigError)
    config = dataclasses.replace(config, name=config.name or path.stem)
    config = dataclasses.replace(config, out=str(expanded(config.out or f"runs/{config.name}")))
    validate(config)
    return config


def config_from(values: dict[str, Any], overrides: Sequence[str], fixed: Sequence[str] = ()) -> RunConfig:
    """Build a recipe's run config, which has no file and no sources, from values and `key=value` overrides.

    Raises ConfigError naming the key that is wrong, or `fixed`.
    """
    values = dict(values)
    for override in overrides:
        if override.partition("=")[0].strip() in fixed:
            raise ConfigError(f"{override} sets what is fixed in this recipe; leave it out")
        _apply_override(values, override)
    config = from_dict(RunConfig, values, ConfigError)
    _validate_values(config)
    return config


def _parse_sources(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values with `train` and `val` as tuples of Source, their paths relative to the folder."""
    sources = {key: values[key] for key in ("train", "val") if key in values}
    lists = {key: value if isinstance(value, list) else [value] for key, value in sources.items()}
    return values | {key: tuple(_parse_source(value, folder) for value in listed) for key, listed in lists.items()}


def _merge(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the values with the overrides applied, table by table."""
    tables = {
        key: _merge(values[key], value)
        for key, value in overrides.items()
        if isinstance(value, dict) and isinstance(values.get(key), dict)
    }
    return values | overrides | tables


def _apply_override(values: dict[str, Any], override: str) -> None:
    """Set one `key=value` in place; `image.width=256` sets a key of a table. A value that is not TOML is a string."""
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"{override!r} sets nothing; write key=value, such as lr=1e-4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, name = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{table} is set to {values!r} and {key} is a setting within it; leave out one of them")
    values[name] = value


def _parse_source(value: Any, folder: Path) -> Source:
    """Build a Source from a path or a table of its settings. Raises ConfigError."""
    if not isinstance(value, str | dict):
        raise ConfigError(f'{value!r} is not a source; write train = "pairs.tsv"')
    source = from_dict(Source, {"path": value} if isinstance(value, str) else value, ConfigError)
    if not source.path:
        raise ConfigError('a source has no path; write train = [{ path = "pairs.tsv" }]')
    if not source.templates or not all("{}" in template for template in source.templates):
        raise ConfigError(f"a template of {source.path} has no {{}}; write one such as: a photo of a {{}}")
    if source.weight <= 0:
        raise ConfigError(f"the weight of {source.path} is {source.weight:g}; give more than 0, or leave the source out")
    local = "://" not in source.path
    return dataclasses.replace(source, path=str(folder / expanded(source.path)) if local else source.path)


def validate(config: RunConfig) -> None:
    """Raise ConfigError on values that cannot work, by themselves or together."""
    _validate_values(config)
    if not config.train:
        raise ConfigError('the run config has no pairs to train on; write train = ["pairs.tsv"]')
    _validate_combinations(config)


def _validate_values(config: RunConfig) -> None:
    """Raise ConfigError on values that cannot work by themselves."""
    for key, allowed in CHOICES.items():
        if (value := attrgetter(key)(config)) not in allowed:
            raise ConfigError(f"{key} is {value!r}; choose one of {', '.join(allowed)}")
    for key in AT_LEAST_ONE:
        if getattr(config, key) < 1:
            raise ConfigError(f"{key} is {getattr(config, key)}; give at least 1")
    for key, (least, most) in RANGES.items():
        if not least <= getattr(config, key) <= most:
            limit = f" to {most:g}" if most < math.inf else " or more"
            raise ConfigError(f"{key} is {getattr(config, key)}; give {least:g}{limit}")
    if not all(isinstance(factor, int | float) and factor >= 0 for factor in config.lr_multipliers.values()):
        example = "lr_multipliers = { image = 0.1 }"
        raise ConfigError(f"lr_multipliers is {config.lr_multipliers}; give numbers from 0 on, such as: {example}")


UNUSED = {
    "assistant": ("loss", "teacher", "image", "text", "prep", "tokenizer", "generator", "native", "augment", "adapter", "row"),
    "draw": (
        "loss", "teacher", "grad_cache_chunk", "gradient_checkpointing", "image", "text", "prep", "tokenizer", "native", "row",
        "language", "template", "tiles", "position_embedding",
    ),
    "native": (
        "loss", "teacher", "grad_cache_chunk", "gradient_checkpointing", "image", "text", "prep", "generator", "augment",
        "language", "template", "tiles", "position_embedding",
    ),
    "space": ("language", "template", "tiles", "position_embedding", "generator", "native", "row"),
}  # fmt: skip
UNUSED["regions"] = (*UNUSED["assistant"], "grad_cache_chunk")
"""Task → settings that it does not read. (The words of a batch's regions compete with each other: parts of it are another loss.)"""


def _unread_of_start(config: RunConfig) -> tuple[str, ...]:
    """Return settings that are those of what a run starts from."""
    if config.task == "space" and config.start:
        return "image", "text", "prep", "tokenizer"
    return ("template", "tiles") if config.task in ("assistant", "regions") and not config.language else ()


def _validate_combinations(config: RunConfig) -> None:
    """Raise ConfigError on settings that exclude each other, or that the task does not read."""
    for key in UNUSED[config.task]:
        if getattr(config, key) != getattr(RunConfig(), key):
            raise ConfigError(f'task = "{config.task}" does not read {key}; leave it out')
    for key in _unread_of_start(config):
        if getattr(config, key) != getattr(RunConfig(), key):
            raise ConfigError(f"{key} is that of {config.start}, which the run starts from; leave it out")
    if config.fsdp and (config.ema_decay or config.lora or config.optimizer != "adamw"):
        raise ConfigError("fsdp works with neither ema_decay, lora nor muon; leave them out, or train with DDP")
    if (config.lora or config.adapter) and not config.start:
        raise ConfigError('lora and adapter add to weights that exist; name them: start = "starter"')
    if config.task == "draw" and (config.fsdp or config.adapter or config.lora or not config.start):
        raise ConfigError('a generator draws in a space, without fsdp, lora or adapter; write start = "starter"')
    if config.task in ("assistant", "regions") and (config.fsdp or config.adapter or not config.start):
        raise ConfigError("an assistant starts from a space or an assistant, without fsdp or adapter; write start = ...")
    if config.task == "regions" and (config.lora or "lm" not in config.lock):
        raise ConfigError('regions train the projector and freeze the language model; write lock = ["image", "lm"], no lora')
    if config.task == "native" and (config.fsdp or config.adapter or config.lora or config.start):
        raise ConfigError("a native model is trained from new weights, without fsdp, lora, adapter or start; leave them out")
    if config.lora and config.adapter:
        raise ConfigError("lora and adapter each freeze all other weights; choose one")
