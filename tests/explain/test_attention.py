"""Kinds of attention: the cheap algorithms give what their masks say, and a model read with full attention gives what it gives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_assistant import byte_tokenizer, tiny_llava

from samespace.assistant.language import Language
from samespace.core.errors import QueryError, UnknownAssistant
from samespace.explain import long_text
from samespace.explain.attention import BLOCKS, DECAY, DECAYED, FULL, KINDS, LINEAR, WINDOW, attend, kept, mask, pairs

TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. " * 3


def qkv(n: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, n, 8, generator=generator) for _ in "qkv"]


@pytest.fixture(scope="module")
def language() -> Language:
    model = tiny_llava().lm
    for weight in model.parameters():
        weight.data /= 6
    return Language(model, byte_tokenizer(), "", {})


@pytest.mark.parametrize("kind", [FULL, WINDOW, BLOCKS])
@pytest.mark.parametrize("n", [1, 7, 16, 50])
@pytest.mark.parametrize("size", [1, 5, 16, 64])
def test_the_cheap_algorithm_gives_what_the_mask_says(kind, n, size):
    q, k, v = qkv(n)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask(kind, n, size))
    assert torch.allclose(attend(kind, q, k, v, size), expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "decay"), [(LINEAR, 1.0), (DECAY, DECAYED)])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 150])
def test_a_state_gives_what_all_tokens_before_would(kind, decay, n):
    q, k, v = qkv(n)
    i = torch.arange(n)
    weights = (
        (F.elu(q) + 1) @ (F.elu(k) + 1).transpose(1, 2) * torch.where(i[:, None] >= i, decay ** (i[:, None] - i).float(), 0.0)
    )
    assert torch.allclose(attend(kind, q, k, v, 4), weights @ v / weights.sum(dim=2, keepdim=True), atol=1e-4)


def test_masks_as_pictures():
    window, blocks = mask(WINDOW, 8, 2).int(), mask(BLOCKS, 8, 3).int()
    assert window[7].tolist() == [1, 1, 1, 1, 0, 0, 1, 1]
    assert blocks[7].tolist() == [0, 0, 1, 0, 0, 1, 1, 1] and blocks[4].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert pairs(FULL, 100, 8) == 5050 and pairs(LINEAR, 100, 8) == 100
    assert pairs(WINDOW, 1000, 16) < 21 * 1000 and pairs(BLOCKS, 1000, 16) < pairs(FULL, 1000, 16) / 4
    assert [kept(kind, 1000, 16) for kind in KINDS] == [1000, 19, 70, 0, 0]


def test_full_attention_is_the_models_own(language):
    results = {result.kind: result for result in long_text.read_with(language, TEXT, 8)}
    ids = torch.tensor([language.tokenizer.encode(TEXT).ids])
    half = ids.shape[1] // 2
    with torch.inference_mode():
        logits = language.model.logits(language.model(language.model.embed(ids)))[0, half - 1 : -1]
    expected = float(F.cross_entropy(logits, ids[0, half:]).exp())
    assert results[FULL].perplexity == pytest.approx(expected, rel=1e-3)
    assert list(results) == list(KINDS) and len({result.perplexity for result in results.values()}) == len(KINDS)
    seen = np.array(results[FULL].seen)
    assert seen.shape == (64, 64) and np.allclose(np.triu(seen, 2), 0, atol=1e-3) and np.allclose(seen.max(axis=1), 1)
    assert results[FULL].bytes == 3 * 4 * 2 * 2 * 8 * ids.shape[1] > results[WINDOW].bytes > 0


def test_a_window_that_holds_all_is_full(language):
    first, *_ = (r for r in long_text.read_with(language, TEXT, 600) if r.kind == FULL)
    window = next(r for r in long_text.read_with(language, TEXT, 600) if r.kind == WINDOW)
    assert window.perplexity == pytest.approx(first.perplexity, rel=1e-3) and window.pairs == first.pairs


def test_a_head_is_the_models_own(language):
    """Its softmax gives the attention that the model's own trace has."""
    got = long_text.head(language, TEXT, 1, 4)
    q, k, v = (torch.tensor(x) for x in (got.q, got.k, got.v))
    tap: dict[str, torch.Tensor] = {}
    ids = torch.tensor([language.tokenizer.encode(TEXT).ids[: len(q)]])
    with torch.inference_mode():
        language.model(language.model.embed(ids), None, tap)
    before = torch.ones(len(q), len(q)).tril().bool()
    weights = (q @ k.T / 8**0.5).masked_fill(~before, -torch.inf).softmax(dim=1)
    assert torch.allclose(weights, tap["blocks.1.attn.weights"][0, 4], atol=1e-4) and v.shape == q.shape == (128, 8)


def test_costs_are_measured_for_every_kind_and_length(language):
    rows = list(long_text.costs(language.model.c, 16, (32, 64)))
    assert [(row["kind"], row["tokens"]) for row in rows] == [(kind, n) for n in (32, 64) for kind in KINDS]
    assert all(row["ms"] > 0 for row in rows)
    assert rows[0]["bytes"] * 2 == rows[len(KINDS)]["bytes"] and rows[3]["bytes"] == rows[len(KINDS) + 3]["bytes"]


def test_what_a_longer_context_changes(language):
    found = long_text.stretched(language.model.c, 2048)
    assert found["changed"]["context"] == {"trained": 512, "stretched": 2048} and "rope_divisors" in found["changed"]
    assert found["stretched"][0] == pytest.approx(found["waves"][0]) and found["stretched"][-1] > 3 * found["waves"][-1]
    assert found["bytes"][2048] == 4 * found["bytes"][512]
    with pytest.raises(UnknownAssistant, match="16 times"):
        long_text.stretched(language.model.c, 10**6)


def test_needles_have_a_place_and_an_answer(language):
    rows = list(long_text.needles(language, TEXT, (64, 128), (0.0, 1.0)))
    assert [(row["tokens"], row["depth"]) for row in rows] == [(64, 0.0), (64, 1.0), (128, 0.0), (128, 1.0)]
    assert all(isinstance(row["found"], bool) for row in rows)


@pytest.mark.parametrize("call", [lambda lm: list(long_text.read_with(lm, "hi", 8)), lambda lm: long_text.head(lm, "hi", 0, 0)])
def test_a_text_that_is_too_short_is_refused(language, call):
    with pytest.raises(QueryError, match="the text has 2 tokens; give at least 16"):
        call(language)


def test_a_head_that_does_not_exist_is_refused(language):
    with pytest.raises(QueryError, match="there is no head 9 in layer 0; layers are 0 to 2, heads to 5"):
        long_text.head(language, TEXT, 0, 9)
