"""Step 1: sources → pairs.jsonl, small pictures, class texts.

    python recipes/starter/prepare.py WORK

Writes to WORK: `pictures/*.webp` (RGBA, at most 256 px), `pairs.jsonl` (one picture a line: file, captions,
concept, source, split), `classes.json` (texts for each of the backbone's 1000 classes) and `things.json` (names of visible things, and their glosses). Splits:
`train`, `val` (of the training sources, by a hash of the file's name), `stamps` and `google` (held out: only evaluate.py reads them).
"""

import csv
import gzip
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from common import WORDNET
from PIL import Image

DESIGNS = ("apple", "facebook", "twitter", "google")
HELD_OUT_DESIGN = "google"
EXCLUDED_STAMPS = ("symbols/alphabets", "symbols/money", "symbols/math")
SERIES_LIMIT = 6  # drawings of one numbered series, such as 500 polygons
SIDE = 256
VISIBLE = {"05", "06", "08", "13", "17", "18", "20"}
"""WordNet's lexicographer files of animals, artifacts, bodies, food, objects, people and plants (lexnames(5WN))."""
STALE_WORDS = {"clip art", "open clip art library", "hash", "unsorted", "clipart", "svg", "png", ""}


def plain(text: str) -> str:
    """Return a text in lower case, without markup, file-name punctuation and trailing digits."""
    text = re.sub(r"<[^>]*>|&[a-z]+;", " ", text)
    text = re.sub(r"[_\-:/]+", " ", text).lower()
    return re.sub(r"\s+", " ", re.sub(r"(\s|\b)(v|n)?\d+\s*$", "", text)).strip(" .,'\"")


def unique(texts: list[str]) -> list[str]:
    """Return texts without duplicates, empty ones and STALE_WORDS, in order."""
    return list(dict.fromkeys(t for t in texts if t and t not in STALE_WORDS))


def emoji_pairs(sources: Path) -> list[dict]:
    """Return every emoji in six designs; captions are its names."""
    base = {e["hexcode"]: e for e in json.loads((sources / "emojibase-data/package/en/data.json").read_text())}
    moji = {
        row["hexcode"]: row
        for row in csv.DictReader((sources / "openmoji/package/data/openmoji.csv").open(newline="", encoding="utf-8"))
    }
    fluent, openmoji = sources / "lobehub-fluent-emoji-3d/package/assets", sources / "openmoji/package/color/svg"
    pairs = []
    for e in json.loads((sources / "emoji-datasource/package/emoji.json").read_text()):
        key = e["unified"].replace("-FE0F", "")
        b, m = base.get(e["unified"]) or base.get(key) or {}, moji.get(e["unified"]) or moji.get(key) or {}
        tags = [*b.get("tags", []), *re.split(r",\s*", m.get("tags", ""))]
        names = [e["name"], *e["short_names"], b.get("label", ""), m.get("annotation", "")]
        captions = unique([plain(t) for t in names])
        keywords = unique([plain(t) for t in tags])
        files = {d: sources / f"emoji-datasource-{d}/package/img/{d}/64/{e['image']}" for d in DESIGNS}
        files["fluent"] = fluent / f"{e['unified'].lower()}.webp"
        files["openmoji"] = next(
            (f for f in (openmoji / f"{e['unified']}.svg", openmoji / f"{key}.svg") if f.exists()), openmoji / "none"
        )
        for design, file in files.items():
            if file.exists():
                split = "google" if design == HELD_OUT_DESIGN else ""
                pairs.append(
                    {
                        "file": file,
                        "captions": captions,
                        "keywords": keywords,
                        "topic": plain(e["category"]),
                        "concept": f"emoji {e['unified']}",
                        "source": design,
                        "split": split,
                    }
                )
    return pairs


def drawing_pairs(sources: Path) -> list[dict]:
    """Return Open Clip Art's drawings: title and keywords from each SVG's metadata, its folder as topic."""
    png, svg = (sources / f"openclipart-{k}/usr/share/openclipart/{k}" for k in ("png", "svg"))
    pairs, series = [], Counter()
    for file in sorted(png.rglob("*.png")):
        where = file.relative_to(png).with_suffix("")
        name = plain(re.sub(r"_[a-z.]+_[a-z]*_?\d+$", "", where.name))
        series[where.parent, name] += 1
        source = next((p for p in (svg / f"{where}.svg", svg / f"{where}.svgz") if p.exists()), None)
        if source is None or series[where.parent, name] > SERIES_LIMIT:
            continue
        data = source.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")
        metadata = (re.search(r"<metadata.*?</metadata>", text, re.S) or [""])[0]
        title = (re.findall(r"<dc:title[^>]*>(.*?)</", metadata, re.S) or [""])[0]
        keywords = unique([plain(k) for k in re.findall(r"<rdf:li[^>]*>(.*?)</", metadata, re.S)])
        own_title = title if not re.search(r"clipart by|collection", title, re.I) else ""
        captions = unique([plain(own_title), name if len(name) > 3 else ""]) or keywords[:1]
        if captions:
            folder = plain(where.parent.name)
            pairs.append(
                {
                    "file": file,
                    "captions": captions,
                    "keywords": keywords,
                    "topic": folder,
                    "concept": f"drawing {captions[0]}",
                    "source": "openclipart",
                    "split": "",
                }
            )
    return pairs


def stamp_pairs(sources: Path) -> list[dict]:
    """Return the held-out stamps; the caption is the first line of the text file, in lower case and without the full stop."""
    root = sources / "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
    pairs = []
    for file in sorted(root.rglob("*.png")):
        text = file.with_suffix(".txt")
        where = file.relative_to(root).as_posix()
        if where.startswith(EXCLUDED_STAMPS) or file.stem.endswith("_mirror") or not text.exists():
            continue
        caption = text.read_text("utf-8", "replace").splitlines()[0].strip().rstrip(".").lower()
        if caption:
            pairs.append(
                {
                    "file": file,
                    "captions": [caption],
                    "keywords": [],
                    "topic": "",
                    "concept": caption,
                    "source": "stamps",
                    "split": "stamps",
                }
            )
    return pairs


def split_of(pair: dict) -> str:
    """Return a pair's split: held-out ones keep theirs; of the rest one in twenty, by a hash of the name, is validation."""
    digest = hashlib.sha256(f"{pair['source']} {pair['file'].name}".encode()).digest()
    return pair["split"] or ("val" if digest[0] < 13 else "train")


def render_svg(file: Path) -> BytesIO:
    """Return an SVG as PNG, rendered by librsvg."""
    command = ["rsvg-convert", "--width", str(SIDE), "--height", str(SIDE), "--keep-aspect-ratio", file]
    return BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)


def shrink(pair: dict, pictures: Path) -> str | None:
    """Write a small RGBA copy of a picture and return its name; None where the file is broken or too large."""
    name = hashlib.sha256(str(pair["file"]).encode()).hexdigest()[:16] + ".webp"
    if not (pictures / name).exists():
        try:
            with Image.open(render_svg(pair["file"]) if pair["file"].suffix == ".svg" else pair["file"]) as image:
                image = image.convert("RGBA")
            image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
            image.save(pictures / name, lossless=True, exact=True)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            print(f"skipped {pair['file']}: {error}", file=sys.stderr)
            return None
    return name


@dataclass(frozen=True)
class Noun:
    """One sense of nouns in WordNet."""

    file: str
    """The lexicographer file it is in."""
    words: list[str]
    gloss: str
    hypernyms: list[str]
    """Their offsets."""


def read_nouns(wordnet: Path) -> dict[str, Noun]:
    """Return WordNet's noun senses by their offsets (wndb(5WN))."""
    nouns = {}
    for line in (wordnet / "data.noun").read_text("utf-8").splitlines():
        if not line.startswith("  "):
            facts, _, gloss = line.partition(" | ")
            fields = facts.split()
            words = [word.replace("_", " ") for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
            nouns[fields[0]] = Noun(fields[1], words, gloss.split('; "')[0].strip(), re.findall(r" @i? (\d{8}) n", facts))
    return nouns


def hypernyms(nouns: dict[str, Noun], offset: str) -> list[str]:
    """Return the offsets of a sense's hypernyms, up to "entity"."""
    chain = []
    while nouns[offset].hypernyms:
        offset = nouns[offset].hypernyms[0]
        chain.append(offset)
    return chain


def visible_things(wordnet: Path, nouns: dict[str, Noun]) -> list[tuple[str, str]]:
    """Return names of visible things, by their most frequent sense, and its gloss."""
    things = []
    for line in (wordnet / "index.noun").read_text("utf-8").splitlines():
        if not line.startswith("  "):
            fields = line.split()
            lemma, noun = fields[0].replace("_", " "), nouns[fields[-int(fields[2])]]
            if noun.file in VISIBLE and lemma in noun.words and lemma.count(" ") < 2:  # names of people and places are capitals
                things.append((lemma, noun.gloss))
    return things


def class_texts(nouns: dict[str, Noun]) -> list[dict]:
    """Return for each ImageNet class its names, its definition, and its hypernyms from WordNet, up to "entity"."""
    info = Path(find_spec("timm").origin).parent / "data/_info"  # only the text files it ships: its code stays unimported
    tables = {
        k: dict(line.split("\t", 1) for line in (info / f"imagenet_synset_to_{k}.txt").read_text().splitlines())
        for k in ("lemma", "definition")
    }
    classes = []
    for synset in (info / "imagenet_synsets.txt").read_text().split():
        names_above = [nouns[offset].words[0] for offset in hypernyms(nouns, synset[1:])]
        classes.append(
            {"names": tables["lemma"][synset].split(", "), "definition": tables["definition"][synset], "hypernyms": names_above}
        )
    return classes


def main(work: Path) -> None:
    sources, pictures = work / "sources", work / "pictures"
    pictures.mkdir(exist_ok=True)
    pairs = emoji_pairs(sources) + drawing_pairs(sources) + stamp_pairs(sources)
    with ThreadPoolExecutor() as pool:
        names = list(pool.map(lambda pair: shrink(pair, pictures), pairs))
    counts = Counter()
    with open(work / "pairs.jsonl", "w") as out:
        for pair, name in zip(pairs, names):
            if name:
                split = split_of(pair)
                counts[split, pair["source"]] += 1
                out.write(json.dumps({**pair, "file": f"pictures/{name}", "split": split}, ensure_ascii=False) + "\n")
    wordnet = work / WORDNET
    nouns = read_nouns(wordnet)
    (work / "classes.json").write_text(json.dumps(class_texts(nouns), indent=1))
    (work / "things.json").write_text(json.dumps(visible_things(wordnet, nouns), indent=1))
    for (split, source), n in sorted(counts.items()):
        print(f"{split:8} {source:12} {n:6}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
