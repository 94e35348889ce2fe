"""The starter's pictures → small pictures with captions for drawing, of which concepts are held out.

    python recipes/draw/prepare.py WORK

Reads what `recipes/starter/fetch.sh` and `recipes/starter/prepare.py` left in WORK. Writes to WORK/draw: `pictures/*.webp`
(RGBA, at most 96 px), `train.jsonl`, `val.jsonl` (3 % of the concepts, in all designs) and `held_out.jsonl` (10 % of the concepts,
in all designs, and Google's design) and `test.jsonl` (of each of those concepts Google's picture; only the evaluation reads these two). A
picture is trained on as it is, mirrored where that changes nothing, and in other colours, which its captions then name. What is held out by
its name may still have a twin of another name among the training pictures (a couple with heart, and one of woman and man): such
concepts are left out of the test.
"""

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from samespace.evaluate.colours import HUES, dominant_colour
from samespace.evaluate.drawing import COPIED
from samespace.generate.nearest import TILE, TrainingPictures
from samespace.generate.sampler import on_white
from samespace.train.augment import cutout

SIDE = 96
HELD_OUT, VALIDATION = 0.10, 0.03
HELD_OUT_DESIGN = "google"
STYLES = {"fluent": "in 3d", "openmoji": "outlined", "twitter": "flat", "apple": "glossy", "openclipart": "clip art"}
DIRECTED = set(
    "left right arrow letter letters number digit text symbol sign flag clock keycap button input square clef note writing alphabet "
    "clockwise east west abc new free cool ok sos up vs id map question mark percent dollar euro pound yen calendar logo word".split()
)
"""Words of pictures that are not mirrored, for what they show would be another thing."""
PEOPLE = re.compile(
    r"\b(man|woman|men|women|person|people|boy|girl|male|female|with|sign|the|a|of|and|medium|light|dark|skin|tone)\b"
)
RECOLOURED = 3
"""Other colours that a picture is trained in, at most."""
GREYS = {"black": (0.0, 0.35), "white": (0.0, 1.0), "brown": (0.65, 0.5)}
"""Colour → its saturation, and the value of what is brightest."""


def concept_of(pair: dict) -> str:
    """Return what a picture shows, without gender and small words: pictures of one concept are held out together."""
    return " ".join(PEOPLE.sub(" ", pair["captions"][0]).split()) or pair["captions"][0]


def hashed(text: str) -> float:
    """Return a number from 0 to 1 that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def split_of(pair: dict, held: set[str]) -> str:
    """Return the split of a pair: held_out, val or train."""
    if pair["source"] == HELD_OUT_DESIGN or held & {concept_of(pair), *pair["captions"]}:
        return "held_out"
    return "val" if hashed(f"val {concept_of(pair)}") < VALIDATION else "train"


def in_colour(picture: Image.Image, colour: str) -> Image.Image | None:
    """Return an RGBA picture with its dominant colour changed; None where that is not what comes out."""
    rgba = np.asarray(picture)
    hue, saturation, value = (np.asarray(band, np.float32) for band in picture.convert("RGB").convert("HSV").split())
    coloured = (saturation > 60) & (value > 50) & (rgba[..., 3] > 20)
    if not coloured.any() or coloured.sum() < 0.4 * (rgba[..., 3] > 127).sum():
        return None
    middle = float(np.median(hue[coloured]))
    near = coloured & (np.abs((hue - middle + 128) % 256 - 128) < 28)
    if colour in HUES:
        hue = np.where(near, (hue + HUES[colour] * 255 / 360 - middle) % 256, hue)
        if colour == "yellow":
            value = np.where(near, np.maximum(value, 0.8 * 255), value)
    else:
        share, top = GREYS[colour]
        brightest = max(1.0, float(np.percentile(value[near], 95))) if near.any() else 255
        scaled = (value / brightest).clip(0, 1)
        value = np.where(near, (0.88 + 0.12 * scaled if colour == "white" else scaled * top) * 255, value)
        saturation = np.where(near, saturation * 0.12 if not share else share * 255, saturation)
        hue = np.where(near, 25 * 255 / 360, hue)
    bands = [Image.fromarray(band.astype(np.uint8)) for band in (hue, saturation, value)]
    changed = Image.merge("HSV", bands).convert("RGB")
    changed.putalpha(picture.getchannel("A"))
    return changed if dominant_colour(np.asarray(changed)) == colour else None


def captions_of(pair: dict, colour: str) -> list[str]:
    """Return the captions of a picture as it is: names, now and then a keyword, the style, or the colour."""
    names = pair["captions"][:4]
    first = names[0]
    captions = [*names, first, f"a {first}"]
    captions += [f"{first}, {keyword}" for keyword in pair["keywords"][:2] if keyword not in first]
    if style := STYLES.get(pair["source"]):
        captions.append(f"{first}, {style}")
    if colour and colour not in first:
        captions += [f"a {colour} {names[-1]}", f"{colour} {first}"]
    return captions


def variants(pair: dict, work: Path) -> list[dict]:
    """Write a picture's variants and return their rows: file and captions."""
    with Image.open(work / pair["file"]) as image:
        picture = image.convert("RGBA")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    name, first = Path(pair["file"]).stem, pair["captions"][0]
    colour = dominant_colour(np.asarray(picture))
    made = [(name, picture, captions_of(pair, colour))]
    words = set(re.findall(r"[a-z]+", " ".join([*pair["captions"], pair["topic"]])))
    if not words & DIRECTED and pair["topic"] not in ("flags", "symbols"):
        made.append((f"{name}-mirrored", ImageOps.mirror(picture), made[0][2]))
    if pair["split"] == "train" and pair["topic"] != "flags" and len(first) < 40:
        rng = np.random.default_rng(int(hashed(pair["file"]) * 2**32))
        others = [c for c in (*HUES, *GREYS) if c != colour]
        chosen = [others[i] for i in rng.permutation(len(others))[:RECOLOURED]]
        for other in chosen:
            if (changed := in_colour(picture, other)) is not None:
                bare = (
                    re.sub(r"\b(red|orange|yellow|green|blue|purple|pink|brown|black|white|gr[ae]y)\b", "", first).strip()
                    or first
                )
                made.append((f"{name}-{other}", changed, [f"{other} {bare}", f"a {other} {bare}"]))
    rows = []
    for file, drawn, captions in made:
        drawn.save(work / "draw" / "pictures" / f"{file}.webp", lossless=True, exact=False)
        rows.append({"filepath": f"pictures/{file}.webp", "captions": captions})
    return rows


def read_pairs(work: Path) -> Iterator[dict]:
    """Yield the pairs of emoji and drawings, with the split that they have here."""
    pairs = [json.loads(line) for line in (work / "pairs.jsonl").read_text("utf-8").split("\n") if line]
    pairs = [pair for pair in pairs if pair["source"] != "stamps"]
    held = {
        text
        for pair in pairs
        if pair["concept"].startswith("emoji") and hashed(concept_of(pair)) < HELD_OUT
        for text in (concept_of(pair), pair["captions"][0])
    }
    for pair in pairs:
        yield pair | {"split": split_of(pair, held)}


def write_judge(work: Path) -> None:
    """Write judge.jsonl, what the judge is trained on, and judge_val.jsonl, what it is validated and calibrated on: pictures as they are,
    of every design but Google's, on which the drawings are measured.
    """
    for name, splits in (("judge", ("train", "held_out")), ("judge_val", ("val",))):
        rows = [row for split in splits for row in rows_of(work, split)]
        plain = [row for row in rows if "-" not in Path(row["filepath"]).stem]  # neither mirrored nor in another colour
        chosen = [row for row in plain if row["source"] != HELD_OUT_DESIGN]
        lines = [json.dumps({"filepath": row["filepath"], "captions": row["captions"]}, ensure_ascii=False) for row in chosen]
        (work / "draw" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def rows_of(work: Path, split: str) -> list[dict]:
    """Return the rows of a split."""
    return [json.loads(line) for line in (work / "draw" / f"{split}.jsonl").read_text("utf-8").splitlines()]


def write_test(work: Path) -> None:
    """Write test.jsonl: of each held-out concept that can be drawn, and that no training picture shows, Google's picture with its name."""
    rows, trained = rows_of(work, "held_out"), rows_of(work, "train")
    held = {row["name"] for row in rows if row["source"] not in (HELD_OUT_DESIGN, "openclipart")}
    named = {caption.lower() for row in trained for caption in row["captions"]}
    chosen = [
        row
        for row in rows
        if row["source"] == HELD_OUT_DESIGN
        and row["topic"] not in ("flags", "symbols")
        and row["name"] in held
        and row["name"].lower() not in named
    ]
    names = {row["name"] for row in chosen}
    twins = {row["name"] for row in seen_in_training([row for row in rows if row["name"] in names], trained, work)}
    chosen = sorted((row for row in chosen if row["name"] not in twins), key=lambda row: hashed(row["name"]))
    lines = [json.dumps({"filepath": row["filepath"], "title": row["name"]}, ensure_ascii=False) for row in chosen]
    (work / "draw" / "test.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(chosen)} concepts to test, without {len(twins)} that a training picture shows: {', '.join(sorted(twins))}")


def seen_in_training(rows: list[dict], trained: list[dict], work: Path) -> list[dict]:
    """Return the rows whose picture is as near to a training picture as a copy would be."""

    def squares(some: list[dict]) -> np.ndarray:
        return np.stack([cutout(Image.open(work / "draw" / row["filepath"]), TILE) for row in some])

    plain = [row for row in trained if "-" not in Path(row["filepath"]).stem]  # mirrored ones are compared anyway
    nearest = TrainingPictures(on_white(squares(plain)), [row["name"] for row in plain]).nearest(squares(rows))
    return [row for row, one in zip(rows, nearest) if one.distance < COPIED]


def main(work: Path) -> None:
    (work / "draw" / "pictures").mkdir(parents=True, exist_ok=True)
    pairs, counts = list(read_pairs(work)), Counter()
    outputs = {split: (work / "draw" / f"{split}.jsonl").open("w", encoding="utf-8") for split in ("train", "val", "held_out")}
    with ProcessPoolExecutor() as pool:
        for pair, rows in zip(pairs, pool.map(partial(variants, work=work), pairs, chunksize=64)):
            if pair["split"] != "train":
                rows = rows[:1]
            for row in rows:
                about = {key: pair[key] for key in ("concept", "source", "topic")} | {"name": pair["captions"][0]}
                outputs[pair["split"]].write(json.dumps(row | about, ensure_ascii=False) + "\n")
                counts[pair["split"], pair["source"]] += 1
    for file in outputs.values():
        file.close()
    write_test(work)
    write_judge(work)
    for (split, source), n in sorted(counts.items()):
        print(f"{split:9} {source:12} {n:6}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
