"""What a native model is measured by: a model that knows is right, one that does not is at chance."""

import json
import types

import numpy as np
import pytest
from PIL import Image
from tiny_native import tiny_config, tiny_native, write_documents

import samespace
from samespace.cli import train as command
from samespace.evaluate import native as evaluation
from samespace.evaluate.native import NativeEvaluation
from samespace.generate.native import export
from samespace.generate.sampler import from_rgba
from samespace.preprocess.stream import PictureValues, SoundValues


class Knowing:
    """Stands for a model that knows which words go with which values: the first number of each is the place of its words."""

    config = tiny_config()

    def __init__(self, words: list[str], sees: bool = True, drawings: dict[str, Image.Image] | None = None):
        self.words, self.sees, self.drawings = words, sees, drawings or {}

    def log_likelihood(self, parts, texts):
        shown = [int(part.values[0, 0, 0]) for part in parts if isinstance(part, PictureValues)]
        shown += [int(part.values[0, 0]) for part in parts if isinstance(part, SoundValues)]
        asked = next((i for i, name in enumerate(evaluation.ORDINALS) if any(isinstance(p, str) and name in p for p in parts)), 0)
        common = -np.arange(len(texts), dtype=float)  # some words are always likelier
        known = [1000.0 if self.sees and self.words[shown[asked]] == text and shown[asked] > 0 else 0.0 for text in texts]
        return common + np.array(known)

    def draw(self, parts, settings):
        """Draw what is named, and without guidance the same for all."""
        drawn = self.drawings[parts[0] if settings.guidance else next(iter(self.drawings))]
        return [PictureValues(from_rgba(np.asarray(drawn.convert("RGBA").resize((96, 96)))[None])[0])]


def picture(i: int) -> PictureValues:
    return PictureValues(np.full((4, 16, 16), float(i), np.float32))


WORDS = ["nothing", *(f"word {i}" for i in range(1, 21))]


@pytest.mark.parametrize("sees", [True, False])
def test_names_are_found_by_one_that_knows_and_else_by_chance(sees):
    measured = NativeEvaluation(Knowing(WORDS, sees))
    found = measured.names("caption", [picture(i) for i in range(1, 21)], WORDS[1:])
    assert found["caption_recall@1"] == 1.0 if sees else found["caption_recall@1"] <= 0.05
    assert found["caption_blind_recall@1"] <= 0.05 and found["caption_blind_recall@5"] <= 0.25  # another item is shown
    sounds = [SoundValues(np.full((16, 8), float(i), np.float32)) for i in range(1, 21)]
    assert measured.names("spoken", sounds, WORDS[1:])["spoken_recall@1"] == (1.0 if sees else 0.0)


def test_three_pictures_are_told_apart_only_by_one_that_sees():
    pictures = [picture(i) for i in range(1, 21)]
    assert NativeEvaluation(Knowing(WORDS)).second_of_three(pictures, WORDS[1:])["of_three"] == 1.0
    blind = NativeEvaluation(Knowing(WORDS, sees=False)).second_of_three(pictures, WORDS[1:])["of_three"]
    assert 0.15 < blind < 0.5


def test_drawings_are_read_by_the_judge(tmp_path, drawings):
    done, words = [], "lightbulb pear man bamboo leaf jigsaw trophy broom".split()  # drawings of which the judge is sure
    measured = NativeEvaluation(Knowing(WORDS, drawings=drawings), lambda i, n: done.append((i, n)))
    found = measured.drawings(words, samespace.load("starter"), tmp_path / "sheet.png")
    assert found["drawn_recall@1"] >= 0.75 and found["drawn_recall@5"] == 1
    blind = found["drawn_blind_recall@1"], found["drawn_blind_recall@5"]
    assert blind == (1 / 8, 5 / 8)  # one drawing for all: it is nearest to one of them, and to five
    assert (tmp_path / "sheet.png").exists() and done[-1] == (8, 8)


def test_the_command_measures_a_model(tmp_path, capsys):
    native, folder = tiny_native(), tmp_path / "native"
    export(native.model, native.words.tokenizer, native.config, folder)
    data = tmp_path / "data"
    data.mkdir()
    write_documents(data, 4)
    (data / "pairs.tsv").write_text("filepath\ttitle\n0.png\tred\n1.png\tblue\n2.png\tgreen\n")
    rows = [{"parts": [{"sound": "0.wav"}, "high"]}, {"parts": [{"sound": "1.wav"}, "low"]}]
    (data / "spoken.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command.eval_native(str(data / "pairs.tsv"), data / "spoken.jsonl", "starter", str(folder), None, True)
    found = types.SimpleNamespace(**json.loads(capsys.readouterr().out))
    assert found.task == "native" and {"caption_recall@1", "spoken_recall@5", "of_three", "drawn_recall@5"} <= set(found.metrics)
