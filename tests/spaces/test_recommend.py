"""Which space suits a machine: measured here, chosen by published quality, speed, memory, languages and licence."""

import json

import pytest
from typer.testing import CliRunner

from samespace.cli.main import app
from samespace.spaces import recommend
from samespace.spaces.checkpoints import open_clip_names
from samespace.spaces.recommend import Machine, best, choices

LAPTOP = Machine(decoding=60.0, gflops=400.0, device="cpu", memory_mb=8000)


@pytest.mark.parametrize(
    ("machine", "languages", "name"),
    [
        (LAPTOP, {"en"}, "google/siglip2-base-patch16-256"),
        (Machine(60.0, 80.0, "cpu", 8000), {"en"}, "google/siglip2-base-patch32-256"),
        (Machine(60.0, 80.0, "cpu", 600), {"en"}, "ViT-B-32/datacomp_xl_s13b_b90k"),
        (Machine(60.0, 100.0, "cpu", 600), {"de"}, None),
        (Machine(500.0, 40_000.0, "cuda", 32_000), {"ja"}, "google/siglip2-so400m-patch14-384"),
    ],
)
def test_the_best_that_a_machine_can_run(machine, languages, name):
    chosen = best(machine, choices(machine, languages))
    assert (chosen and chosen.name) == name


def test_languages_and_licences_count():
    names = {choice.name: choice for choice in choices(LAPTOP, {"en", "ja"})}
    assert "starter" not in names and all(choice.languages != "en" for choice in names.values())
    everything = choices(LAPTOP, {"en"})
    restricted = {c.name for c in everything if "restricted" in c.licence}
    assert restricted and best(LAPTOP, [c for c in everything if c.name in restricted]) is None


def test_every_name_can_be_pulled():
    names = [choice.name for choice in choices(LAPTOP, {"en"}) if choice.name != "starter"]
    known = open_clip_names.repositories()
    assert all(name in known or name.startswith("google/siglip2-") for name in names)


def test_the_command_measures_and_marks_one(monkeypatch):
    monkeypatch.setattr(recommend, "SECONDS", 0.05)
    said = CliRunner().invoke(app, ["spaces", "recommend", "--languages", "en,de", "--json"])
    assert said.exit_code == 0 and "GFLOP/s" in said.stderr
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert all(row["pictures"] > 0 for row in rows) and sum(row["recommended"] for row in rows) <= 1
    assert CliRunner().invoke(app, ["spaces", "recommend", "--languages", "en"]).stdout.startswith("  space")


def test_the_first_index_says_that_there_are_others(photographs, tmp_path):
    run = CliRunner().invoke
    command = ["index", str(photographs / "coffee.png"), "--library", str(tmp_path / "library")]
    assert "spaces recommend" in run(app, command).stderr
    assert "spaces recommend" not in run(app, command).stderr
