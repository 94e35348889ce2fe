"""open_clip's names for pretrained models, ARCHITECTURE/TAG: which repository each stands for, and what it is where that does not say."""

import json
from functools import cache
from pathlib import Path

from ...core.errors import MissingExtra, error_summary
from ...core.files import read_json, write_text_atomically

NAMES = Path(__file__).with_name("open_clip_names.tsv")
"""The names and their repositories."""
CONFIG = "open_clip_config.json"


@cache
def repositories() -> dict[str, str]:
    """Return open_clip's names → repositories."""
    rows = NAMES.read_text("utf-8").splitlines()[1:]
    return dict(row.split("\t") for row in rows)


def tokenizer_of(folder: Path) -> str:
    """Return the repository of the tokenizer that a folder's open_clip_config.json names; empty for open_clip's own. Raises UnknownSpace."""
    return str(read_json(folder / CONFIG).get("model_cfg", {}).get("text_cfg", {}).get("hf_tokenizer_name") or "")


def write_config(name: str, folder: Path) -> None:
    """Write the open_clip_config.json of one of open_clip's names into a folder that has none. Raises MissingExtra."""
    architecture, tag = name.split("/")
    try:
        import open_clip
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit its torch
        raise MissingExtra(f"{name} ({error_summary(error)}), whose repository does not say what it is,", "convert") from None
    pretrained = open_clip.get_pretrained_cfg(architecture, tag)
    settings = {key: pretrained[key] for key in ("mean", "std", "interpolation", "resize_mode") if pretrained.get(key)}
    model = open_clip.get_model_config(architecture)
    if pretrained.get("quick_gelu"):
        model["quick_gelu"] = True
    values = {"model_cfg": model, "preprocess_cfg": settings}
    write_text_atomically(folder / CONFIG, json.dumps(values, indent=2) + "\n")
