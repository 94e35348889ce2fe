"""Language models of every family that is read, as transformers writes them and as llama.cpp does: its logits and its tokens."""

import json

import gguf
import pytest
import tiny_checkpoints as tiny
import torch
import transformers as T
from random_weights import randomised
from tiny_assistant import greedy
from tokenizers import pre_tokenizers

from samespace.assistant.language import language_config, read_language
from samespace.core.errors import UnknownAssistant, UnknownSpace, WeightsMismatch
from samespace.models.lm import Cache
from samespace.models.sampling import Sampler
from samespace.spaces.checkpoints import tensors

SIZES = dict(
    hidden_size=64, intermediate_size=128, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, vocab_size=800,
    max_position_embeddings=512, bos_token_id=2, eos_token_id=1, pad_token_id=0,
)  # fmt: skip
LLAMA3 = dict(
    rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)


def llama_with(length: int = 512, **rope):
    """A Llama with scaled rotary positions."""
    return T.LlamaForCausalLM(
        T.LlamaConfig(**SIZES | {"max_position_embeddings": length}, rope_parameters=dict(rope_theta=1e4) | rope)
    )


FAMILIES = {
    "Llama 2": lambda: T.LlamaForCausalLM(T.LlamaConfig(**SIZES)),
    "Llama 3.2": lambda: T.LlamaForCausalLM(T.LlamaConfig(**SIZES, rope_parameters=LLAMA3, tie_word_embeddings=True)),
    "Llama, linear scaling": lambda: T.LlamaForCausalLM(
        T.LlamaConfig(**SIZES, rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=1e4))
    ),
    "Llama, YaRN": lambda: llama_with(rope_type="yarn", factor=4.0, original_max_position_embeddings=8),
    "Llama, YaRN as DeepSeek has it": lambda: llama_with(
        rope_type="yarn",
        factor=16.0,
        original_max_position_embeddings=16,
        beta_fast=8,
        beta_slow=2,
        mscale=0.8,
        mscale_all_dim=0.5,
        truncate=False,
    ),
    "Llama, YaRN with its own sharpness": lambda: llama_with(
        rope_type="yarn", factor=2.0, original_max_position_embeddings=32, attention_factor=0.9
    ),
    "Llama, dynamic NTK": lambda: llama_with(length=16, rope_type="dynamic", factor=4.0),
    "Llama, dynamic NTK with a length that transformers passes over": lambda: llama_with(
        length=16, rope_type="dynamic", factor=4.0, original_max_position_embeddings=8
    ),
    "Qwen 2.5, YaRN": lambda: T.Qwen2ForCausalLM(
        T.Qwen2Config(
            **SIZES, rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8, rope_theta=1e6)
        )
    ),
    "Llama with biases": lambda: T.LlamaForCausalLM(T.LlamaConfig(**SIZES, attention_bias=True)),
    "Mistral": lambda: T.MistralForCausalLM(T.MistralConfig(**SIZES, sliding_window=None, head_dim=24)),
    "Mistral, 9 tokens wide": lambda: T.MistralForCausalLM(T.MistralConfig(**SIZES, sliding_window=9)),
    "Qwen 2.5": lambda: T.Qwen2ForCausalLM(T.Qwen2Config(**SIZES, tie_word_embeddings=True)),
    "Qwen 3": lambda: T.Qwen3ForCausalLM(T.Qwen3Config(**SIZES, head_dim=32)),
    "SmolLM 3": lambda: T.SmolLM3ForCausalLM(T.SmolLM3Config(**SIZES)),
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.gemma_tokenizer()


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_logits_and_greedy_text_are_transformers(tmp_path, make, tokenizer):
    theirs = randomised(make()).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    same_as(read_language(tmp_path).model, theirs)


def same_as(ours, theirs):
    """Logits within 1e-4 of their size, and the same 24 tokens, with a cache that outgrows every window."""
    ids = torch.randint(3, 800, (1, 24), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        got, want = ours.logits(ours(ours.embed(ids))), theirs(ids).logits
    assert (got - want).abs().max() < 1e-4 * want.abs().max()
    settings = dict(max_new_tokens=24, do_sample=False, pad_token_id=0, eos_token_id=None)
    theirs = theirs.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, ids.shape[1] :]
    assert greedy(ours, ids, 24) == theirs.tolist()


def test_a_long_prompt_read_in_parts_turns_as_in_one(tmp_path, tokenizer):
    theirs = randomised(FAMILIES["Llama, dynamic NTK"]()).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ours, ids = read_language(tmp_path).model, torch.randint(3, 800, (1, 40), generator=torch.Generator().manual_seed(2))
    assert ours.c.context == 64
    with torch.inference_mode():
        cache = Cache(ours.c.layers)
        cache.planned = 40
        parts = [ours.logits(ours(ours.embed(part), cache)) for part in ids.split(12, dim=1)]
        want = theirs(ids).logits
    assert (torch.cat(parts, dim=1) - want).abs().max() < 1e-4 * want.abs().max()


def test_half_precision_in_shards(tmp_path, tokenizer):
    theirs = randomised(FAMILIES["Qwen 2.5"]()).to(torch.bfloat16)
    theirs.save_pretrained(tmp_path, max_shard_size="60KB")
    tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    same_as(read_language(tmp_path).model, T.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval())


def test_what_was_written_already_is_less_likely_as_transformers_has_it(tmp_path, tokenizer):
    theirs = randomised(FAMILIES["Qwen 3"]()).eval()
    theirs.generation_config.repetition_penalty = 1.3
    theirs.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ours, ids = read_language(tmp_path).model, torch.randint(3, 800, (1, 12), generator=torch.Generator().manual_seed(3))
    sampler, there, cache, new = Sampler(0.0, penalty=ours.c.repetition_penalty), set(ids[0].tolist()), Cache(ours.c.layers), ids
    with torch.inference_mode():
        for _ in range(24):
            token = sampler.pick(ours.logits(ours(ours.embed(new), cache)[0, -1]), there)
            there.add(token)
            new = torch.tensor([[token]])
            ids = torch.cat([ids, new], dim=1)
        want = theirs.generate(ids[:, :12], max_new_tokens=24, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert ids.tolist() == want.tolist() and ids[0, 12:].tolist() != greedy(ours, ids[:, :12], 24)


def test_what_chooses_other_tokens_is_refused(tmp_path):
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({"no_repeat_ngram_size": 0, "num_beams": 1, "do_sample": True, "temperature": 0.7, "top_k": 20}))
    assert language_config({"model_type": "qwen2"}, tmp_path).repetition_penalty == 1
    file.write_text(json.dumps({"suppress_tokens": [3]}))
    with pytest.raises(UnknownAssistant, match="suppress_tokens"):
        language_config({"model_type": "qwen2"}, tmp_path)


def test_what_ends_an_answer_is_in_two_files(tmp_path):
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 1]}))
    values = {"model_type": "qwen2", "eos_token_id": 1}
    assert language_config(values, tmp_path).end == (7, 1) and language_config(values).end == (1,)
    assert language_config({"model_type": "qwen3"}).end == () and language_config({"model_type": "llama"}).end == (2,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "gemma2"}, "gemma2"),
        ({"model_type": "llama", "rope_scaling": {"type": "longrope", "factor": 4.0}}, "longrope"),
        ({"model_type": "llama", "rope_scaling": {"type": "linear"}}, "cannot be read"),
        ({"model_type": "llama", "mlp_bias": True}, "biases of the MLP"),
        (
            {"model_type": "llama", "rope_parameters": {"rope_theta": 1e6}, "rope_scaling": {"type": "yarn", "factor": 4.0}},
            "keep the one",
        ),
        ({"model_type": "qwen2", "layer_types": ["full_attention", "sliding_attention"]}, "some of its blocks"),
        ({"model_type": "llama", "logits_scaling": 8}, "logits_scaling"),
        ({"model_type": "llama", "quantization_config": {"quant_method": "gptq"}}, "gptq"),
    ],
)
def test_a_setting_that_would_be_passed_over_is_refused(values, message):
    with pytest.raises(UnknownAssistant, match=message):
        language_config(values)


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "model.layers.": "blk.",
}  # fmt: skip


def write_gguf(path, arch, model, leave_out=(), pre="gpt-2", divisors=None):
    """A model as llama.cpp's converter writes it, with a byte-level tokenizer, or with SentencePiece's where `pre` is None."""
    c, writer = model.config, gguf.GGUFWriter(str(path), arch)
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
    add_byte_level_tokenizer(writer, c.vocab_size, pre) if pre else add_sentencepiece_tokenizer(writer)
    for name, tensor in model.state_dict().items():
        for theirs, short in GGUF_NAMES.items():
            name = name.replace(theirs, short)
        if name in leave_out or (name == "output.weight" and c.tie_word_embeddings):
            continue
        if arch in ("llama", "smollm3") and (".attn_q." in name or ".attn_k." in name):
            heads = c.num_attention_heads if ".attn_q." in name else c.num_key_value_heads
            tensor = tensor.reshape(heads, 2, head_dim // 2, -1).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(name, tensor.float().numpy())
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_byte_level_tokenizer(writer, vocab, pre):
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [a + b for a in "etaoinshr" for b in "etaoinshr"]
    words = letters + pairs + [f"<extra_{i}>" for i in range(vocab - len(letters) - len(pairs))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(words)
    writer.add_token_types([1] * vocab)
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)


def add_sentencepiece_tokenizer(writer):
    values = json.loads(tiny.gemma_tokenizer().backend_tokenizer.to_str())["model"]
    order = {"".join(merge): i for i, merge in enumerate(values["merges"])}
    words = sorted(values["vocab"], key=values["vocab"].get)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_scores([float(-order.get(word, 1000 + i)) for i, word in enumerate(words)])
    writer.add_token_types([6 if word.startswith("<0x") else 3 if word.startswith("<") else 1 for word in words])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)


@pytest.mark.parametrize(
    ("arch", "family"),
    [("llama", "Llama 2"), ("llama", "Mistral"), ("qwen2", "Qwen 2.5"), ("qwen3", "Qwen 3"), ("smollm3", "SmolLM 3")],
)
def test_gguf_files_are_the_same_models(tmp_path, arch, family):
    theirs = randomised(FAMILIES[family]()).eval()
    same_as(read_language(write_gguf(tmp_path / "model.gguf", arch, theirs)).model, theirs)


def test_a_gguf_llama_3_has_its_divisors_as_a_tensor(tmp_path):
    theirs = randomised(FAMILIES["Llama 3.2"]()).eval()
    turned = theirs.model.rotary_emb.inv_freq
    plain = 5e5 ** -(torch.arange(0, 16, 2) / 16)
    same_as(read_language(write_gguf(tmp_path / "model.gguf", "llama", theirs, divisors=plain / turned)).model, theirs)


@pytest.mark.parametrize(("key", "value"), [("rope.scale_linear", 4.0), ("rope.scaling.type", "yarn"), ("attention.scale", 0.5)])
def test_a_gguf_whose_attention_is_another_is_refused(tmp_path, monkeypatch, key, value):
    theirs, write = randomised(FAMILIES["Llama 2"]()).eval(), gguf.GGUFWriter.add_block_count

    def with_setting(writer, count):
        write(writer, count)
        (writer.add_string if isinstance(value, str) else writer.add_float32)(f"llama.{key}", value)

    monkeypatch.setattr(gguf.GGUFWriter, "add_block_count", with_setting)
    with pytest.raises(UnknownAssistant, match="not supported"):
        read_language(write_gguf(tmp_path / "model.gguf", "llama", theirs))


def test_weights_for_which_there_is_no_memory_are_not_opened(tmp_path, monkeypatch):
    theirs = randomised(FAMILIES["Llama 2"]()).eval()
    file = write_gguf(tmp_path / "model.gguf", "llama", theirs)
    theirs.to(torch.bfloat16).save_pretrained(tmp_path)
    in_fp32 = 4 * sum(weight.numel() for weight in theirs.parameters())
    monkeypatch.setattr(tensors, "free_memory", lambda: int(2.4 * in_fp32))
    for path in (file, tmp_path):  # the second has half as many bytes on the disk
        with pytest.raises(UnknownSpace, match="of memory"):
            read_language(path)


def test_a_head_that_is_not_the_embedding_stays(tmp_path, tokenizer):
    theirs = randomised(T.LlamaForCausalLM(T.LlamaConfig(**SIZES))).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"tie_word_embeddings": True}))
    same_as(read_language(tmp_path).model, T.AutoModelForCausalLM.from_pretrained(tmp_path).eval())


def test_a_gguf_with_some_biases_only_is_refused(tmp_path):
    theirs = randomised(FAMILIES["Qwen 2.5"]()).eval()
    missing = ("blk.0.attn_k.bias",)
    with pytest.raises(WeightsMismatch, match="attn"):
        read_language(write_gguf(tmp_path / "model.gguf", "qwen2", theirs, leave_out=missing))


TEXTS = ["The quick  brown fox's 12345 tests", "naïve\n\n café\t  x ", "日本語 🎉!?", "don't I'LL  he'd", ""]


@pytest.mark.parametrize(("arch", "pre"), [("llama", "llama-bpe"), ("qwen2", "qwen2"), ("llama", "gpt-2"), ("llama", None)])
def test_gguf_tokenizers_are_transformers(tmp_path, arch, pre):
    theirs = randomised(FAMILIES["Qwen 2.5" if arch == "qwen2" else "Llama 2"]()).eval()
    file = write_gguf(tmp_path / "model.gguf", arch, theirs, pre=pre)
    ours, reference = read_language(file).tokenizer, T.AutoTokenizer.from_pretrained(tmp_path, gguf_file=file.name)
    for text in TEXTS:
        assert ours.encode(text, add_special_tokens=False).ids == reference.encode(text, add_special_tokens=False)


@pytest.mark.parametrize(
    ("values", "window"),
    [
        ({"model_type": "mistral"}, 4096), ({"model_type": "mistral", "sliding_window": None}, 0), ({"model_type": "mistral", "sliding_window": 9}, 9),
        ({"model_type": "mistral", "sliding_window": 9, "layer_types": ["full_attention"] * 32}, 9),
        ({"model_type": "qwen2", "sliding_window": 64}, 0), ({"model_type": "qwen2", "sliding_window": 64, "use_sliding_window": True, "max_window_layers": 0}, 64),
        ({"model_type": "qwen2", "sliding_window": 64, "use_sliding_window": True, "max_window_layers": 32}, 0), ({"model_type": "qwen2", "layer_types": ["full_attention"] * 32}, 0),
    ],
)  # fmt: skip
def test_windows_are_those_of_transformers(values, window):
    assert language_config(values | {"num_hidden_layers": 32}).window == window


def test_blocks_of_which_some_slide_are_refused():
    values = {"model_type": "qwen2", "sliding_window": 64, "use_sliding_window": True, "num_hidden_layers": 32}
    with pytest.raises(UnknownAssistant, match="some of its blocks"):
        language_config(values)
