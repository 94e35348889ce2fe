"""A run card: one TOML file that says what is trained, from what, on what, and how."""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..core.config import ImageTower, Prep, TextTower, from_dict
from ..core.errors import CardError
from ..core.paths import expanded


@dataclass(frozen=True)
class Source:
    """Where pairs come from."""

    path: str = ""
    """A folder, .tsv, .csv, .jsonl, .parquet or .tar files ({00..99} for many), or hf://NAME; local or s3://…"""
    weight: float = 1.0
    """How often it is drawn from, against the others."""
    image: str = "filepath"
    """In a table: the column of pictures (paths relative to the table, or bytes)."""
    caption: str = "title"
    """In a table: the column of captions; several, separated by commas, are drawn from in turn."""
    templates: tuple[str, ...] = ("{}",)
    """Sentences with {} for the caption, one drawn for each picture: "a photo of a {}"."""


@dataclass(frozen=True)
class Card:
    """The settings of a run."""

    name: str = ""
    """Name of the run and of the space; the card's file name by default."""
    out: str = ""
    """Folder for checkpoints, metrics and the finished space; runs/NAME by default."""
    task: str = "space"
    """space (pairs of pictures and captions), assistant (conversations about pictures), or regions (a new assistant's
    projector learns to name the regions that conversations come with, before its language model reads anything)."""
    start: str = ""
    """A space, folder or hub name whose weights are trained further; empty to begin from nothing. An assistant begins from
    an assistant, or with the image tower of a space and `language`."""
    language: str = ""
    """For a new assistant: its language model, by name (SmolLM2-135M-Instruct), as a folder or a .gguf file."""
    template: str = ""
    """For a new assistant: a file with the chat template to use in place of the language model's own."""
    tiles: int = 1
    """For a new assistant: most tiles that a large picture is cut into."""
    places: bool = False
    """Of an assistant: each token of a picture learns to say where it stands, too, beginning from the words for it."""
    image: ImageTower = field(default_factory=ImageTower)
    """From nothing: the image tower."""
    text: TextTower = field(default_factory=TextTower)
    """From nothing: the text tower; `vocab` 0 takes the tokenizer's own size."""
    prep: Prep = field(default_factory=Prep)
    """From nothing: the preprocessing."""
    tokenizer: str = "starter"
    """From nothing: the space, or folder with a tokenizer.json, whose tokenizer is used."""
    train: tuple[Source, ...] = ()
    """Sources of pairs, mixed by weight."""
    val: tuple[Source, ...] = ()
    """Pairs that are never trained on; recall on them is the curve."""
    augment: str = "crop"
    """none, crop (open_clip's random resized crop) or strong (for cut-outs and drawings)."""
    lock: tuple[str, ...] = ()
    """Parts that stay as they are, by the beginning of their names: image (LiT), text, image.blocks.0."""
    lora: int = 0
    """Rank of LoRA; everything but its matrices then stays as it is. 0 for none."""
    lora_on: str = ""
    """Regular expression of the linear layers that get one; empty for those of all blocks (an assistant: of its language
    model's)."""
    connector: int = 0
    """Hidden width of a connector after each tower; everything else then stays as it is. 0 for none."""
    rates: dict[str, float] = field(default_factory=dict)
    """Learning rates of parts, by the beginning of their names, as multiples of lr."""
    loss: str = "clip"
    """clip (softmax) or siglip (sigmoid)."""
    teacher: str = ""
    """A space whose similarities are learned beside the pairs."""
    teacher_weight: float = 1.0
    """Weight of the teacher's loss, against 1 for the pairs."""
    steps: int = 1000
    """Optimiser steps."""
    batch: int = 256
    """Pairs that are told apart in one step, on all machines together."""
    chunk: int = 0
    """Pairs in memory at a time: gradients are cached (GradCache) and equal the whole batch's. 0 for all at once."""
    accumulate: int = 1
    """Batches whose gradients are added up for one step."""
    recompute: bool = False
    """Gradient checkpointing: activations of blocks are computed again when they are needed."""
    precision: str = "fp32"
    """fp32 or bf16 (autocast; weights stay fp32)."""
    optimizer: str = "adamw"
    """adamw, or muon for the matrices of blocks and adamw for the rest."""
    lr: float = 5e-4
    """Peak learning rate."""
    warmup: int = 100
    """Steps of linear warm-up; then half a cosine to zero."""
    weight_decay: float = 0.1
    """For matrices only."""
    beta2: float = 0.98
    """AdamW's second beta."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for any."""
    average: float = 0.0
    """Decay of a running average of the weights, which is then what is evaluated and kept; 0 for none."""
    shard: bool = False
    """With torchrun: FSDP2, which splits weights over machines, in place of DDP."""
    seed: int = 0
    """Of weights, order, augmentation."""
    threads: int = 0
    """Threads that read pictures; 0 for as many as there are processors."""
    save_every: int = 200
    """Steps between checkpoints."""
    evaluate_every: int = 200
    """Steps between evaluations."""
    device: str = ""
    """cpu, cuda or mps; empty for the best there is."""


CHOICES = {
    "task": ("space", "assistant", "regions"),
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
RANGES = {  # not below, not above
    "chunk": (0, math.inf), "threads": (0, math.inf), "seed": (0, math.inf), "warmup": (0, math.inf), "lora": (0, math.inf),
    "connector": (0, math.inf), "lr": (0, math.inf), "weight_decay": (0, math.inf), "clip": (0, math.inf),
    "average": (0, 0.99999), "beta2": (0, 0.99999), "teacher_weight": (0, math.inf),
}  # fmt: skip
AT_LEAST_ONE = ("steps", "batch", "accumulate", "save_every", "evaluate_every")


def read_card(path: Path, overrides: list[str] | tuple[str, ...] = ()) -> Card:
    """A card from its file, with `key=value` laid over it. Raises CardError naming the key that is wrong.

    Paths of sources are relative to the card, and those laid over it to the working directory.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"{path} cannot be read as a run card ({error}); write TOML such as: steps = 1000") from None
    said: dict[str, Any] = {}
    keys = [override.partition("=")[0].strip() for override in overrides]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise CardError(f"{twice} is set more than once; a range of files needs quotes: 'train=shards/{{00..41}}.tar'")
    for override in overrides:
        lay_over(said, override)
    values = merged(placed(values, path.parent), placed(said, Path.cwd()))
    card = from_dict(Card, values, CardError)
    card = dataclasses.replace(card, name=card.name or path.stem)
    card = dataclasses.replace(card, out=str(expanded(card.out or f"runs/{card.name}")))
    check(card)
    return card


def card_of(values: dict[str, Any], overrides: list[str]) -> Card:
    """A recipe's own card, without a file or sources, with `key=value` laid over it. Raises CardError naming the key that is wrong."""
    values = dict(values)
    for override in overrides:
        lay_over(values, override)
    return from_dict(Card, values, CardError)


def placed(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same with the sources opened up into Source, their paths below the folder."""
    sources = {key: values[key] for key in ("train", "val") if key in values}
    listed = {key: s if isinstance(s, list) else [s] for key, s in sources.items()}
    return values | {key: tuple(source_of(s, folder) for s in some) for key, some in listed.items()}


def merged(values: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """One set of settings laid over another, table by table."""
    tables = {k: merged(values[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(values.get(k), dict)}
    return values | over | tables


def lay_over(values: dict[str, Any], override: str) -> None:
    """Set one `key=value`; `image.width=256` reaches into a table. Values are TOML, or else words."""
    key, equals, text = override.partition("=")
    if not equals:
        raise CardError(f"{override!r} sets nothing; write key=value, such as lr=1e-4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, name = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise CardError(f"{table} is set to {values!r} and {key} is a setting within it; leave out one of them")
    values[name] = value


def source_of(value: Any, folder: Path) -> Source:
    """A path, or a table of Source's settings."""
    if not isinstance(value, str | dict):
        raise CardError(f'{value!r} is no source; write train = "pairs.tsv"')
    source = from_dict(Source, {"path": value} if isinstance(value, str) else value, CardError)
    if not source.path:
        raise CardError('a source has no path; write train = [{ path = "pairs.tsv" }]')
    if not source.templates or not all("{}" in t for t in source.templates):
        raise CardError(f"a template of {source.path} has no {{}}; write one such as: a photo of a {{}}")
    if source.weight <= 0:
        raise CardError(f"the weight of {source.path} is {source.weight:g}; give more than 0, or leave the source out")
    local = "://" not in source.path
    return dataclasses.replace(source, path=str(folder / expanded(source.path)) if local else source.path)


def check(card: Card) -> None:
    """Raises CardError on values that cannot work."""
    for key, allowed in CHOICES.items():
        if (value := attrgetter(key)(card)) not in allowed:
            raise CardError(f"{key} is {value!r}; choose one of {', '.join(allowed)}")
    for key in AT_LEAST_ONE:
        if getattr(card, key) < 1:
            raise CardError(f"{key} is {getattr(card, key)}; give at least 1")
    for key, (least, most) in RANGES.items():
        if not least <= getattr(card, key) <= most:
            raise CardError(
                f"{key} is {getattr(card, key)}; give {least:g}" + (f" to {most:g}" if most < math.inf else " or more")
            )
    if not all(isinstance(rate, int | float) and rate >= 0 for rate in card.rates.values()):
        raise CardError(f"rates is {card.rates}; give numbers from 0 on, such as: rates = {{ image = 0.1 }}")
    if not card.train:
        raise CardError('the card names no pairs to train on; write train = ["pairs.tsv"]')
    if card.shard and (card.average or card.lora or card.optimizer != "adamw"):
        raise CardError("shard goes with neither average, lora nor muon; leave them out, or train with DDP")
    if (card.lora or card.connector) and not card.start:
        raise CardError('lora and connector train beside weights that are there; name them: start = "starter"')
    if card.task != "space" and (card.shard or card.connector or not card.start):
        raise CardError("an assistant begins from a space or an assistant, without shard or connector; write start = ...")
    if card.task == "regions" and (card.lora or "lm" not in card.lock):
        raise CardError('regions teach the projector while the language model rests; write lock = ["image", "lm"], no lora')
    if card.lora and card.connector:
        raise CardError("lora and connector both leave everything else as it is; choose one")
