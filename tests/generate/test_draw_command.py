"""`samespace draw`: files, what they say of themselves, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from samespace.cli.main import app
from samespace.generate.files import ORIGIN
from samespace.generate.generator import Generator, load_generator
from samespace.generate.sampler import on_white


@pytest.fixture
def run(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMESPACE_GENERATOR", str(tiny_generator))
    return lambda *arguments: CliRunner().invoke(app, ["draw", *arguments])


def test_a_drawing_is_named_as_the_query_and_replaces_no_file(run):
    assert run("a red/blue apple: 50%", "--steps", "2").stdout == "a red-blue apple- 50.png\n"
    assert run("a red/blue apple: 50%", "--steps", "2").stdout == "a red-blue apple- 50 2.png\n"
    with Image.open("a red-blue apple- 50.png") as picture:
        assert (picture.size, picture.mode) == ((64, 64), "RGBA")
        assert picture.text["Description"] == "a red/blue apple: 50%" and "seed 0, steps 2, guidance 3" in picture.text["Comment"]
        assert ORIGIN in picture.text["XML:com.adobe.xmp"]


def test_a_grid_its_steps_and_a_scale(run):
    done = run("cat", "--grid", "5", "--gif", "--steps", "3", "--scale", "1", "-o", "out.png")
    assert done.exit_code == 0 and done.stdout == "out.png\nout.gif\n"
    with Image.open("out.png") as picture, Image.open("out.gif") as animation:
        assert picture.size == (48, 32) == animation.size and animation.n_frames == 3


def test_the_best_of_several_is_the_nearest_to_the_query(run, tiny_generator):
    assert run("cat", "--grid", "2", "--best-of", "3", "--gif", "--steps", "2", "--scale", "1", "-o", "out.png").exit_code == 0
    opened = load_generator(tiny_generator)
    with Image.open("out.png") as sheet:
        chosen = np.asarray(sheet).reshape(16, 2, 16, 4).swapaxes(0, 1)
    every = [np.asarray(picture) for picture in opened.draw("cat", 6, steps=2)]
    z = opened.space.image([Image.fromarray(picture) for picture in on_white(np.stack(every))]) @ opened.read("cat").wanted.z
    for row, picture in enumerate(chosen):
        assert (picture == every[3 * row + int(z[3 * row : 3 * row + 3].argmax())]).all()


def test_an_animation_of_that_name_is_not_replaced(run):
    Path("cat.gif").write_bytes(b"mine")
    assert run("cat", "--gif", "--steps", "2").stdout == "cat 2.png\ncat 2.gif\n" and Path("cat.gif").read_bytes() == b"mine"


def test_a_query_that_is_not_utf_8_is_drawn(run):
    assert run("caf\udce9", "--steps", "1", "-o", "out.png").exit_code == 0
    with Image.open("out.png") as picture:
        assert picture.text["Description"] == "caf?"


def test_a_picture_a_sound_and_a_sum_are_drawn(run, photographs, tmp_path):
    Image.new("RGB", (50, 50), "green").save(tmp_path / "my cat.png")
    assert run("my cat.png", "--steps", "1").stdout == "my cat 2.png\n"
    assert run("my cat.png + snow - night", "--steps", "1", "-o", "sum.png").exit_code == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("cat", "--steps", "0"), "steps is 0"), (("cat", "--grid", "99"), "drawings is 99"), ((" ",), "empty term"),
        (("cat", "--guidance", "99"), "guidance is 99"), (("cat", "-o", "a.jpg"), "does not end in .png"), (("cat", "--with", "x"), "no generator 'x'"),
        (("cat", "-o", "no such folder/a.png"), "no such folder/a.png"), (("./gone.png",), "is no file"), (("cat", "--size", "64"), "draws one size"),
        (("cat", "--strokes", "999"), "1 to 256 strokes"), (("cat", "--strokes", "8", "-o", "a.png"), "does not end in .svg"),
        (("cat", "--best-of", "0"), "--best-of is 0; give 1 to 64"), (("cat", "--grid", "8", "--best-of", "9"), "give 1 to 8"),
        (("cat", "--strokes", "8", "--best-of", "4"), "leave --best-of out"),
        (("cat", "--guide", "nobody"), "nobody"), (("猫",), "does not know"), (("猫", "--strokes", "8"), "does not know"),
        (("cat", "--strokes", "8", "--gif", "--grid", "4"), "leave --grid and --gif out"), (("cat", "--seed", str(2**64)), "seed is"),
        (("cat", "--grid", "64", "--scale", "16", "--gif", "--steps", "50"), "more than one file should hold"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(run, arguments, message):
    done = run(*arguments)
    assert done.exit_code == 1 and message in done.stderr and done.stderr.count("\n") == 1 and not list(Path().glob("*.png*"))


def test_a_long_query_is_drawn_with_a_note(run):
    done = run("one two three four five six seven eight nine ten " * 4, "--steps", "1")
    assert done.exit_code == 0 and "only the first 24 word pieces" in done.stderr


def test_what_was_drawn_until_ctrl_c_is_kept(run, monkeypatch):
    whole = Generator.steps

    def interrupted(self, *arguments, **settings):
        for step in whole(self, *arguments, **settings):
            yield step
            if step.number == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "steps", interrupted)
    done = run("cat", "--steps", "9")
    assert done.exit_code == 130 and "stopped after 2 of 9 steps" in done.stderr and Path("cat.png").exists()
    with Image.open("cat.png") as picture:
        assert "steps 2" in picture.text["Comment"]


def test_another_tower_steers_each_step(run):
    plain, steered = run("cat", "--steps", "2", "-o", "a.png"), run("cat", "--steps", "2", "-o", "b.png", "--guide", "starter")
    assert plain.exit_code == steered.exit_code == 0, steered.output
    assert Path("a.png").read_bytes() != Path("b.png").read_bytes()


def test_strokes_are_an_svg_that_opens(run):
    from samespace.media.svg import render

    done = run("a house & <home>", "--strokes", "5", "--steps", "2")
    assert done.exit_code == 0 and done.stdout == "a house - -home.svg\n", done.output
    text = Path("a house - -home.svg").read_text()
    assert text.count("<path ") == 5 and "<title>a house &amp; &lt;home&gt;</title>" in text
    assert render(text.encode(), 64).size == (64, 64)
