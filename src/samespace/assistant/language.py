"""A Hugging Face folder or a GGUF file → a language model, its tokenizer and its chat template."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from ..core.assistant_config import LanguageModel
from ..core.errors import MissingExtra, UnknownAssistant
from ..core.files import read_json
from ..models.lm import Llama
from ..preprocess.tokens import read_tokenizer
from ..spaces.tensors import fill, read_weights
from ..spaces.weight_maps import GGUF, LLAMA, Weights, renamed

CONFIG_KEYS = {
    "vocab_size": "vocab", "max_position_embeddings": "context", "hidden_size": "width", "num_hidden_layers": "layers",
    "num_attention_heads": "heads", "num_key_value_heads": "kv_heads", "head_dim": "head_dim", "intermediate_size": "mlp",
    "rms_norm_eps": "eps", "rope_theta": "rope_base", "tie_word_embeddings": "tied",
}  # fmt: skip
"""Keys of Llama's config.json → fields of LanguageModel."""
GGUF_KEYS = {
    "vocab_size": "vocab", "context_length": "context", "embedding_length": "width", "block_count": "layers",
    "attention.head_count": "heads", "attention.head_count_kv": "kv_heads", "rope.dimension_count": "head_dim",
    "feed_forward_length": "mlp", "attention.layer_norm_rms_epsilon": "eps", "rope.freq_base": "rope_base",
}  # fmt: skip
"""Keys of a GGUF file, after `llama.` → fields of LanguageModel."""
PRE_TOKENIZERS: dict[str, Callable[[], pre_tokenizers.PreTokenizer]] = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama-bpe": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                    r"|\s+(?!\S)|\s+"
                ),
                "isolated",
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}
"""llama.cpp's `tokenizer.ggml.pre` → what splits text before byte pairs are merged."""
CONTROL_TOKEN = 3
"""Type of a GGUF token that is not text."""
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
    """bos_token and eos_token, for templates that use them; empty where there is none."""


def read_language(path: Path) -> Language:
    """Read a folder with config.json, or a GGUF file: fp32, on the CPU. Raises UnknownAssistant, WeightsMismatch."""
    if path.suffix == ".gguf":
        return _read_gguf(path)
    values = read_json(path / "config.json")
    model = Llama(llama_sizes(values))
    weights = renamed(read_weights(path), LLAMA)
    if model.c.tied:
        weights["head.weight"] = weights["token_embed.weight"]
    fill(model, weights)
    template, special_tokens = read_template(path)
    return Language(model.eval(), read_tokenizer(path / "tokenizer.json"), template, special_tokens)


def llama_sizes(values: dict[str, Any]) -> LanguageModel:
    """Read the sizes in a LlamaForCausalLM's config.json; missing ones have the first Llama's values.

    Raises UnknownAssistant where it is another architecture.
    """
    if values.get("model_type") != "llama":
        raise UnknownAssistant(f"a {values.get('model_type')!r} language model is not supported; choose one of Llama's kind")
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default" or values.get("attention_bias"):
        raise UnknownAssistant("scaled rotary positions and attention biases are not supported; choose another language model")
    if values.get("hidden_act", "silu") != "silu":
        raise UnknownAssistant(f"activation {values['hidden_act']!r} is not supported; choose a language model with silu")
    default = LanguageModel(
        vocab=32000, context=2048, width=4096, layers=32, heads=32, kv_heads=0, head_dim=0, mlp=11008, eps=1e-6,
        rope_base=10000.0, tied=False,
    )  # fmt: skip
    sizes = {CONFIG_KEYS[k]: v for k, v in (values | rope).items() if k in CONFIG_KEYS and v is not None}
    end = values.get("eos_token_id", 2)
    c = replace(default, **sizes, end=tuple(end) if isinstance(end, list) else (end,))
    return replace(c, kv_heads=c.kv_heads or c.heads, head_dim=c.head_dim or c.width // c.heads)


def read_template(folder: Path) -> tuple[str, dict[str, str]]:
    """Return a folder's chat template, and the special tokens that it may use."""
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    template = settings.get("chat_template")
    if (folder / "chat_template.json").exists():
        template = read_json(folder / "chat_template.json").get("chat_template")
    if (folder / "chat_template.jinja").exists():
        template = (folder / "chat_template.jinja").read_text("utf-8")
    texts = {k: settings.get(k) for k in ("bos_token", "eos_token")}
    special_tokens = {k: (v.get("content") if isinstance(v, dict) else v) or "" for k, v in texts.items()}
    return template if isinstance(template, str) else DEFAULT_TEMPLATE, special_tokens


def _read_gguf(path: Path) -> Language:
    """Read and dequantize a GGUF file of Llama's architecture, version 3 of the format.

    Raises UnknownAssistant, WeightsMismatch, MissingExtra.
    """
    try:
        import gguf
    except ImportError:
        raise MissingExtra("reading a GGUF file", "ask") from None
    try:
        reader = gguf.GGUFReader(path)
        tensors = {t.name: torch.tensor(gguf.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except (OSError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise UnknownAssistant(f"{path} is not a readable GGUF file ({error}); download it again") from None
    if metadata.get("general.architecture") != "llama":
        raise UnknownAssistant(f"{path} is a {metadata.get('general.architecture')!r} model; choose one of Llama's kind")
    if any(name.startswith("llama.rope.scaling") for name in metadata) or "rope_freqs.weight" in tensors:
        raise UnknownAssistant(f"{path} has scaled rotary positions, which are not supported; choose another language model")
    sizes = {ours: metadata[f"llama.{theirs}"] for theirs, ours in GGUF_KEYS.items() if f"llama.{theirs}" in metadata}
    c = replace(LanguageModel(rope_base=10000.0), **sizes, tied="output.weight" not in tensors)
    c = replace(c, end=(metadata.get("tokenizer.ggml.eos_token_id", 2),))
    model, weights = Llama(c), renamed(_split_rotary_pairs(tensors, c), GGUF)
    if c.tied:
        weights["head.weight"] = weights["token_embed.weight"]
    fill(model, weights)
    tokens = metadata["tokenizer.ggml.tokens"]
    special_tokens = {f"{k}_token": tokens[metadata.get(f"tokenizer.ggml.{k}_token_id", 0)] for k in ("bos", "eos")}
    return Language(
        model.eval(), _gguf_tokenizer(metadata, path), metadata.get("tokenizer.chat_template", DEFAULT_TEMPLATE), special_tokens
    )


def _split_rotary_pairs(tensors: Weights, c: LanguageModel) -> Weights:
    """Reorder the rows of q and k: llama.cpp stores each rotary pair side by side, ours are half a head apart."""
    out = dict(tensors)
    for name, tensor in tensors.items():
        if ".attn_q." in name or ".attn_k." in name:
            heads = c.heads if ".attn_q." in name else c.kv_heads
            out[name] = tensor.reshape(heads, c.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(tensor.shape)
    return out


def _gguf_tokenizer(metadata: dict[str, Any], path: Path) -> Tokenizer:
    """Return the byte-pair encoding inside a GGUF file. Raises UnknownAssistant."""
    model, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "gpt-2")
    if model != "gpt2" or pre not in PRE_TOKENIZERS:
        raise UnknownAssistant(f"{path} has a tokenizer of kind {model}/{pre}, not supported here; use its safetensors folder")
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types) if kind == CONTROL_TOKEN])
    return tokenizer
