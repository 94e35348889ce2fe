"""config.json of a language model as transformers writes it → our settings."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.assistant_config import LanguageModel
from ...core.errors import UnknownAssistant
from ...core.files import read_json

CONFIG_KEYS = {
    "vocab_size": "vocab", "max_position_embeddings": "context", "hidden_size": "width", "num_hidden_layers": "layers",
    "num_attention_heads": "heads", "num_key_value_heads": "kv_heads", "head_dim": "head_dim", "intermediate_size": "mlp",
    "rms_norm_eps": "eps", "rope_theta": "rope_base", "tie_word_embeddings": "tied",
}  # fmt: skip
"""Keys of a config.json → fields of LanguageModel."""
READ_ELSEWHERE = {
    "model_type", "eos_token_id", "rope_parameters", "rope_scaling", "attention_bias", "mlp_bias", "hidden_act", "sliding_window",
    "use_sliding_window", "max_window_layers", "layer_types", "no_rope_layers", "no_rope_layer_interval",
}  # fmt: skip
WITHOUT_EFFECT = {
    "_name_or_path", "architectures", "attention_dropout", "bos_token_id", "chunk_size_feed_forward", "dtype", "id2label",
    "initializer_range", "is_decoder", "is_encoder_decoder", "label2id", "output_attentions",
    "output_hidden_states", "pad_token_id", "pretraining_tp", "return_dict", "rope_interleaved", "torch_dtype",
    "transformers.js_config", "transformers_version", "use_cache", "unk_token_id", "problem_type", "sep_token_id",
    "decoder_start_token_id", "cross_attention_hidden_size", "add_cross_attention", "finetuning_task", "tokenizer_class", "prefix",
    "task_specific_params", "is_llama_config", "_attn_implementation_autoset", "_flash_attn_2_enabled", "neftune_noise_alpha",
    "perceiver_config", "pixel_shuffle_factor", "use_resampler", "qk_layer_norms", "partial_rotary_factor", "ignore_keys_at_rope_validation", "auto_map", "quantization_config",
}  # fmt: skip
"""Keys without an effect on what a model answers, or whose other values are refused."""
PLAIN_CHOICE = {
    "num_beams": 1, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1, "min_length": 0,
    "min_new_tokens": 0, "guidance_scale": 1, "penalty_alpha": 0, "suppress_tokens": None, "begin_suppress_tokens": None,
    "bad_words_ids": None, "sequence_bias": None, "forced_bos_token_id": None, "forced_eos_token_id": None, "dola_layers": None,
    "exponential_decay_length_penalty": None, "constraints": None, "force_words_ids": None, "stop_strings": None,
}  # fmt: skip
"""Settings of generation_config.json that make another token the likeliest → the value with which they do not."""
_LLAMA = LanguageModel(
    vocab=32000, context=2048, width=4096, layers=32, heads=32, kv_heads=0, head_dim=0, mlp=11008, eps=1e-6, rope_base=1e4, tied=False
)  # fmt: skip
_QWEN3 = replace(_LLAMA, vocab=151936, context=32768, kv_heads=32, head_dim=128, mlp=22016, qk_norm=True, end=())
KINDS: dict[str, LanguageModel] = {
    "llama": _LLAMA,
    "mistral": replace(_LLAMA, context=131072, kv_heads=8, mlp=14336, window=4096),
    "qwen2": replace(_QWEN3, head_dim=0, qkv_bias=True, qk_norm=False),
    "qwen3": _QWEN3,
    "qwen3_vl_text": replace(_QWEN3, context=128000, rope_base=5e5),
    "smollm3": replace(
        _LLAMA, vocab=128256, context=32768, width=2048, layers=36, heads=16, kv_heads=4, rope_base=2e6, tied=True, end=(128001,)
    ),
}
"""transformers' model_type → what its config has where the file says nothing."""


def language_config(values: dict[str, Any], folder: Path | None = None) -> LanguageModel:
    """Read a language model's config.json; what it leaves out has the value that transformers gives it.

    The ids that end an answer are also those in the folder's generation_config.json. Raises UnknownAssistant where it is another
    kind, or has a setting that would be passed over.
    """
    kind = values.get("model_type")
    if kind not in KINDS:
        raise UnknownAssistant(f"a {kind!r} language model is not supported; choose one of {', '.join(KINDS)}")
    named = values
    values = {name: value for name, value in values.items() if value is not None}
    if unknown := sorted(set(values) - set(CONFIG_KEYS) - READ_ELSEWHERE - WITHOUT_EFFECT):
        raise UnknownAssistant(
            f"config.json has a setting that is not known here, {unknown[0]!r}; report it with the model's name"
        )
    _refuse_variants(values)
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if values.get("rope_scaling") and values["rope_scaling"] != rope:
        raise UnknownAssistant(
            "config.json has rope_parameters and other rope_scaling; keep the one that the model was trained with"
        )
    sizes = {CONFIG_KEYS[k]: v for k, v in (values | rope).items() if k in CONFIG_KEYS}
    settings = _generation_settings(folder)
    end, penalty = _ends(settings, values) or KINDS[kind].end, float(settings.get("repetition_penalty") or 1)
    c = replace(KINDS[kind], **sizes, end=end, repetition_penalty=penalty)
    biased = bool(values.get("attention_bias"))
    c = replace(
        c, kv_heads=c.kv_heads or c.heads, head_dim=c.head_dim or c.width // c.heads, qkv_bias=c.qkv_bias or biased, out_bias=biased,
        window=_window(kind, named, c.layers), unrotated=_unrotated(kind, values, c.layers),
    )  # fmt: skip
    return replace(scaled(c, rope), rope_sections=_rope_sections(kind, rope))


def _refuse_variants(values: dict[str, Any]) -> None:
    """Raises UnknownAssistant on values whose effect is not built here."""
    if values.get("hidden_act", "silu") != "silu":
        raise UnknownAssistant(f"activation {values['hidden_act']!r} is not supported; choose a language model with silu")
    if values.get("partial_rotary_factor", 1) != 1 or values.get("mlp_bias"):
        raise UnknownAssistant("partly rotated heads and biases of the MLP are not supported; choose another language model")
    if method := (values.get("quantization_config") or {}).get("quant_method"):
        raise UnknownAssistant(f"its weights are quantized ({method}); choose the same model with plain weights, or a GGUF file")


def _generation_settings(folder: Path | None) -> dict[str, Any]:
    """Return what generation_config.json says of how answers are chosen. Raises UnknownAssistant where it would be passed over."""
    file = folder / "generation_config.json" if folder else None
    settings = read_json(file) if file and file.exists() else {}
    if changed := next((name for name, plain in PLAIN_CHOICE.items() if settings.get(name) not in (None, plain, [])), None):
        raise UnknownAssistant(
            f"generation_config.json sets {changed} = {settings[changed]!r}, which is not supported; choose another model, or remove it there"
        )
    return settings


def _ends(settings: dict[str, Any], values: dict[str, Any]) -> tuple[int, ...]:
    """Return the ids that end an answer: those of generation_config.json, which chats use, and of config.json."""
    named = [settings.get("eos_token_id"), values.get("eos_token_id")]
    ids = [i for some in named if some is not None for i in (some if isinstance(some, list) else [some])]
    return tuple(dict.fromkeys(ids))


def _window(kind: str, named: dict[str, Any], layers: int) -> int:
    """Return LanguageModel.window; where Mistral's config names none, it has its own, and a null is none. Raises UnknownAssistant where only
    some blocks have one.
    """
    window = named.get("sliding_window", KINDS[kind].window) or 0
    kinds = set(named.get("layer_types") or ()) if kind != "mistral" else set()  # Mistral's has no such setting
    if not kinds and kind != "mistral":  # Qwen's slide from block max_window_layers on
        full = layers if not (named.get("use_sliding_window") and window) else int(named.get("max_window_layers", 28))
        kinds = {"full_attention"} if full >= layers else {"sliding_attention"} if full <= 0 else {"both"}
    if kinds - {"full_attention", "sliding_attention"} or len(kinds) > 1:
        raise UnknownAssistant(
            "some of its blocks attend to a window and some to all, which is not supported; choose another model"
        )
    return 0 if kinds == {"full_attention"} else int(window)


def _unrotated(kind: str, values: dict[str, Any], layers: int) -> tuple[int, ...]:
    """Return LanguageModel.unrotated: SmolLM 3 lists 0 for those, or has every fourth."""
    if kind != "smollm3":
        return ()
    every = values.get("no_rope_layer_interval", 4)
    rotated = values.get("no_rope_layers") or [(i + 1) % every for i in range(layers)]
    return tuple(i for i, turned in enumerate(rotated) if not turned)


def scaled(c: LanguageModel, rope: dict[str, Any]) -> LanguageModel:
    """Return settings with the rotary positions of a config's rope_parameters. Raises UnknownAssistant on a kind that is not known."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return c
    if kind not in ROPE_KINDS:
        raise UnknownAssistant(f"rotary positions of the kind {kind!r} are not supported; choose another language model")
    try:
        return ROPE_KINDS[kind](c, rope)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UnknownAssistant(f"the rotary positions of its config.json cannot be read ({error!r}); download it again") from None


def _linear(c: LanguageModel, rope: dict[str, Any]) -> LanguageModel:
    """All waves are stretched. Chen et al. 2023, "Extending Context Window … via Positional Interpolation"."""
    return replace(c, rope_divisors=(float(rope["factor"]),) * (c.head_dim // 2))


def _llama3(c: LanguageModel, rope: dict[str, Any]) -> LanguageModel:
    """Long waves are stretched by `factor`, short ones stay, those between are in between. Llama 3.1's model card."""
    low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    n = c.head_dim // 2
    turns = [original / (2 * math.pi * c.rope_base ** (i / n)) for i in range(n)]  # of each pair over the original context
    unchanged = [min(1.0, max(0.0, (turn - low) / (high - low))) for turn in turns]
    return replace(c, rope_divisors=tuple(1 / ((1 - share) / rope["factor"] + share) for share in unchanged))


def _dynamic(c: LanguageModel, rope: dict[str, Any]) -> LanguageModel:
    """The base grows with texts that are longer than those of the training, up to `factor` times as long."""
    factor = float(rope["factor"])  # its original_max_position_embeddings is passed over, as transformers does
    return replace(c, rope_growth=factor, rope_trained=c.context, context=max(c.context, round(factor * c.context)))


def _yarn(c: LanguageModel, rope: dict[str, Any]) -> LanguageModel:
    """Waves that turn seldom in the original context are stretched, those that turn often stay. Peng et al. 2023, "YaRN", §3."""
    original = rope.get("original_max_position_embeddings") or c.context
    factor = float(rope.get("factor") or c.context / original)
    fast, slow, dim = rope.get("beta_fast") or 32, rope.get("beta_slow") or 1, c.head_dim

    def place(turns: float) -> float:
        """The frequency that turns so often in the original context, as a number that need not be whole."""
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(c.rope_base))

    first, last = place(fast), place(slow)
    if rope.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, dim - 1)
    stretched = [min(1.0, max(0.0, (i - first) / ((last - first) or 0.001))) for i in range(dim // 2)]
    return replace(
        c, rope_divisors=tuple(1 / (share / factor + 1 - share) for share in stretched), rope_scale=_yarn_scale(factor, rope),
        context=max(c.context, round(factor * original)),
    )  # fmt: skip


def _yarn_scale(factor: float, rope: dict[str, Any]) -> float:
    """Return what makes attention as sharp over a longer text as over the original one. Peng et al. 2023, §3.4."""
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])

    def sharpness(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return sharpness(rope["mscale"]) / sharpness(rope["mscale_all_dim"])
    return sharpness(1)


ROPE_KINDS: dict[str, Callable[[LanguageModel, dict[str, Any]], LanguageModel]] = {
    "linear": _linear, "llama3": _llama3, "dynamic": _dynamic, "yarn": _yarn,
}  # fmt: skip
"""transformers' rope_type → what reads its settings."""


def _rope_sections(kind: str, rope: dict[str, Any]) -> tuple[int, ...]:
    """Return LanguageModel.rope_sections. Raises UnknownAssistant where the three do not alternate."""
    if kind != "qwen3_vl_text":
        return ()
    if not rope.get("mrope_interleaved", True):
        raise UnknownAssistant("rotary positions of time, row and column one after another are not supported; choose Qwen3-VL")
    return tuple(rope.get("mrope_section", (24, 20, 20)))
