"""Noise → pictures: the solver, and pictures as numbers."""

import numpy as np
import pytest

from samespace.generate.sampler import from_rgba, on_white, sample, to_rgba


def normal(mean: float, std: float):
    """The best prediction of pictures whose pixels are normal: E[x | x_t] in closed form."""

    def predict(x, t):
        gain = t * std**2 / (t**2 * std**2 + (1 - t) ** 2)
        return mean + gain * (x - t * mean)

    return predict  # fmt: skip


def test_the_solver_turns_noise_into_the_pictures_that_the_model_knows():
    noise = np.random.default_rng(0).standard_normal((4, 4, 64, 64), np.float32)
    *_, last = sample(normal(0.4, 0.2), noise, 60)
    assert last.mean() == pytest.approx(0.4, abs=0.01) and last.std() == pytest.approx(0.2, abs=0.01)


def test_the_second_order_is_nearer_to_the_truth_than_euler_with_as_many_steps():
    noise = np.random.default_rng(0).standard_normal((1, 4, 32, 32), np.float32)
    predict, mean, std = normal(0.4, 0.2), 0.4, 0.2
    truth = mean + std * noise  # where the flow of normal pictures takes each pixel
    x = noise
    for t in np.linspace(0, 1, 13)[:-1]:
        x = x + (predict(x, t) - x) / (1 - t) / 12 if t < 1 else x
    *_, last = sample(predict, noise, 12)
    assert np.abs(last - truth).mean() < 0.6 * np.abs(x - truth).mean()


def test_each_step_is_yielded_and_one_step_is_a_plain_prediction():
    noise = np.zeros((1, 4, 8, 8), np.float32)
    seen = list(sample(lambda x, t: np.full_like(x, t), noise, 4))
    assert [round(float(step.mean()), 2) for step in seen] == [0.0, 0.25, 0.5, 0.75]
    assert len(list(sample(lambda x, t: x + 1, noise, 1))) == 1


def test_colours_come_back_and_what_is_transparent_is_white_on_white():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 8, 8, 4), dtype=np.uint8)
    pictures[..., 3] = np.where(rng.random((2, 8, 8)) < 0.5, 255, 128)
    assert np.abs(to_rgba(from_rgba(pictures)).astype(int) - pictures).max() <= 1
    pictures[..., 3] = 0
    assert (on_white(to_rgba(from_rgba(pictures))) == 255).all()
    opaque = np.concatenate([pictures[..., :3], np.full_like(pictures[..., :1], 255)], -1)
    assert np.array_equal(on_white(opaque), opaque[..., :3])
