"""Caches of keys and values: exact, in int8, and of the first and the latest tokens only."""

import pytest
import torch
from random_weights import randomised

from samespace.core.assistant_config import LanguageModel
from samespace.models.lm import Cache, Int8Cache, Llama, WindowCache, visible

C = LanguageModel(vocab=50, context=64, width=32, layers=3, heads=4, kv_heads=2, head_dim=8, mlp=64, rope_base=1e4)


def model(layers: int = 3) -> Llama:
    from dataclasses import replace

    torch.manual_seed(0)
    return randomised(Llama(replace(C, layers=layers))).eval()


def ids(count: int) -> torch.Tensor:
    return torch.randint(0, 50, (1, count), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def run(llama: Llama, text: torch.Tensor, cache: Cache, *parts: int) -> torch.Tensor:
    """Read a text in parts of these sizes → the hidden states of all tokens."""
    return torch.cat([llama(llama.embed(part), cache) for part in text.split(parts or (text.shape[1],), dim=1)], dim=1)


@torch.inference_mode()
def test_int8_is_near_and_takes_a_third_or_less():
    llama, text = model(), ids(40)
    exact, rounded = Cache(3), Int8Cache(3)
    a, b = run(llama, text, exact, 20, 19, 1), run(llama, text, rounded, 20, 19, 1)
    assert (a - b).abs().mean() < 0.02 * a.abs().mean() and not torch.equal(a, b)
    assert exact.bytes == 3 * 2 * 2 * 40 * 8 * 4 and rounded.bytes == 3 * 2 * 2 * 40 * (8 + 4)
    shorter = rounded.first(30)
    assert torch.allclose(run(llama, text[:, 30:], shorter), run(llama, text[:, 30:], rounded.first(30))) and shorter.length == 40


@torch.inference_mode()
def test_a_window_that_holds_all_changes_nothing():
    llama, text = model(), ids(24)
    assert torch.allclose(run(llama, text, WindowCache(3, window=30)), run(llama, text, Cache(3)), atol=1e-5)
    assert torch.allclose(run(llama, text, WindowCache(3, window=20), 10, 10, 4), run(llama, text, Cache(3)), atol=1e-5)


@pytest.mark.parametrize("parts", [(1,) * 40, (7,) * 5 + (5,), (40,)])
@torch.inference_mode()
def test_the_last_token_sees_the_first_and_the_latest_at_their_places_in_the_cache(parts):
    llama, text = model(layers=1), ids(40)  # in one layer a state depends on what is seen alone
    cache = WindowCache(1, window=8, sinks=3)
    out = run(llama, text, cache, *parts)
    assert cache.length == 11 and cache.forgotten == 29
    held = min(11, 40 - parts[-1]) + parts[-1]  # tokens in the cache when the last part is read
    places = torch.tensor([0, 1, 2, *range(held - 8, held)])
    alone = llama(llama.embed(torch.cat([text[:, :3], text[:, -8:]], dim=1)), positions=places)
    assert torch.allclose(out[:, -1], alone[:, -1], atol=1e-5)


@torch.inference_mode()
def test_what_is_kept_beyond_the_window_is_not_seen():
    llama, text = model(layers=1), ids(40)
    cache = WindowCache(1, window=8, sinks=3, slack=5)
    for i in range(40):
        out = run(llama, text[:, i : i + 1], cache)
        assert 8 < cache.length <= 16 or i < 8
    places = torch.tensor([0, 1, 2, *range(cache.length - 8, cache.length)])
    alone = llama(llama.embed(torch.cat([text[:, :3], text[:, -8:]], dim=1)), positions=places)
    assert torch.allclose(out[:, -1], alone[:, -1], atol=1e-5)


@torch.inference_mode()
def test_positions_within_a_window_are_not_stretched_for_the_whole_text():
    from dataclasses import replace

    llama = randomised(Llama(replace(C, rope_growth=4.0, rope_trained=32))).eval()
    short, planned = WindowCache(3, window=20), WindowCache(3, window=20)
    planned.planned = 10_000
    assert torch.equal(run(llama, ids(30), short, 10, 10, 10), run(llama, ids(30), planned, 10, 10, 10))


@torch.inference_mode()
def test_memory_does_not_grow_with_a_text_without_end():
    llama, cache = model(), WindowCache(3, window=16)
    for part in ids(300).split(10, dim=1):
        out = llama(llama.embed(part), cache)
        assert torch.isfinite(out).all() and cache.length <= 20
    assert cache.forgotten == 280 and cache.bytes == 3 * 2 * 2 * 20 * 8 * 4


def test_where_a_cache_can_go_on():
    llama, text = model(), ids(30)
    exact, window = Cache(3), WindowCache(3, window=20)
    for cache in (exact, window):
        run(llama, text[:, :20], cache)
        assert cache.holds(20) and cache.holds(7) and not cache.holds(21)
    run(llama, text[:, 20:], window)
    assert window.forgotten == 6 and window.holds(30) and not window.holds(29)
    window.cut(30)
    exact.cut(7)
    assert window.length == 24 and exact.length == 7


def test_what_is_visible_through_a_window_with_sinks():
    assert visible(2, 8, 3, torch.device("cpu"), sinks=2).int().tolist() == [[1, 1, 0, 0, 1, 1, 1, 0], [1, 1, 0, 0, 0, 1, 1, 1]]
    assert visible(3, 3, 9, torch.device("cpu"), sinks=2).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
