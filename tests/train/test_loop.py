"""The loop: it learns, it resumes, it stops on nonsense."""

import math

import pytest
import torch

from samespace.config import ImageTower, TextTower
from samespace.model.dual import DualEncoder
from samespace.model.losses import clip_loss
from samespace.train.loop import Settings, lr_at, train

SMALL = dict(width=16, layers=1, heads=2, mlp=32, dim=8)


def tiny_run(path, steps: int, stop_after: int | None = None) -> tuple[DualEncoder, list[float]]:
    """Train a tiny model to tell eight colours apart; `stop_after` cuts the run there, as a kill would."""
    torch.manual_seed(0)
    model = DualEncoder(ImageTower(image_size=16, patch=8, **SMALL), TextTower(vocab=12, context=4, end=11, **SMALL))
    colours = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[1, i + 2, 11, 0] for i in range(8)])

    def loss_of(generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(8, 3, 16, 16, generator=generator)
        z_image, z_text = model(colours[:, :, None, None] + 0.1 * noise, ids)
        return clip_loss(z_image, z_text, model.logit_scale.exp())

    class Cut(Exception):
        pass

    losses = []

    def report(step: int, loss: float, seconds: float) -> None:
        losses.append(loss)
        if step == stop_after:
            raise Cut

    settings = Settings(steps=steps, lr=3e-3, warmup=5, save_every=10)
    try:
        train(model, loss_of, settings, path, report)
    except Cut:
        return tiny_run(path, steps)
    return model, losses


def test_it_learns(tmp_path):
    _, losses = tiny_run(tmp_path / "a.pt", 120)
    assert losses[0] > 1.5 and losses[-1] < 0.5


def test_a_cut_run_goes_on_bit_for_bit(tmp_path):
    straight, _ = tiny_run(tmp_path / "a.pt", 40)
    resumed, _ = tiny_run(tmp_path / "b.pt", 40, stop_after=20)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    model = torch.nn.Linear(2, 2)
    with pytest.raises(FloatingPointError, match="step 0"):
        train(model, lambda g: model.weight.sum() * float("nan"), Settings(steps=3), tmp_path / "a.pt", lambda *_: None)
    assert not (tmp_path / "a.pt").exists()


def test_the_learning_rate_warms_up_and_decays_to_nothing():
    settings = Settings(steps=100, lr=1.0, warmup=10)
    rates = [lr_at(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[10] == 1.0
    assert rates[-1] < 1e-3 and all(a >= b for a, b in zip(rates[10:], rates[11:]))


def test_the_temperature_never_passes_100(tmp_path):
    torch.manual_seed(0)
    model = DualEncoder(ImageTower(image_size=16, patch=8, **SMALL), TextTower(vocab=12, context=4, end=11, **SMALL))
    settings = Settings(steps=2, lr=10.0, warmup=0, clip=1e9)
    train(model, lambda g: -1000 * model.logit_scale, settings, tmp_path / "a.pt", lambda *_: None)
    assert model.logit_scale.item() == pytest.approx(math.log(100))
