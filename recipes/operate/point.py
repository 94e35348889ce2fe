"""How often an assistant points into what it is asked for.

    python recipes/operate/point.py ASSISTANT QUESTIONS.json …

Also printed: the same with a point anywhere, and with the middle of the screen; and the median distance from the middle of what is meant.
"""

import json
import re
import sys
from pathlib import Path
from statistics import mean, median

from samespace.assistant.open import open_assistant
from samespace.assistant.request import Picture, question


def point_of(answer: str) -> tuple[float, float] | None:
    """Return the point that an answer names, in shares of the sides; None where it names none."""
    numbers = [int(number) for number in re.findall(r"\d+", answer)[:2]]
    return (numbers[0] / 100, numbers[1] / 100) if len(numbers) == 2 else None


def main(name: str, files: list[Path]) -> None:
    assistant = open_assistant(name)
    for file in files:
        hits, misses, areas, centres = [], [], [], []
        for row in json.loads(file.read_text("utf-8")):
            left, top, right, bottom = row["box"]
            reply = assistant.answer(question(row["question"], [Picture.read(file.parent / row["image"])], max_tokens=8))
            x, y = point_of("".join(reply)) or (-1.0, -1.0)
            hits.append(left <= x <= right and top <= y <= bottom)
            misses.append(((x - (left + right) / 2) ** 2 + (y - (top + bottom) / 2) ** 2) ** 0.5)
            areas.append((right - left) * (bottom - top))
            centres.append(left <= 0.5 <= right and top <= 0.5 <= bottom)
        print(
            f"{file.stem}: {len(hits)} questions, hit {mean(hits):.3f}, anywhere {mean(areas):.3f}, middle {mean(centres):.3f}, median distance {median(misses):.3f}"
        )


if __name__ == "__main__":
    main(sys.argv[1], [Path(name) for name in sys.argv[2:]])
