"""Models that think before they answer: their thoughts are not the answer."""

import pytest

from samespace.assistant.thoughts import without_thoughts
from samespace.core.errors import RequestError


@pytest.mark.parametrize(
    ("pieces", "thinks", "answer"),
    [
        (["Yes", ", a", " cat"], False, "Yes, a cat"), (["<th", "ink>a cat? ", "no</thi", "nk>\n", "\n", "A dog\n", "\nhere"], False, "A dog\n\nhere"),
        (["a cat?</think>", "", "\n\nA dog"], True, "A dog"), (["\n", " <think>", "x</think>A"], False, "A"), (["<", "b>bold"], False, "<b>bold"),
        (["So <think> is", " a tag"], False, "So <think> is a tag"), (["", "<thin"], False, "<thin"), ([], False, ""), (["  "], False, "  "),
        (["</think>\n\n</think>"], True, "</think>"),
    ],
)  # fmt: skip
def test_the_answer_comes_after_the_thoughts(pieces, thinks, answer):
    assert "".join(without_thoughts(iter(pieces), thinks)) == answer


@pytest.mark.parametrize(("pieces", "thinks"), [(["<think>", "a cat"], False), (["a cat</thin"], True), ([], True)])
def test_thoughts_without_an_answer_are_one_sentence(pieces, thinks):
    with pytest.raises(RequestError, match="thought until"):
        list(without_thoughts(iter(pieces), thinks))
