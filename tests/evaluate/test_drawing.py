"""What a generator is worth: the measures, and the command on a generator that draws noise."""

import json

import numpy as np
import pytest
from coloured_pairs import COLOURS, write_table
from typer.testing import CliRunner

import samespace
from samespace.cli.main import app
from samespace.evaluate import drawing
from samespace.evaluate.colours import COLOURS as NAMES
from samespace.evaluate.colours import colour_shares, dominant_colour
from samespace.evaluate.drawing import Evaluation, different, kid


def test_kid_is_the_unbiased_kernel_distance():
    rng = np.random.default_rng(0)
    sets = rng.standard_normal((40, 8)), rng.standard_normal((30, 8)), rng.standard_normal((30, 8)) + 1
    a, b, far = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in sets)

    def slow(x, y):
        def kernel(u, v):  # of features of length √8
            return (8**0.5 * u @ (8**0.5 * v) / 8 + 1) ** 3

        xx = np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])
        yy = np.mean([kernel(y[i], y[j]) for i in range(len(y)) for j in range(len(y)) if i != j])
        return xx + yy - 2 * np.mean([kernel(u, v) for u in x for v in y])

    assert kid(a, b) == pytest.approx(slow(a, b)) and kid(a, far) == pytest.approx(slow(a, far))
    assert abs(kid(a, b)) < 0.3 < kid(a, far)
    two = np.concatenate([np.tile(side, (20, 1)) for side in (a[0], -a[0])])  # always the same two, of the right mean
    assert kid(a, two) > 0.3


@pytest.mark.parametrize("name", [*COLOURS, "pink", "brown", "grey"])
def test_colours_are_called_what_people_call_them(name):
    rgb = (COLOURS | {"pink": (250, 120, 180), "brown": (120, 70, 30), "grey": (128, 128, 128)})[name]
    picture = np.zeros((10, 10, 4), np.uint8)
    picture[:6] = (*rgb, 255)
    assert name in NAMES and dominant_colour(picture) == name and colour_shares(picture)[name] == pytest.approx(1)
    picture[:3, :, :3] = (255, 255, 255) if name != "white" else (0, 0, 0)
    assert dominant_colour(picture, least=0.6) == "" and dominant_colour(picture, least=0.5) != ""
    assert dominant_colour(np.zeros((4, 4, 4), np.uint8)) == ""


def test_each_caption_counts_once():
    assert list(different([("a cat", "x"), ("A CAT",), ("a dog",), ("a cat",)])) == [0, 2]


class ColourJudge:
    """A space that sees nothing but the mean colour."""

    config = samespace.load("starter").config

    def pixels(self, squares: np.ndarray) -> np.ndarray:
        return self._unit(squares.mean(axis=(1, 2)))

    def text(self, texts) -> np.ndarray:
        return self._unit(np.array([COLOURS[text] for text in texts], float))

    @staticmethod
    def _unit(colours: np.ndarray) -> np.ndarray:
        z = np.column_stack([colours - 100, np.full(len(colours), 60)])
        return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


def test_the_right_drawings_have_the_best_numbers(tiny_generator):
    names, judge = list(COLOURS), ColourJudge()
    side = judge.config.prep.size
    squares = np.stack([np.full((side, side, 3), COLOURS[name], np.uint8) for name in names])
    evaluation = Evaluation(samespace.load_generator(tiny_generator), judge, squares, names)
    drawn = np.stack([np.full((16, 16, 4), (*COLOURS[name], 255), np.uint8) for name in names])
    assert evaluation.recalls("x", drawn) == {"x_recall@1": 1.0, "x_recall@5": 1.0} == evaluation.recalls("x", squares)
    assert evaluation.recalls("x", drawn[::-1])["x_recall@1"] == 0
    assert evaluation.nearest_pictures(np.full((8, 16, 16, 4), 255, np.uint8))["copied"] == 0.0


def test_the_command_measures_all_and_writes_sheets(tiny_generator, tmp_path, monkeypatch, tiny_space_folder):
    monkeypatch.setattr(drawing, "THINGS", ("apple",))
    monkeypatch.setattr(drawing, "STEPS", 2)
    table = write_table(tmp_path)
    arguments = ["eval", "draw", str(table), "--with", str(tiny_generator), "--sheets", str(tmp_path / "sheets"), "--json"]
    done = CliRunner().invoke(app, [*arguments, "--judge", str(tiny_space_folder)])
    assert done.exit_code == 0, done.output
    metrics = json.loads(done.stdout)["metrics"]
    kinds = {"text", "best", "real", "unguided", "nothing", "nearest", "picture", "z_text", "sum", "spoken"}
    assert {f"{kind}_recall@{k}" for kind in kinds for k in (1, 5)} | {
        "copied",
        "distance",
        "colour",
        "kid",
        "seconds_per_drawing",
    } == metrics.keys()
    assert all(np.isfinite(value) for value in metrics.values()) and 0 <= metrics["colour"] <= 0.5
    assert {file.stem for file in (tmp_path / "sheets").iterdir()} == kinds - {"real"} | {"colours"}
    refused = CliRunner().invoke(app, [*arguments, "--judge", "starter"])
    assert refused.exit_code == 1 and "judges itself" in refused.stderr
