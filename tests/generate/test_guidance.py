"""An image tower as a critic of pictures and of strokes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import samespace
from samespace.core.errors import UnknownGenerator
from samespace.generate.guidance import STRENGTH, Critic, on_white
from samespace.generate.sampler import from_rgba
from samespace.generate.sampler import on_white as on_white_uint8
from samespace.generate.strokes import Strokes, draw_strokes, random_strokes, rasterise, to_svg


@pytest.fixture(scope="module")
def critic() -> Critic:
    return Critic(samespace.load("starter"), "a red apple")


def test_pictures_are_shown_on_white_as_files_are():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), dtype=np.uint8)
    shown = on_white(torch.from_numpy(from_rgba(pictures))).permute(0, 2, 3, 1) * 255
    assert np.abs(shown.numpy() - on_white_uint8(pictures)).max() <= 1.5


def test_the_whole_picture_is_scored_as_the_space_scores_it(critic, monkeypatch):
    monkeypatch.setattr("samespace.generate.guidance.LEAST_VIEW", 1.0)
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    (z,) = samespace.load("starter").image([picture])
    score = critic.similarity(torch.from_numpy(picture / np.float32(255)).permute(2, 0, 1)[None]).item()
    assert score == pytest.approx(float(z @ critic.z.numpy()), abs=0.01)


def test_a_step_brings_pictures_nearer_to_the_query(critic):
    pictures = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4, 64, 64)).astype(np.float32)
    improve, better = critic.improve(), pictures
    for _ in range(3):
        better = improve(better)
    scores = [critic.similarity(on_white(torch.from_numpy(x))).detach().numpy() for x in (pictures, better)]
    assert (scores[1] > scores[0] + 0.05).all()
    assert np.sqrt(np.mean((improve(pictures) - pictures) ** 2)) == pytest.approx(STRENGTH, rel=0.05)


def test_a_stroke_is_drawn_where_it_is():
    line = Strokes(
        torch.tensor([[[0.1, 0.5], [0.4, 0.5], [0.6, 0.5], [0.9, 0.5]]]), torch.tensor([0.05]), torch.tensor([[1.0, 0, 0, 1]])
    )
    picture = rasterise(line, 80)
    assert picture[:, 40, 40].tolist() == pytest.approx([1, 0, 0], abs=0.02) and picture[:, 10, 40].tolist() == pytest.approx(
        [1, 1, 1], abs=0.02
    )
    assert picture[1, 40, 2].item() > 0.9 and picture[1, 48, 40].item() > 0.9  # beyond its end, and its width
    covered = Strokes(
        *(torch.cat([a, b]) for a, b in zip(vars(line).values(), (line.points, line.width, torch.tensor([[0, 0, 1.0, 1]]))))
    )
    assert rasterise(covered, 80)[:, 40, 40].tolist() == pytest.approx([0, 0, 1], abs=0.02)  # the later one lies above
    assert "M51.2,256 C204.8,256 307.2,256 460.8,256" in to_svg(line, "a line")


def test_strokes_come_nearer_to_the_query(critic):
    def score(strokes: Strokes) -> float:
        with torch.no_grad():
            return float(np.mean([critic.similarity(rasterise(strokes)[None]).item() for _ in range(3)]))

    before = score(random_strokes(12, 0))
    *_, drawn = draw_strokes(critic, 12, steps=8)
    assert score(drawn) > before + 0.05
    for x in vars(drawn).values():
        assert torch.isfinite(x).all()


def test_a_space_that_cuts_pictures_before_its_tower_is_refused():
    space = samespace.load("starter")
    space.config = replace(space.config, prep=replace(space.config.prep, resize="native"))
    with pytest.raises(UnknownGenerator, match="cannot steer"):
        Critic(space, "a cat")
