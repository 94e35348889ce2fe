"""Training a generator: a run config in, a folder out that draws what it was taught."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from coloured_pairs import COLOURS, write_table
from PIL import Image

import samespace
from samespace.core.errors import ConfigError, QueryError, TrainingStopped, UnknownGenerator
from samespace.core.generator_config import GeneratorConfig
from samespace.evaluate.colours import dominant_colour
from samespace.train.config import RunConfig, Source, validate
from samespace.train.drawing import Captions, mixed
from samespace.train.drawing_run import DrawingRun
from samespace.train.dry_run import report
from samespace.train.runs import start, train

pytestmark = pytest.mark.usefixtures("traced_once")
SHAPE = GeneratorConfig(size=16, patch=8, width=64, layers=2, heads=2, mlp=128)


def quiet(progress, config) -> None:
    pass


def a_run(table: Path, out: Path, **settings) -> RunConfig:
    return RunConfig(
        name="colours", task="draw", start="starter", out=str(out), train=(Source(str(table)),), val=(Source(str(table)),),
        generator=SHAPE, augment="none", batch=40, steps=250, lr=4e-3, warmup=10, threads=1, save_every=250, evaluate_every=250,
        ema_decay=0.98, device="cpu", **settings,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawing")
    config = a_run(write_table(folder), folder / "run")
    made = train(DrawingRun, config, False, quiet, "samespace train colours.toml")
    assert made is not None and made.card["validation"]["loss"] < 0.5 and made.card["pictures_seen"] == 10_000
    return folder / "run"


@pytest.fixture(scope="module")
def generator(run):
    return samespace.load_generator(run / "generator")


def test_it_draws_the_colours_it_was_taught(generator):
    asked = [name for name in COLOURS if name not in ("white",)]
    drawn = {name: dominant_colour(np.asarray(generator.draw(name, seed=3)[0])) for name in asked}
    assert sum(drawn[name] == name for name in asked) >= 6, drawn


def test_a_picture_and_a_vector_steer_as_words_do(generator, tmp_path):
    Image.new("RGB", (40, 40), COLOURS["green"]).save(tmp_path / "it.png")
    assert dominant_colour(np.asarray(generator.draw(str(tmp_path / "it.png"))[0])) == "green"
    (z,) = generator.space.image([tmp_path / "it.png"])
    (drawing,) = generator.draw(z)
    assert drawing.size == (16, 16) and drawing.mode == "RGBA" and dominant_colour(np.asarray(drawing)) == "green"


def test_the_same_seed_gives_the_same_drawing_alone_or_among_others(generator):
    one, (first, second) = generator.draw("red", seed=5)[0], generator.draw("red", 2, seed=5)
    assert np.abs(np.asarray(one, int) - np.asarray(first, int)).max() <= 2
    assert not np.array_equal(first, second) and not np.array_equal(one, generator.draw("red", seed=6)[0])


def test_steps_say_what_each_word_did(generator):
    asked = generator.read("a blue square - red")
    assert asked.wanted.tokens == ("[CLS]", "a", "blue", "square", "[SEP]") and asked.unwanted.tokens == ("[CLS]", "red", "[SEP]")
    steps = list(generator.steps(asked, 2, steps=4))
    assert [step.number for step in steps] == [1, 2, 3, 4] and steps[0].attention.shape == (2, 2, 2, 5)
    assert (steps[-1].attention.sum(-1) <= 1.001).all() and steps[-1].attention.min() >= 0


def test_the_graph_gives_what_the_model_gives(run, generator):
    state = torch.load(run / "checkpoint.pt", weights_only=True)["ema"]
    from samespace.models.generate.flow import FlowTransformer

    model = FlowTransformer(generator.config).eval()
    model.load_state_dict({name.removeprefix("module.model."): t for name, t in state.items() if name != "n_averaged"})
    torch.manual_seed(0)
    given = {
        "x": torch.randn(3, 4, 16, 16),
        "t": torch.rand(3),
        "z": torch.randn(3, 512),
        "words": torch.randn(3, 5, 384),
        "present": torch.ones(3, 5),
    }
    with torch.no_grad():
        expected = model(**given).numpy()
    (picture,) = generator.session.run(["picture"], {name: x.numpy() for name, x in given.items()})
    assert np.abs(picture - expected).mean() < 0.02 * np.abs(expected).mean() + 0.01  # its weights are int8


@pytest.mark.parametrize(
    "asked, settings, message",
    [
        ("", {}, "empty term"), ("灯塔", {}, "does not know"), ("x" * 2001, {}, "2000 at most"), ("red", {"steps": 0}, "steps is 0"),
        ("red", {"n": 65}, "drawings is 65"), ("red", {"guidance": -1}, "guidance is -1"), (np.zeros(512), {}, "not all zero"),
        (np.ones(7), {}, "give 512"), ("red - red", {}, "cancel out"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(generator, asked, settings, message):
    with pytest.raises(QueryError, match=message):
        generator.draw(asked, **settings)


def test_unknown_and_broken_generators_have_a_reason(tmp_path, run, tiny_space):
    with pytest.raises(UnknownGenerator, match="no generator 'nobody'"):
        samespace.load_generator("nobody")
    with pytest.raises(UnknownGenerator, match="another space"):
        samespace.load_generator(run / "generator", tiny_space)
    (tmp_path / "generator.json").write_text('{"format": 99}')
    with pytest.raises(UnknownGenerator, match="format 99"):
        samespace.load_generator(tmp_path)
    (tmp_path / "generator.json").write_bytes((run / "generator" / "generator.json").read_bytes())
    with pytest.raises(UnknownGenerator, match="cannot be opened"):
        samespace.load_generator(tmp_path)


def test_a_run_that_was_stopped_goes_on_with_the_same_batches_and_noise(tmp_path, monkeypatch):
    monkeypatch.setattr("samespace.train.drawing_run.export", lambda model, config, folder: config)  # which takes longest
    table = write_table(tmp_path)
    whole = replace(a_run(table, tmp_path / "whole"), steps=6, save_every=3, evaluate_every=6, val=())
    losses = {"whole": [], "parts": []}
    train(DrawingRun, whole, False, lambda p, c: losses["whole"].append(p.loss))
    stopped = replace(whole, out=str(tmp_path / "parts"))

    def stop(progress, config):
        losses["parts"].append(progress.loss)
        if progress.step == 3 and len(losses["parts"]) == 3:
            raise TrainingStopped("here")

    with pytest.raises(TrainingStopped, match="here"):
        train(DrawingRun, stopped, False, stop)
    train(DrawingRun, stopped, True, stop)
    assert losses["parts"] == pytest.approx(losses["whole"], rel=1e-4)


def test_conditions_are_mixed_as_they_are_to_be(tmp_path):
    run, _ = start(DrawingRun, replace(a_run(write_table(tmp_path), tmp_path / "run"), batch=8), False)
    captions: Captions = run.captions
    c = captions(["a red square", "blue"] * 500)
    assert c.words.shape == (1000, 5, 384) and c.present[0].sum() == 5 and c.present[1].sum() == 3
    z = torch.nn.functional.normalize(torch.randn(1000, 512), dim=-1)
    out = mixed(c, z, np.random.default_rng(0))
    lengths = out.z.norm(dim=-1)
    nothing = lengths == 0
    assert 0.06 < nothing.float().mean() < 0.14 and torch.allclose(
        lengths[~nothing], torch.ones(int((~nothing).sum())), atol=1e-4
    )
    assert out.present[nothing].sum() == 0 and 0.5 < (out.present.sum(1) > 0).float().mean() < 0.65
    to_words, to_picture = (out.z * c.z).sum(-1), (out.z * z).sum(-1)
    assert 0.35 < (to_words > 0.75).float().mean() < 0.65 and 0.2 < (to_picture > 0.75).float().mean() < 0.45


def test_a_dry_run_shows_the_first_batch_and_computes_no_vectors(tmp_path):
    config = replace(a_run(write_table(tmp_path), tmp_path / "run"), batch=8)
    lines = list(report(config))
    assert (
        lines[0] == "a batch: 8 pictures, pixels uint8 (8, 16, 16, 4), 512-d space" and (tmp_path / "run" / "batch.png").exists()
    )
    assert any("blocks" in line and "trained" in line for line in lines) and not (tmp_path / "run" / "vectors.npz").exists()


@pytest.mark.parametrize("change", [{"start": ""}, {"lora": 4}, {"fsdp": True}, {"adapter": 8}])
def test_settings_that_a_generator_cannot_have(change):
    with pytest.raises(ConfigError, match=r"draws in a space|add to weights|fsdp works"):
        validate(replace(a_run(Path("x.tsv"), Path("out")), **change))
