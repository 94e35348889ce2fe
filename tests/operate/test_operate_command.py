"""`samespace operate`: steps in lines, a replay, and going on from it."""

import pytest
from chromium import needs_chromium
from pages import pages
from typer.testing import CliRunner

from samespace.cli.main import app
from samespace.media import ocr
from samespace.operating.replay import read_replay
from samespace.operating.screen.actions import Type

pytestmark = [
    *needs_chromium, pytest.mark.usefixtures("shared_chromium"),
    pytest.mark.skipif(ocr.reader() is None, reason="no reader of text; install the extra ocr"),
]  # fmt: skip


@pytest.fixture(scope="module")
def address():
    with pages() as address:
        yield address + "/names"


def operate(*arguments: object):
    return CliRunner().invoke(app, ["operate", *map(str, arguments)])


def test_a_task_is_gone_on_from_its_replay(address, tmp_path):
    replay, further = tmp_path / "first.html", tmp_path / "second.html"
    first = operate(address, "Type Ada into First name", "--replay", replay)
    assert first.exit_code == 0 and "type 'Ada'" in first.output and "replay: " in first.output, first.output
    same = operate("--resume", replay, "--replay", further, "--confirm", "never")
    assert same.exit_code == 1 and "give what is left" in same.output and not further.exists()
    refused = operate(address, "Press OK", "--resume", replay, "--replay", further)
    assert refused.exit_code == 1 and "is not done again" in refused.output  # there is nobody to ask
    rest = operate(
        address, "Type Turing into Last name and press OK", "--resume", replay, "--replay", further, "--confirm", "never"
    )
    assert rest.exit_code == 0, rest.output
    task, _, actions = read_replay(further)
    assert task.startswith("Type Turing") and [a.text for a in actions if isinstance(a, Type)] == ["Ada", "Turing"]


def test_what_cannot_be_done_ends_with_1(address, tmp_path):
    failed = operate(address, "Press Delete", "--replay", tmp_path / "a.html", "--confirm", "never")
    assert failed.exit_code == 1 and "not done: " in failed.output and (tmp_path / "a.html").exists()
