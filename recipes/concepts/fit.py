"""Fit and measure what words of one's own are judged by: the probability of a score, and how well few examples find a thing.

    apt-get download openclipart-png tuxpaint-stamps-default
    dpkg -x openclipart-png*.deb clipart; dpkg -x tuxpaint-stamps-default*.deb stamps
    python recipes/concepts/fit.py clipart stamps PHOTOGRAPHS

PHOTOGRAPHS is a folder of any photographs; drawings are pasted on them. SLOPE and CONSTANT of samespace.library.search.learning are
fitted on the first folder, which the starter was trained on; the second, which was held out, is only measured. Two minutes on two cores.

It printed, with 52 photographs of Debian's wallpaper packages and of scikit-image:

    SLOPE = 0.61, CONSTANT = -4.72
    clipart: calibration error of the first 30 hits 0.029
      folders of drawings: mean average precision of five examples 0.519, of the name 0.497: 1.04 x
      things on photographs: mean average precision of five examples 0.614, of the name 0.299: 2.05 x
    stamps: calibration error of the first 30 hits 0.043
      folders of drawings: mean average precision of five examples 0.559, of the name 0.353: 1.58 x
      things on photographs: mean average precision of five examples 0.730, of the name 0.186: 3.92 x

Each task is a library of 100 to all pictures, a thing, 2 to 8 examples of it, and its name, or in 4 of 10 a wrong one; in 3 of 10 the
library has no other picture of it. A thing is a folder of drawings, or one drawing pasted on photographs.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression

from samespace.core.metrics import expected_calibration_error
from samespace.library.search.learning import Background, learn
from samespace.spaces.registry import load

NO_THINGS = re.compile(
    r"shapes/|theme|icons|signs|flags|cards|gradients|patterns|buttons|led/|symbols|/office|unsorted|special|geography"
)
VIEWS, THINGS, OTHERS, FIRST = 15, 60, 400, 30
Set = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Vectors of pictures (N, E), which thing each shows (N,), and the vectors of the things' names (things, E)."""


def small(path: Path) -> Image.Image | None:
    try:
        with Image.open(path) as image:
            drawing = image.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    drawing.thumbnail((400, 400))
    return drawing


def on_white(drawing: Image.Image) -> Image.Image:
    page = Image.new("RGB", drawing.size, "white")
    page.paste(drawing, mask=drawing.getchannel("A"))
    return page


def pasted(drawing: Image.Image, photographs: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    picture = photographs[rng.integers(len(photographs))].copy()
    share = rng.uniform(0.35, 0.8) * picture.height / max(drawing.size)
    thing = drawing.resize((max(8, int(drawing.width * share)), max(8, int(drawing.height * share))))
    thing = thing.rotate(rng.uniform(-15, 15), expand=True)
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    at = tuple(int(rng.integers(0, max(1, big - little))) for big, little in zip(picture.size, thing.size))
    picture.paste(thing, at, thing)
    return picture


def sets(folder: Path, photographs: list[Image.Image]) -> tuple[Set, Set]:
    """Return the drawings of a folder by their folders, and some of them pasted on photographs."""
    rng, space = np.random.default_rng(0), load("starter")
    files = [path for path in sorted(folder.rglob("*.png")) if not NO_THINGS.search(str(path))]
    drawings = [(path, drawing) for path in files if (drawing := small(path))]
    folders = sorted({path.parent.name for path, _ in drawings})
    by_folder = np.array([folders.index(path.parent.name) for path, _ in drawings])
    whole = space.image([on_white(drawing) for _, drawing in drawings])
    shown = rng.permutation(len(drawings))[: THINGS + OTHERS]
    things = np.concatenate([np.repeat(np.arange(THINGS), VIEWS), np.arange(THINGS, len(shown))])
    views = space.image([pasted(drawings[shown[thing]][1], photographs, rng) for thing in things])
    names = [re.sub(r"[^a-z]+", " ", drawings[i][0].stem.lower()) for i in shown]
    return (whole, by_folder, space.text([name.replace("_", " ") for name in folders])), (views, things, space.text(names))


def tasks(both: tuple[Set, Set], rng: np.random.Generator, rounds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the scores of a library's pictures, and whether each shows the thing that was taught."""
    for _ in range(rounds):
        z, things, names = both[rng.integers(2)]
        size = int(np.exp(rng.uniform(np.log(100), np.log(len(z)))))
        library = rng.choice(len(z), size, replace=False)
        thing = rng.choice([thing for thing, count in zip(*np.unique(things, return_counts=True)) if count >= 10])
        own = np.flatnonzero(things == thing)
        examples = rng.choice(own, int(rng.choice([2, 3, 5, 8])), replace=False)
        if rng.random() < 0.3:
            library = np.setdiff1d(library, own)
        name = names[thing] if rng.random() < 0.6 else names[rng.integers(len(names))]
        direction = learn(z[examples], z[:0], Background(z[np.union1d(library, examples)]), name)
        rest = np.setdiff1d(library, examples)
        yield direction.scores(z[rest]), things[rest] == thing


def five_examples(one: Set) -> tuple[float, float]:
    """Return the mean average precision of five examples with a name, and of the name alone."""
    z, things, names = one
    background, found = Background(z), []
    for thing in (thing for thing, count in zip(*np.unique(things, return_counts=True)) if count >= 10):
        own = np.flatnonzero(things == thing)
        for seed in range(3):
            examples = np.random.default_rng(seed).choice(own, 5, replace=False)
            rest = np.setdiff1d(np.arange(len(z)), examples)
            scores = learn(z[examples], z[:0], background, names[thing]).scores(z[rest])
            found.append([average_precision(s, things[rest] == thing) for s in (scores, z[rest] @ names[thing])])
    by_examples, by_name = np.mean(found, axis=0)
    return float(by_examples), float(by_name)


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    right = relevant[np.argsort(-scores)]
    return float((np.cumsum(right)[right] / (np.flatnonzero(right) + 1)).mean())


def first_hits(both: tuple[Set, Set], seed: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the first hits of many tasks, and whether each is right."""
    found = list(tasks(both, np.random.default_rng(seed), rounds))
    orders = [np.argsort(-scores)[:FIRST] for scores, _ in found]
    return tuple(np.concatenate([task[i][order] for task, order in zip(found, orders)]) for i in (0, 1))  # type: ignore[return-value]


def main(fitted: str, measured: str, photographs: str) -> None:
    pictures = [image.convert("RGB").resize((448, 336)) for path in sorted(Path(photographs).iterdir()) if (image := small(path))]
    model = None
    for folder in (fitted, measured):
        both = sets(Path(folder), pictures)
        if model is None:
            scores, right = first_hits(both, 0, 400)
            model = LogisticRegression(C=100.0).fit(scores[:, None], right)
            print(f"SLOPE = {model.coef_[0, 0]:.2f}, CONSTANT = {model.intercept_[0]:.2f}")
        scores, right = first_hits(both, 1, 200)
        p = model.predict_proba(scores[:, None])[:, 1]
        print(f"{folder}: calibration error of the first {FIRST} hits {expected_calibration_error(p, right):.3f}")
        for what, one in zip(("folders of drawings", "things on photographs"), both):
            by_examples, by_name = five_examples(one)
            print(
                f"  {what}: mean average precision of five examples {by_examples:.3f}, of the name {by_name:.3f}: {by_examples / by_name:.2f} x"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
