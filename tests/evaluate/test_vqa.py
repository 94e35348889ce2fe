"""Visual question answering: normalisation and POPE's metrics by hand, and a whole run of an assistant."""

import json

import pytest

from samespace.core.errors import QueryError
from samespace.evaluate.vqa import Sample, answer_all, is_correct, is_yes, metrics_by_kind, normalized, read_questions


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ("A red, round Ball.", "red round ball"),
        ("Three.", "3"),
        ("It's 3.5 metres, isn't it?", "it s 3.5 metres isn t it"),
        ("the  top-left\ncorner", "top left corner"),
        ("", ""),
    ],
)
def test_normalisation(answer, want):
    assert normalized(answer) == want


@pytest.mark.parametrize(
    ("answer", "want"),
    [("Yes.", True), ("No.", False), ("There is not a dog.", False), ("Yes. No wait.", True), ("A dog", True), ("nothing", True)],
)
def test_yes_follows_popes_rule(answer, want):
    assert is_yes(answer) == want


@pytest.fixture
def file(tmp_path, photographs):
    rows = [
        {"id": "a", "image": str(photographs / "chelsea.png"), "question": "What?", "answers": ["cat", "kitten"], "match": "contains"},
        {"id": "b", "image": str(photographs / "chelsea.png"), "question": "Is it a dog?", "answer": "No.", "kind": "yes/no"},
        {"id": "c", "image": str(photographs / "chelsea.png"), "question": "Is it a cat?", "answer": "Yes.", "kind": "yes/no"},
        {"id": "d", "image": str(photographs / "coffee.png"),
         "conversations": [{"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "One."}]},
    ]  # fmt: skip
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(rows))
    return path


def test_correct_answers(file):
    what, dog, cat, many = read_questions(file)
    assert is_correct(what, "It is a small kitten.") and not is_correct(what, "A category.")
    assert is_correct(dog, "No, it is a cat.") and not is_correct(dog, "Yes.")
    assert is_correct(cat, "Yes, it is.")
    assert is_correct(many, "1") and not is_correct(many, "There is one.")
    assert many.text == "How many?"


def test_metrics_by_hand():
    def sample(kind, target, answer, match):
        return Sample("", kind, "", (target,), (answer,), match)

    found = metrics_by_kind(
        [sample("yes/no", "Yes", "Yes", 1.0), sample("yes/no", "Yes", "No", 0.0), sample("yes/no", "No", "Yes", 0.0),
         sample("yes/no", "No", "No", 1.0), sample("yes/no", "No", "No", 1.0), sample("count", "3", "3", 1.0)]
    )  # fmt: skip
    assert found["count"] == {"exact_match": 1.0, "count": 1}
    assert found["all"]["exact_match"] == pytest.approx(4 / 6)
    yes_no = found["yes/no"]
    assert (yes_no["pope_accuracy"], yes_no["pope_precision"], yes_no["pope_recall"]) == (0.6, 0.5, 0.5)
    assert (yes_no["pope_f1_score"], yes_no["pope_yes_ratio"]) == (0.5, 0.4)


def test_a_run_of_an_assistant(file, tiny):
    samples = list(answer_all(tiny, read_questions(file)))
    assert [s.doc_id for s in samples] == ["a", "b", "c", "d"]
    blind = list(answer_all(tiny, read_questions(file), blind=True))
    assert {s.doc_id: s.filtered_resps for s in samples} != {s.doc_id: s.filtered_resps for s in blind}
    assert metrics_by_kind(samples).keys() == {"all", "yes/no"}


def test_a_failed_answer_is_incorrect(tmp_path, tiny):
    rows = [{"image": "absent.png", "question": "Is it?", "answer": a, "kind": "yes/no"} for a in ("Yes.", "No.")]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    samples = list(answer_all(tiny, read_questions(tmp_path / "q.json")))
    assert all("absent.png" in s.error for s in samples)
    found = metrics_by_kind(samples)["yes/no"]
    assert (found["exact_match"], found["pope_accuracy"]) == (0.0, 0.0)


def test_a_broken_file_raises_one_sentence(tmp_path):
    for text in ("{", "[1]", '[{"question": "x", "answers": "red"}]', '[{"image": "x"}]', '[{"conversations": []}]'):
        (tmp_path / "q.json").write_text(text)
        with pytest.raises(QueryError, match="JSON list"):
            read_questions(tmp_path / "q.json")
