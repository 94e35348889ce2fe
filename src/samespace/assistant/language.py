"""A folder of Hugging Face's, or a GGUF file -> a language model, its tokenizer and its chat template."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from ..core.config import LanguageModel
from ..core.errors import MissingExtra, UnknownAssistant
from ..models.lm import Llama
from ..preprocess.tokens import read_tokenizer
from ..spaces.checkpoint import fill, read_json, read_tensors
from ..spaces.weight_maps import GGUF, LLAMA, Weights, renamed

SIZES = {
    "vocab_size": "vocab", "max_position_embeddings": "context", "hidden_size": "width", "num_hidden_layers": "layers",
    "num_attention_heads": "heads", "num_key_value_heads": "kv_heads", "head_dim": "head_dim", "intermediate_size": "mlp",
    "rms_norm_eps": "eps", "rope_theta": "rope_base", "tie_word_embeddings": "tied",
}  # fmt: skip
GGUF_SIZES = {
    "vocab_size": "vocab", "context_length": "context", "embedding_length": "width", "block_count": "layers",
    "attention.head_count": "heads", "attention.head_count_kv": "kv_heads", "rope.dimension_count": "head_dim",
    "feed_forward_length": "mlp", "attention.layer_norm_rms_epsilon": "eps", "rope.freq_base": "rope_base",
}  # fmt: skip
WORDS = {  # llama.cpp's `tokenizer.ggml.pre` -> how text is cut before byte pairs are joined
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
CONTROL = 3
"""A GGUF token's type where it is no text."""
PLAIN = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
"""The chat template of a model that has none."""


@dataclass
class Language:
    """A language model with what turns conversations into its ids."""

    model: Llama
    tokenizer: Tokenizer
    template: str
    """Jinja, as in tokenizer_config.json."""
    specials: dict[str, str]
    """bos_token and eos_token, for templates that name them."""


def read_language(path: Path) -> Language:
    """A folder with config.json, or a GGUF file. fp32, on the CPU. Raises UnknownAssistant, WeightsMismatch."""
    if path.suffix == ".gguf":
        return read_gguf(path)
    values = read_json(path / "config.json")
    model = Llama(llama_sizes(values))
    weights = renamed(read_shards(path), LLAMA)
    if model.c.tied:
        weights["head.weight"] = weights["token_embed.weight"]
    fill(model, weights)
    template, specials = read_template(path)
    return Language(model.eval(), read_tokenizer(path / "tokenizer.json"), template, specials)


def llama_sizes(values: dict[str, Any]) -> LanguageModel:
    """config.json of a LlamaForCausalLM; what a file leaves out has the first Llama's value."""
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
    known = {SIZES[k]: v for k, v in (values | rope).items() if k in SIZES and v is not None}
    end = values.get("eos_token_id", 2)
    c = replace(default, **known, end=tuple(end) if isinstance(end, list) else (end,))
    return replace(c, kv_heads=c.kv_heads or c.heads, head_dim=c.head_dim or c.width // c.heads)


def read_shards(folder: Path) -> Weights:
    """All tensors of model.safetensors, or of the shards that its index names."""
    index = folder / "model.safetensors.index.json"
    files = sorted(set(read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    return {name: tensor for file in files for name, tensor in read_tensors(folder / file).items()}


def read_template(folder: Path) -> tuple[str, dict[str, str]]:
    """The chat template and the tokens it may name, from whichever file has them."""
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    template = settings.get("chat_template")
    if (folder / "chat_template.json").exists():
        template = read_json(folder / "chat_template.json").get("chat_template")
    if (folder / "chat_template.jinja").exists():
        template = (folder / "chat_template.jinja").read_text("utf-8")
    texts = {k: settings.get(k) for k in ("bos_token", "eos_token")}
    specials = {k: (v.get("content") if isinstance(v, dict) else v) or "" for k, v in texts.items()}
    return template if isinstance(template, str) else PLAIN, specials


def read_gguf(path: Path) -> Language:
    """A GGUF file of Llama's architecture, dequantised. After llama.cpp's format specification, version 3."""
    try:
        import gguf
    except ImportError:
        raise MissingExtra("reading a GGUF file", "ask") from None
    try:
        reader = gguf.GGUFReader(path)
        tensors = {t.name: torch.tensor(gguf.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
        facts = {name: field.contents() for name, field in reader.fields.items()}
    except (OSError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise UnknownAssistant(f"{path} is not a readable GGUF file ({error}); download it again") from None
    if facts.get("general.architecture") != "llama":
        raise UnknownAssistant(f"{path} is a {facts.get('general.architecture')!r} model; choose one of Llama's kind")
    if any(name.startswith("llama.rope.scaling") for name in facts) or "rope_freqs.weight" in tensors:
        raise UnknownAssistant(f"{path} has scaled rotary positions, which are not supported; choose another language model")
    known = {ours: facts[f"llama.{theirs}"] for theirs, ours in GGUF_SIZES.items() if f"llama.{theirs}" in facts}
    c = replace(LanguageModel(rope_base=10000.0), **known, tied="output.weight" not in tensors)
    c = replace(c, end=(facts.get("tokenizer.ggml.eos_token_id", 2),))
    model, weights = Llama(c), renamed(unpermuted(tensors, c), GGUF)
    if c.tied:
        weights["head.weight"] = weights["token_embed.weight"]
    fill(model, weights)
    words = facts["tokenizer.ggml.tokens"]
    specials = {f"{k}_token": words[facts.get(f"tokenizer.ggml.{k}_token_id", 0)] for k in ("bos", "eos")}
    return Language(model.eval(), gguf_tokenizer(facts, path), facts.get("tokenizer.chat_template", PLAIN), specials)


def unpermuted(tensors: Weights, c: LanguageModel) -> Weights:
    """llama.cpp stores q and k with the pairs that rotate together side by side; ours stand half a head apart."""
    out = dict(tensors)
    for name, tensor in tensors.items():
        if ".attn_q." in name or ".attn_k." in name:
            heads = c.heads if ".attn_q." in name else c.kv_heads
            out[name] = tensor.reshape(heads, c.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(tensor.shape)
    return out


def gguf_tokenizer(facts: dict[str, Any], path: Path) -> Tokenizer:
    """The byte-pair encoding inside a GGUF file."""
    model, pre = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "gpt-2")
    if model != "gpt2" or pre not in WORDS:
        raise UnknownAssistant(f"{path} has a tokenizer of kind {model}/{pre}, not supported here; use its safetensors folder")
    words, kinds = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = WORDS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(w, normalized=False) for w, kind in zip(words, kinds) if kind == CONTROL])
    return tokenizer
