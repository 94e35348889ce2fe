"""A folder as transformers writes it, or a GGUF file → a language model, its tokenizer and its chat template."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..core.assistant_config import LanguageModel
from ..core.errors import UnknownAssistant
from ..core.files import read_json
from ..models.lm import Llama
from ..preprocess.tokens import read_tokenizer
from ..spaces.checkpoints.language_layout import language_config
from ..spaces.checkpoints.tensors import check_weights, fill, read_weights
from ..spaces.checkpoints.weight_maps import LLAMA, Weights, renamed

DEFAULT_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
"""Chat template of a model that has none."""


@dataclass
class Language:
    """A language model, its tokenizer and its chat template."""

    model: Llama
    tokenizer: Tokenizer
    template: str
    """Jinja, as in tokenizer_config.json."""
    special_tokens: dict[str, str]
    """bos_token, eos_token and others, for templates that use them; empty where there is none."""


def read_language(path: Path) -> Language:
    """Read a folder with config.json, or a GGUF file: fp32, on the CPU. Raises UnknownAssistant, WeightsMismatch."""
    if path.suffix == ".gguf":
        from .gguf_file import read_gguf

        return read_gguf(path)
    check_weights(path)
    model = filled(language_config(read_json(path / "config.json"), path), renamed(read_weights(path), LLAMA))
    template, special_tokens = read_template(path)
    return Language(model, read_tokenizer(path / "tokenizer.json"), template, special_tokens)


def filled(c: LanguageModel, weights: Weights) -> Llama:
    """Build a language model of these weights. Raises WeightsMismatch."""
    embedding, head = weights.get("token_embed.weight"), weights.get("head.weight")
    if c.tied and embedding is not None and head is not None and not torch.equal(embedding, head):
        c = replace(c, tied=False)  # as transformers does where a file has both
    model = Llama(c)
    if c.tied and embedding is not None:
        weights["head.weight"] = embedding
    fill(model, weights)
    return model.eval()


def read_template(folder: Path) -> tuple[str, dict[str, str]]:
    """Return a folder's chat template, and the special tokens that it may use."""
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    template = settings.get("chat_template")
    for name in ("processor_config.json", "chat_template.json"):
        if (folder / name).exists():
            template = read_json(folder / name).get("chat_template") or template
    if (folder / "chat_template.jinja").exists():
        template = (folder / "chat_template.jinja").read_text("utf-8")
    if isinstance(template, list):  # one for each use
        template = next((one["template"] for one in template if isinstance(one, dict) and one.get("name") == "default"), None)
        if template is None:
            raise UnknownAssistant(f"{folder} has several chat templates, and none is its default; choose another model")
    named = {k: v for k, v in settings.items() if k.endswith("_token") and not k.startswith("add_")}
    texts = {"bos_token": None, "eos_token": None} | named
    special_tokens = {k: (v.get("content") if isinstance(v, dict) else v) or "" for k, v in texts.items()}
    return template if isinstance(template, str) else DEFAULT_TEMPLATE, special_tokens
