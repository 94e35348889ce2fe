"""Step 1: draw pictures and write conversations about them, from the starter's prepared sources.

    python recipes/assistant/prepare.py STARTER_WORK WORK [pictures=40000] [half=second]

WORK/train.json and val.json are conversations, with regions; WORK/held_out.json has questions about what no training uses: Google's
emoji design, and words, fonts and scenes of its own. With `half=second`, train.json uses only the half of the training drawings
that has no labels (labels.py): an assistant trained on labelled drawings would trust the labels too much.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scenes import SCENES, SIDE, Props, Question, Region, Thing, random_scene

DRAWN = ("animals & nature", "food & drink", "travel & places", "objects", "activities")
HELD_OUT_FONTS = ("LiberationSansNarrow", "DejaVuSerifCondensed", "DejaVuSansMono")
VAL, HELD_OUT, SINGLE = 400, 400, 600
"""Validation pictures; held-out questions of each kind; held-out pictures of one thing."""
SCENE_OF_KIND = {"colour": "shapes", "count": "shapes", "yes/no": "", "position": "two", "word": "word"}


def read_things(rows: list[dict[str, Any]], work: Path, vocabulary: set[str]) -> list[Thing]:
    """Return emoji, and drawings that have a name. Only emoji keep their topic: drawings have too many to ask for."""
    things = []
    for row in rows:
        emoji = row["concept"].startswith("emoji")
        names = names_of(row["captions"], vocabulary) or (tuple(row["captions"][:1]) if emoji else ())
        if names:
            things.append(Thing(work / row["file"], names, tuple(row["keywords"]), row["topic"] if emoji else ""))
    return things


def names_of(captions: list[str], vocabulary: set[str]) -> tuple[str, ...]:
    """Return the captions that are words: "flag of the moon" but not "flag mn" or "u7a7a"."""
    return tuple(c for c in captions if len(c) < 40 and all(w in vocabulary for w in c.lower().split()))


def plain_of(things: list[Thing]) -> list[Thing]:
    """Return things with short names, for scenes of several."""
    return [t for t in things if t.topic in DRAWN and len(t.names[0]) <= 14 and t.names[0].replace(" ", "").isalpha()]


def read_vocabulary(wordnet: Path) -> set[str]:
    """Return every word in WordNet, alone or in a phrase, and the function words that it lacks."""
    vocabulary = set("a an and at by for from in of on or the to with without".split())
    for part in ("noun", "verb", "adj", "adv"):
        for line in (wordnet / f"index.{part}").read_text("utf-8").splitlines():
            if not line.startswith("  "):
                vocabulary.update(w for w in line.split(" ")[0].split("_") if len(w) > 2)
    return vocabulary | {f"{w}s" for w in vocabulary}


def read_common_words(wordnet: Path) -> list[str]:
    """Return words of 3 to 8 letters that occur in WordNet's annotated texts."""
    words = set()
    for part in ("noun", "verb", "adj"):
        for line in (wordnet / f"index.{part}").read_text("utf-8").splitlines():
            lemma, _, _, pointers, *rest = line.split(" ") if not line.startswith("  ") else ("-", "", "", "0", "", "0")
            if lemma.isalpha() and lemma.isascii() and 3 <= len(lemma) <= 8 and int(rest[int(pointers) + 1]):
                words.add(lemma)
    return sorted(words)


def hash_fraction(name: str) -> float:
    """Return a number from 0 to 1, always the same for a name."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def read_props(starter: Path, split: str) -> Props:
    """Return what may be drawn for `train` (or half of it, `train first` or `train second`), `val` or `held_out`."""
    split, _, half = split.partition(" ")
    wordnet = starter / "sources/wordnet-base/usr/share/wordnet"
    rows = [json.loads(line) for line in (starter / "pairs.jsonl").read_text("utf-8").splitlines()]
    wanted = {"train": "train", "val": "val", "held_out": "google"}[split]
    things = read_things([r for r in rows if r["split"] == wanted], starter, read_vocabulary(wordnet))
    if half:
        things = [t for t in things if (hash_fraction(t.file.name) < 0.5) == (half == "first")]
    low, high = {"train": (0.1, 1.0), "val": (0.05, 0.1), "held_out": (0.0, 0.05)}[split]
    words = [w for w in read_common_words(wordnet) if low <= hash_fraction(w) < high]
    fonts = sorted(p for p in (starter / "sources").glob("fonts-*/**/*.ttf") if "Math" not in p.name)
    fonts = [p for p in fonts if p.name.startswith(HELD_OUT_FONTS) == (split == "held_out")]
    return Props(things, plain_of(things), words, fonts)


def draw(make: Any, props: Props, folder: Path, seed: int) -> tuple[str, list[Question], list[Region]]:
    """Draw one scene into a folder and return the picture's name, its questions and its regions."""
    picture, questions, regions = make(np.random.default_rng(seed), props)
    name = f"{folder.name}/{seed}.png"
    picture.save(folder / f"{seed}.png", compress_level=3)
    return name, questions, regions


def conversation(name: str, questions: list[Question], regions: list[Region]) -> dict[str, Any]:
    """Return an entry of LLaVA's JSON."""
    turns = []
    for i, question in enumerate(questions):
        turns.append({"from": "human", "value": ("<image>\n" if i == 0 else "") + question.text})
        turns.append({"from": "gpt", "value": question.answer})
    named = [{"box": [round(min(max(n / SIDE, 0), 1), 4) for n in r.box], "text": r.text} for r in regions]
    return {"id": name, "image": name, "conversations": turns, "regions": named}


def draw_many(make: Any, props: Props, folder: Path, seeds: range) -> Iterator[tuple[str, list[Question], list[Region]]]:
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        yield from pool.map(partial(draw, make, props, folder), seeds, chunksize=64)


def held_out(props: Props, work: Path) -> Iterator[dict[str, Any]]:
    """Yield questions about Google's emoji, and about scenes until there are enough of each kind."""
    folder = work / "held_out"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    for i in rng.permutation(len(props.things))[:SINGLE]:
        thing, canvas = props.things[i], Image.new("RGB", (224, 224), "white")
        with Image.open(thing.file) as image:
            image = image.convert("RGBA").resize((200, 200), Image.Resampling.BICUBIC)
        canvas.paste(image, (12, 12), image)
        canvas.save(folder / f"thing{i}.png")
        row = {"id": f"thing{i}", "image": f"held_out/thing{i}.png", "question": "What is in this image?", "match": "contains"}
        yield row | {"kind": "what", "answers": list(thing.names)}
        yield row | {
            "kind": "category",
            "question": "Which category does it belong to?",
            "answers": [thing.topic],
            "match": "exact",
        }
    for kind, kind_of_scene in SCENE_OF_KIND.items():
        count, yes = 0, 0
        (folder / kind.replace("/", " ")).mkdir(exist_ok=True)
        for seed in range(10**9, 10**9 + 20 * HELD_OUT):
            make = SCENES[kind_of_scene][0] if kind_of_scene else random_scene
            name, questions, _ = draw(make, props, folder / kind.replace("/", " "), seed)  # kinds share seeds, not pictures
            for question in [q for q in questions if q.kind == kind][:1]:
                if kind == "yes/no":  # balanced
                    if (question.answer == "Yes.") != (yes <= count - yes):
                        continue
                    yes += question.answer == "Yes."
                count += 1
                row = {"id": f"{kind}{seed}", "image": f"held_out/{name}", "question": question.text, "kind": kind}
                yield row | {"answers": [question.answer, *question.also_right]}
            if count == HELD_OUT:
                break


def main(starter: Path, work: Path, pictures: int, half: str) -> None:
    for split, count, first in (("train", pictures, 0), ("val", VAL, 5 * 10**8)):
        props = read_props(starter, f"train {half}" if split == "train" else split)
        print(
            split, len(props.things), "things,", len(props.plain), "plain,", len(props.words), "words,", len(props.fonts), "fonts"
        )
        rows = [conversation(*drawn) for drawn in draw_many(random_scene, props, work / split, range(first, first + count))]
        (work / f"{split}.json").write_text(json.dumps(rows), "utf-8")
    (work / "held_out.json").write_text(json.dumps(list(held_out(read_props(starter, "held_out"), work)), indent=0), "utf-8")


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[3:])
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(options.get("pictures", 40_000)), options.get("half", ""))
