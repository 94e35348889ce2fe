"""Inputs of several requests that are encoded together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from samespace.server.services.batching import Batches


def encoded(items: list[int]) -> np.ndarray:
    return np.array([[item, 2 * item] for item in items], np.float32)


def test_what_comes_while_others_are_encoded_makes_the_next_batch():
    batches, entered, go_on, sizes = None, threading.Event(), threading.Event(), []

    def encode(items):
        sizes.append(len(items))
        entered.set()
        assert go_on.wait(10)
        return encoded(items)

    batches = Batches(encode, 4)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batches, [100])
        assert entered.wait(10)
        others = [pool.submit(batches, [i]) for i in range(8)]
        while len(batches._waiting) < 8:
            pass
        go_on.set()
        assert first.result()[0].tolist() == [100, 200]
        assert [other.result()[0].tolist() for other in others] == [[i, 2 * i] for i in range(8)]
    assert sizes == [1, 4, 4]


def test_a_request_of_many_inputs_is_encoded_in_batches_and_in_order():
    sizes = []
    batches = Batches(lambda items: sizes.append(len(items)) or encoded(items), 4)
    assert [int(z[0]) for z in batches(range(10))] == list(range(10)) and sizes == [4, 4, 2]
    assert batches([]) == []


def test_what_fails_is_told_to_its_request_and_to_no_other():
    entered, go_on = threading.Event(), threading.Event()

    def encode(items):
        entered.set()
        assert go_on.wait(10)
        if 13 in items:
            raise ValueError("unlucky")
        return encoded(items)

    batches = Batches(encode, 4)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batches, [0])
        assert entered.wait(10)
        good, bad = pool.submit(batches, [1, 2]), pool.submit(batches, [13])
        while len(batches._waiting) < 3:
            pass
        go_on.set()
        assert [int(z[0]) for z in good.result()] == [1, 2] and first.result()[0].tolist() == [0, 0]
        with pytest.raises(ValueError, match="unlucky"):
            bad.result()
