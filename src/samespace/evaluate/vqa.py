"""Visual question answering: exact match for each kind of question, and POPE's metrics for yes and no.

Answers are compared after VQAv2's normalisation (Antol et al. 2015, and its evaluation code); yes and no are read from an
answer as POPE does (Li et al. 2023). Names of metrics and of a sample's fields are lmms-eval's.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..assistant.request import AssistantBackend, Picture, question
from ..core.errors import QueryError, SamespaceError
from ..core.files import json_rows

NUMBERS = {
    w: str(n) for n, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"none": "0", "no": "no"}  # fmt: skip
ARTICLES = {"a", "an", "the"}
SEPARATORS = re.compile(r"[;/\[\]\"{}()=+\\_\-><@`,?!]|(?<!\d)[.,:']|[.,:'](?!\d)")
MAX_TOKENS = 48
"""Longest answer, in tokens."""


@dataclass(frozen=True)
class Question:
    """A question with its reference answers."""

    id: str
    images: tuple[Path, ...]
    text: str
    answers: tuple[str, ...]
    """References: an answer is correct that matches any of them."""
    kind: str = "all"
    """Questions of a kind are scored together."""
    contains: bool = False
    """Whether an answer that contains a reference is correct too."""


@dataclass(frozen=True)
class Sample:
    """A question with an assistant's answer, in the fields that lmms-eval logs."""

    doc_id: str
    kind: str
    question: str
    target: tuple[str, ...]
    """The reference answers."""
    filtered_resps: tuple[str, ...]
    """The assistant's answer, alone in a tuple; empty where it failed."""
    exact_match: float
    """1 where the answer is correct, else 0."""
    error: str = ""
    """Why there is no answer."""


def read_questions(path: Path) -> list[Question]:
    """Read a JSON list, or JSON lines, of {"image", "question", "answer" or "answers", "kind", "match": "contains"}.

    Of a conversation in LLaVA's format, the first question and answer are taken. Raises QueryError.
    """
    try:
        return [_question_of(row, path.parent, i) for i, row in enumerate(json_rows(path.read_text("utf-8-sig")))]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise QueryError(
            f"{path} cannot be read as questions ({error!r}); write a JSON list of image, question, answer"
        ) from None


def _question_of(row: dict[str, Any], folder: Path, number: int) -> Question:
    """Return a row as a Question; names of images are relative to `folder`. Raises KeyError, TypeError, ValueError."""
    images = row.get("image") or ()
    images = [images] if isinstance(images, str) else images
    if "conversations" in row:
        text, answers = (row["conversations"][i]["value"] for i in (0, 1))
        text, answers = text.replace("<image>", "").strip(), [answers]
    else:
        text, answers = row["question"], row["answers"] if "answers" in row else [row["answer"]]
    if not isinstance(answers, list) or not answers:
        raise ValueError(f"question {number} has no list of answers")
    return Question(
        str(row.get("id", number)), tuple(folder / name for name in images), text, tuple(map(str, answers)),
        str(row.get("kind", "all")), row.get("match") == "contains",
    )  # fmt: skip


def normalized(answer: str) -> str:
    """Return lower case without punctuation and articles, numbers as digits: `A red, round ball.` → `red round ball`."""
    words = SEPARATORS.sub(" ", answer.lower().replace("\n", " ")).split()
    return " ".join(NUMBERS.get(w, w) for w in words if w not in ARTICLES)


def is_yes(answer: str) -> bool:
    """Return whether an answer means yes, by POPE's rule: unless its first sentence has the word no or not."""
    return not {"no", "not"} & set(re.sub(r"[.,]", " ", answer.partition(".")[0].lower()).split())


def is_correct(question: Question, answer: str) -> bool:
    """Return whether an answer matches one of the references."""
    references = [normalized(a) for a in question.answers]
    if references[0] in ("yes", "no"):
        return is_yes(answer) == (references[0] == "yes")
    given = normalized(answer)
    return any(f" {r} " in f" {given} " for r in references) if question.contains else given in references


def answer_all(
    assistant: AssistantBackend,
    questions: Sequence[Question],
    blind: bool = False,
    on_answer: Callable[[int], None] | None = None,
) -> Iterator[Sample]:
    """Yield each question with its answer; `blind` leaves the images out. `on_answer` is given the count so far."""
    for number, asked in enumerate(questions):
        error = ""
        try:
            pictures = [] if blind else [Picture.read(path) for path in asked.images]
            answer = assistant.answer(question(asked.text, pictures, max_tokens=MAX_TOKENS)).text
        except SamespaceError as failure:
            answer, error = "", str(failure)
        correct = not error and is_correct(asked, answer)
        yield Sample(asked.id, asked.kind, asked.text, asked.answers, (answer,), float(correct), error)
        if on_answer:
            on_answer(number + 1)


def metrics_by_kind(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Return the metrics of each kind: exact_match, count, and POPE's for yes/no questions. `all` is over all questions."""
    kinds: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        kinds[sample.kind].append(sample)
        if sample.kind != "all":
            kinds["all"].append(sample)
    return {
        kind: {"exact_match": _mean([s.exact_match for s in group]), "count": len(group)} | _pope(group)
        for kind, group in kinds.items()
    }


def _pope(samples: Sequence[Sample]) -> dict[str, float]:
    """Return accuracy, precision, recall, F1 and the share of yes; nothing unless all references are yes or no."""
    references = [normalized(s.target[0]) for s in samples]
    if not samples or set(references) - {"yes", "no"}:
        return {}
    # A failed answer counts as wrong.
    predicted = [is_yes(s.filtered_resps[0]) if not s.error else r != "yes" for r, s in zip(references, samples)]
    true_positives = sum(r == "yes" and p for r, p in zip(references, predicted))
    precision, recall = true_positives / max(1, sum(predicted)), true_positives / max(1, references.count("yes"))
    return {
        "pope_accuracy": _mean([(r == "yes") == p for r, p in zip(references, predicted)]),
        "pope_precision": precision,
        "pope_recall": recall,
        "pope_f1_score": 2 * precision * recall / max(1e-9, precision + recall),
        "pope_yes_ratio": _mean(predicted),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
