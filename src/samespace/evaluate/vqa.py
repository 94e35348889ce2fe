"""Questions about pictures with known answers: exact match for each kind of question, and POPE's numbers for yes and no.

Answers are compared after VQAv2's normalisation (Antol et al. 2015, and its evaluation code); yes and no are read from an
answer as POPE does (Li et al. 2023). Names of metrics are lmms-eval's.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..assistant.request import Answers, Picture, question
from ..core.errors import QueryError, SamespaceError
from ..core.files import json_rows

NUMBERS = {
    w: str(n) for n, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"none": "0", "no": "no"}  # fmt: skip
ARTICLES = {"a", "an", "the"}
SEPARATORS = re.compile(r"[;/\[\]\"{}()=+\\_\-><@`,?!]|(?<!\d)[.,:']|[.,:'](?!\d)")
MAX_TOKENS = 48


@dataclass(frozen=True)
class Asked:
    """A question with its right answers."""

    id: str
    images: tuple[Path, ...]
    text: str
    answers: tuple[str, ...]
    kind: str = "all"
    contains: bool = False
    """Whether an answer is right that has a right answer in it."""


def read_questions(path: Path) -> list[Asked]:
    """A JSON list, or lines, of {"image", "question", "answer" or "answers", "kind", "match": "contains"}; LLaVA's
    conversations count as their first question and answer. Raises QueryError."""
    try:
        return [asked_of(row, path.parent, i) for i, row in enumerate(json_rows(path.read_text("utf-8")))]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise QueryError(
            f"{path} cannot be read as questions ({error!r}); write a JSON list of image, question, answer"
        ) from None


def asked_of(row: dict[str, Any], folder: Path, number: int) -> Asked:
    images = row.get("image") or ()
    images = [images] if isinstance(images, str) else images
    if "conversations" in row:
        text, answers = (row["conversations"][i]["value"] for i in (0, 1))
        text, answers = text.replace("<image>", "").strip(), [answers]
    else:
        text, answers = row["question"], row["answers"] if "answers" in row else [row["answer"]]
    if not isinstance(answers, list) or not answers:
        raise ValueError(f"question {number} has no list of answers")
    return Asked(
        str(row.get("id", number)), tuple(folder / name for name in images), text, tuple(map(str, answers)),
        str(row.get("kind", "all")), row.get("match") == "contains",
    )  # fmt: skip


def normalized(answer: str) -> str:
    """Lower case, without punctuation and articles, numbers as digits: `A red, round ball.` → `red round ball`."""
    words = SEPARATORS.sub(" ", answer.lower().replace("\n", " ")).split()
    return " ".join(NUMBERS.get(w, w) for w in words if w not in ARTICLES)


def said_yes(answer: str) -> bool:
    """POPE's reading: anything but no or not in the first sentence is yes."""
    return not {"no", "not"} & set(re.sub(r"[.,]", " ", answer.partition(".")[0].lower()).split())


def right(asked: Asked, answer: str) -> bool:
    """Whether the answer is one of the right ones."""
    wanted = [normalized(a) for a in asked.answers]
    if wanted[0] in ("yes", "no"):
        return said_yes(answer) == (wanted[0] == "yes")
    given = normalized(answer)
    return any(f" {w} " in f" {given} " for w in wanted) if asked.contains else given in wanted


def answer_all(
    assistant: Answers, questions: list[Asked], blind: bool = False, on_answer: Callable[[int], None] | None = None
) -> Iterator[dict[str, Any]]:
    """Each question with its answer, as lmms-eval logs samples; `blind` leaves the pictures out."""
    for number, asked in enumerate(questions):
        error = ""
        try:
            pictures = [] if blind else [Picture.read(path) for path in asked.images]
            answer = assistant.answer(question(asked.text, pictures, max_tokens=MAX_TOKENS)).text
        except SamespaceError as failure:
            answer, error = "", str(failure)
        yield {
            "doc_id": asked.id, "kind": asked.kind, "question": asked.text, "target": list(asked.answers),
            "filtered_resps": [answer], "exact_match": float(not error and right(asked, answer)), "error": error,
        }  # fmt: skip
        if on_answer:
            on_answer(number + 1)


def scores(samples: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Kind → metrics: exact_match; for questions of yes and no POPE's too. `all` is the mean over questions."""
    kinds = defaultdict(list)
    for sample in samples:
        kinds[sample["kind"]].append(sample)
        if sample["kind"] != "all":
            kinds["all"].append(sample)
    return {
        kind: {"exact_match": mean([s["exact_match"] for s in some]), "count": len(some)} | pope(some)
        for kind, some in kinds.items()
    }


def pope(samples: list[dict[str, Any]]) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and share of yes, where all answers are yes or no; else nothing."""
    wanted = [normalized(s["target"][0]) for s in samples]
    if not samples or set(wanted) - {"yes", "no"}:
        return {}
    said = [said_yes(s["filtered_resps"][0]) if not s.get("error") else w != "yes" for w, s in zip(wanted, samples)]
    both = sum(w == "yes" and s for w, s in zip(wanted, said))
    precision, recall = both / max(1, sum(said)), both / max(1, wanted.count("yes"))
    return {
        "pope_accuracy": mean([(w == "yes") == s for w, s in zip(wanted, said)]),
        "pope_precision": precision,
        "pope_recall": recall,
        "pope_f1_score": 2 * precision * recall / max(1e-9, precision + recall),
        "pope_yes_ratio": mean(said),
    }


def mean(values: list) -> float:
    return sum(values) / len(values)
