"""A GGUF file → a language model, its tokenizer and its chat template. Version 3 of llama.cpp's format."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ..core.assistant_config import LanguageModel
from ..core.errors import MissingExtra, UnknownAssistant, whole_config
from ..spaces.checkpoints.tensors import check_room
from ..spaces.checkpoints.weight_maps import GGUF, Weights, renamed
from .language import DEFAULT_TEMPLATE, Language, filled

KEYS = {
    "vocab_size": "vocab", "context_length": "context", "embedding_length": "width", "block_count": "layers",
    "attention.head_count": "heads", "attention.head_count_kv": "kv_heads", "attention.key_length": "head_dim",
    "rope.dimension_count": "head_dim", "feed_forward_length": "mlp", "attention.layer_norm_rms_epsilon": "eps",
    "rope.freq_base": "rope_base", "attention.sliding_window": "window",
}  # fmt: skip
"""Keys of a GGUF file, after its architecture's name → fields of LanguageModel."""
PERMUTED = {"llama", "smollm3"}
"""Architectures whose rotary pairs are stored side by side."""
ARCHITECTURES = {*PERMUTED, "qwen2", "qwen3"}
"""general.architecture of the files that are read; Mistral's is llama."""
UNROTATED_EVERY = 4
"""Of SmolLM 3's blocks, every so many has no rotary positions; its files do not say so."""
CONTROL_TOKEN, USER_DEFINED_TOKEN = 3, 4
"""Types of tokens that are not text, and of such as are read as one wherever they stand: <think>."""
TURN_ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>", "<end_of_utterance>",
)  # fmt: skip
"""Tokens that end an assistant's turn: of llama.cpp's those that the architectures here have."""
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2_WORDS = _LLAMA3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}")


def _byte_level(words: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


PRE_TOKENIZERS: dict[str, Callable[[], pre_tokenizers.PreTokenizer]] = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama-bpe": lambda: _byte_level(_LLAMA3_WORDS),
    "smaug-bpe": lambda: _byte_level(_LLAMA3_WORDS),
    "qwen2": lambda: _byte_level(_QWEN2_WORDS),
}
"""`tokenizer.ggml.pre` → what splits text before byte pairs are merged."""


def read_gguf(path: Path) -> Language:
    """Read and dequantize a GGUF file: fp32. Raises UnknownAssistant, WeightsMismatch, MissingExtra."""
    metadata, tensors = _read(path)
    with whole_config(path, UnknownAssistant):
        return _language(path, metadata, tensors)


def _language(path: Path, metadata: dict[str, Any], tensors: Weights) -> Language:
    """Return the language model of a file. Raises UnknownAssistant, WeightsMismatch, and others where the file lacks something."""
    arch = metadata.get("general.architecture")
    if arch not in ARCHITECTURES:
        raise UnknownAssistant(
            f"{path} is a {arch!r} model; choose one of {', '.join(sorted(ARCHITECTURES))}, or run llama-server"
        )
    stretched = (f"{arch}.rope.scaling", f"{arch}.rope.scale_linear")
    if any(name.startswith(stretched) and metadata[name] not in ("none", 1.0) for name in metadata):
        raise UnknownAssistant(f"{path} has scaled rotary positions, which are not supported; choose another language model")
    if metadata.get(f"{arch}.attention.scale"):
        raise UnknownAssistant(f"{path} scales its attention otherwise, which is not supported; choose another language model")
    c = _config(str(arch), metadata, tensors)
    divisors = tensors.pop("rope_freqs.weight", None)
    if divisors is not None:
        c = replace(c, rope_divisors=tuple(divisors.tolist()))
    if arch in PERMUTED:
        tensors = _split_rotary_pairs(tensors, c)
    tokens = metadata["tokenizer.ggml.tokens"]
    ids = {k: metadata.get(f"tokenizer.ggml.{k}_token_id") for k in ("bos", "eos")}
    special_tokens = {f"{k}_token": tokens[i] if i is not None else "" for k, i in ids.items()}
    tokenizer, template = _tokenizer(metadata, path), metadata.get("tokenizer.chat_template", DEFAULT_TEMPLATE)
    return Language(filled(c, renamed(tensors, GGUF)), tokenizer, template, special_tokens)


def _read(path: Path) -> tuple[dict[str, Any], Weights]:
    """Return metadata and dequantized tensors. Raises UnknownAssistant, MissingExtra."""
    try:
        import gguf
    except ImportError:
        raise MissingExtra("reading a GGUF file", "ask") from None
    try:
        reader = gguf.GGUFReader(path)
        check_room(path, 4 * sum(int(t.n_elements) for t in reader.tensors))
        tensors = {t.name: torch.tensor(gguf.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
        return {name: field.contents() for name, field in reader.fields.items()}, tensors
    except (OSError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise UnknownAssistant(f"{path} is not a readable GGUF file ({error}); download it again") from None


def _config(arch: str, metadata: dict[str, Any], tensors: Weights) -> LanguageModel:
    """Return the settings in a file's metadata, and what its tensors say."""
    sizes = {ours: metadata[f"{arch}.{theirs}"] for theirs, ours in KEYS.items() if f"{arch}.{theirs}" in metadata}
    ends = [metadata.get(f"tokenizer.ggml.{k}_token_id") for k in ("eos", "eot", "eom")]
    kinds = dict(zip(metadata["tokenizer.ggml.tokens"], enumerate(metadata.get("tokenizer.ggml.token_type", ()))))
    ends += [kinds[end][0] for end in TURN_ENDS if end in kinds and kinds[end][1] == CONTROL_TOKEN]  # older files name fewer
    c = LanguageModel(
        rope_base=10000.0, head_dim=0, kv_heads=0, end=tuple(dict.fromkeys(i for i in ends if i is not None)) or (2,)
    )
    c = replace(c, **{"vocab": len(metadata["tokenizer.ggml.tokens"])} | sizes)
    return replace(
        c, kv_heads=c.kv_heads or c.heads, head_dim=c.head_dim or c.width // c.heads, tied="output.weight" not in tensors,
        qkv_bias="blk.0.attn_q.bias" in tensors, out_bias="blk.0.attn_output.bias" in tensors,
        qk_norm="blk.0.attn_q_norm.weight" in tensors,
        unrotated=tuple(range(UNROTATED_EVERY - 1, c.layers, UNROTATED_EVERY)) if arch == "smollm3" else (),
    )  # fmt: skip


def _split_rotary_pairs(tensors: Weights, c: LanguageModel) -> Weights:
    """Reorder the rows of q and k: llama.cpp stores each rotary pair side by side, ours are half a head apart."""
    out = dict(tensors)
    for name, tensor in tensors.items():
        if ".attn_q." in name or ".attn_k." in name:
            heads = c.heads if ".attn_q." in name else c.kv_heads
            out[name] = tensor.reshape(heads, c.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(tensor.shape)
    return out


def _tokenizer(metadata: dict[str, Any], path: Path) -> Tokenizer:
    """Return the tokenizer inside a GGUF file. Raises UnknownAssistant."""
    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "gpt-2")
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    if kind == "llama":
        tokenizer = _sentencepiece(metadata)
    elif kind == "gpt2" and pre in PRE_TOKENIZERS:
        merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges, ignore_merges=pre in WHOLE_WORDS))
        tokenizer.pre_tokenizer, tokenizer.decoder = PRE_TOKENIZERS[pre](), decoders.ByteLevel()
        if pre == "qwen2":
            tokenizer.normalizer = normalizers.NFC()
    else:
        raise UnknownAssistant(f"{path} has a tokenizer of kind {kind}/{pre}, not supported here; use its safetensors folder")
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types) if kind == CONTROL_TOKEN])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types) if kind == USER_DEFINED_TOKEN])
    if metadata.get("tokenizer.ggml.add_bos_token", kind == "llama" or pre == "llama-bpe"):
        bos = metadata["tokenizer.ggml.bos_token_id"]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{tokens[bos]} $A", special_tokens=[(tokens[bos], bos)])
    return tokenizer


WHOLE_WORDS = {"llama-bpe"}
"""Kinds of byte-pair encodings in which a word that is a token is never merged from its parts."""


def _sentencepiece(metadata: dict[str, Any]) -> Tokenizer:
    """Return SentencePiece's byte-pair encoding, whose merges are in the order of its tokens' scores."""
    tokens, scores = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.scores"]
    ids = {token: i for i, token in enumerate(tokens)}
    pairs = [
        (scores[i], ids[token[:cut]], ids[token[cut:]], (token[:cut], token[cut:]))
        for token, i in ids.items()
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
    merges = [pair for *_, pair in sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))]
    unknown = tokens[metadata.get("tokenizer.ggml.unknown_token_id", 0)]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    begins = [normalizers.Prepend("▁")] if metadata.get("tokenizer.ggml.add_space_prefix", True) else []
    tokenizer.normalizer = normalizers.Sequence([*begins, normalizers.Replace(" ", "▁")])
    spaces: list[decoders.Decoder] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*spaces, *([decoders.Strip(" ", 1, 0)] if begins else [])])
    return tokenizer
