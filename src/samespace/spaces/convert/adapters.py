"""LoRA adapters as peft writes them: added to the weights of the model that they were trained on. Hu et al. 2021, "LoRA", §4.1."""

import shutil
import warnings
from pathlib import Path

import peft
import torch
import transformers

from ...core.errors import UnknownSpace, error_summary
from ..checkpoints.tensors import read_tensors
from .hub import SMALL_FILES


def _check_names(adapted: peft.PeftModel, adapter: Path) -> None:
    """Raise ValueError where an adapter's file and the model have not the same names: what has another is left out by peft."""
    file = next(adapter / name for name in ("adapter_model.safetensors", "adapter_model.bin") if (adapter / name).exists())
    differing = set(read_tensors(file)) ^ set(peft.get_peft_model_state_dict(adapted))
    if differing:
        raise ValueError(f"{min(differing)} is in one of them only")


def merge(adapter: Path, base: Path, folder: Path) -> Path:
    """Write the model with an adapter's weights added into `folder`, as transformers writes it, and return that.

    Raises UnknownSpace where the adapter does not fit.
    """
    try:
        model = transformers.AutoModel.from_pretrained(base, dtype=torch.float32, local_files_only=True, trust_remote_code=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's, about transformers' own names
            adapted = peft.PeftModel.from_pretrained(model, adapter)
        _check_names(adapted, adapter)
        merged = adapted.merge_and_unload()
        merged.save_pretrained(folder)
    except Exception as error:  # whatever the two libraries raise
        raise UnknownSpace(
            f"the adapter {adapter} cannot be added to {base} ({error_summary(error)}); check that they fit"
        ) from None
    for name in SMALL_FILES:
        for place in (base, adapter):  # an adapter may bring its own tokenizer
            if (place / name).exists() and name not in ("config.json", "adapter_config.json"):
                shutil.copyfile(place / name, folder / name)
    return folder
