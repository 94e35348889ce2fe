"""The language model: transformers' numbers on random weights, and the cache that changes nothing."""

import pytest
import torch

from samespace.core.assistant_config import LanguageModel
from samespace.models.int8 import EXACT_INPUTS, Int8Linear, int8_product, quantize
from samespace.models.lm import Cache, Llama
from samespace.spaces.checkpoints.weight_maps import LLAMA, renamed

SIZES = dict(vocab=100, width=48, layers=3, heads=6, head_dim=8, mlp=96, eps=1e-6, rope_base=500.0)


def ours_and_theirs(kv_heads: int, tied: bool):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100, hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=kv_heads, head_dim=8, tie_word_embeddings=tied, rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )  # fmt: skip
    theirs = LlamaForCausalLM(config).eval()
    ours = Llama(LanguageModel(**SIZES, kv_heads=kv_heads, tied=tied)).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), LLAMA))
    return ours, theirs


@pytest.mark.parametrize(("kv_heads", "tied"), [(6, True), (2, True), (1, False)])
def test_logits_are_transformers(kv_heads, tied):
    ours, theirs = ours_and_theirs(kv_heads, tied)
    ids = torch.randint(100, (2, 17))
    with torch.inference_mode():
        got, want = ours.logits(ours(ours.embed(ids))), theirs(ids).logits
    assert (got - want).abs().max() < 1e-4 * want.abs().max()


@pytest.mark.parametrize("parts", [[17], [9, 8], [1] * 17, [5, 1, 1, 10]])
def test_reading_in_parts_is_reading_at_once(parts):
    ours, _ = ours_and_theirs(2, True)
    ids, cache, got = torch.randint(100, (2, 17)), Cache(3), []
    with torch.inference_mode():
        want = ours(ours.embed(ids))
        for part in ids.split(parts, dim=1):
            got.append(ours(ours.embed(part), cache))
    assert cache.length == 17
    torch.testing.assert_close(torch.cat(got, dim=1), want, atol=1e-5, rtol=1e-5)


def test_a_cache_that_is_cut_forgets():
    ours, _ = ours_and_theirs(2, True)
    ids, other = torch.randint(100, (1, 300)), torch.randint(100, (1, 5))
    cache = Cache(3)
    with torch.inference_mode():
        ours(ours.embed(ids), cache)
        cache.length = 100
        got = ours(ours.embed(other), cache)
        want = ours(ours.embed(torch.cat([ids[:, :100], other], dim=1)))[:, 100:]
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_attention_can_be_looked_at():
    ours, _ = ours_and_theirs(2, True)
    tap = {}
    with torch.inference_mode():
        ours(ours.embed(torch.randint(100, (1, 7))), tap=tap)
    weights = tap["blocks.1.attn.weights"]
    assert weights.shape == (1, 6, 7, 7)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(1, 6, 7))
    assert (weights.triu(1) == 0).all()
    assert {"blocks.0", "blocks.2"} <= tap.keys()


def test_int8_products_are_those_of_the_rounded_weights():
    torch.manual_seed(0)
    weight, x = torch.randn(40, 64), torch.randn(2, 3, 64) * torch.logspace(-2, 2, 64)
    values, scale = quantize(weight)
    bias = torch.randn(40)
    got, want = Int8Linear(values, scale, bias)(x), x @ (values.float() * scale).T + bias
    assert (got - want).abs().max() < 1e-4 * want.abs().max()
    assert (values.float() * scale - weight).abs().max() <= scale.max() / 2 + 1e-6


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
@pytest.mark.parametrize("inputs", [48, EXACT_INPUTS, 3 * EXACT_INPUTS + 8])
def test_int8_products_are_exact_on_every_cpu(monkeypatch, capability, inputs):
    """Also where every product is as large as it can be, and all have one sign."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randint(-127, 128, (rows, inputs), dtype=torch.int8, generator=generator) for rows in (32, 24))
    for a, b in ((x, weight), (torch.full_like(x, 127), torch.full_like(weight, -127))):
        assert torch.equal(int8_product(a, b).double(), a.double() @ b.double().t())
