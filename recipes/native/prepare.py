"""Pictures with captions, and words that are spoken → documents of one stream, and the tokenizer that reads them.

    python recipes/native/prepare.py WORK      # needs espeak-ng (apt-get install espeak-ng)

Reads what `recipes/draw/prepare.py` left in WORK/draw; its split of concepts and designs is this one's. Writes to WORK/native:
`captions.jsonl` (a picture and its words, both ways round), `questions.jsonl`, `stories.jsonl` (several pictures), `spoken.jsonl` (a word
spoken, written and drawn), the same of validation in `val.jsonl` and `val_spoken.jsonl`, `test_spoken.jsonl` (words in a voice that is used nowhere else),
`sounds/*.wav`, and `tokenizer.json`.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from samespace.core.native_config import MARKS

VOCABULARY = 4096
VOICES = (
    "en-us en-gb en-us+m1 en-us+m3 en-us+f1 en-us+f2 en-gb+m7 en-us+klatt en-gb+f3 en-us+Andy en-us+Annie en-gb+edward".split()
)
"""Voices of espeak-ng that are learnt from."""
VAL_VOICE, TEST_VOICE = "en-us+m5", "en-us+f4"
"""Voices of validation and of the test, used nowhere else."""
VOICES_A_WORD = 4
SPOKEN = 2500
"""Words that are spoken."""
TEST_WORDS = 100
STORIES = 30_000
ASKED = ("What is in this picture?", "What is this?", "What is in this image?", "Describe the picture.")
COLOURS = "red orange yellow green blue purple pink brown black white".split()
ORDINALS = ("first", "second", "third")
STORY = (
    "There was {a} {x}. {X}It met {b} {y}. {Y}Together they found {c} {z}. {Z}",
    "Here is {a} {x}: {X}and here is {b} {y}: {Y}and this is {c} {z}: {Z}",
    "{A} {x} {X}and {b} {y} {Y}went to see {c} {z} {Z}",
)


def hashed(text: str) -> float:
    """Return a number from 0 to 1 that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def rows_of(work: Path, split: str) -> list[dict]:
    """Return the pictures of a split of `draw`, their paths relative to WORK/native."""
    rows = [json.loads(line) for line in (work / "draw" / f"{split}.jsonl").read_text("utf-8").splitlines()]
    return [row | {"filepath": f"../draw/{row['filepath']}"} for row in rows]


def article(word: str) -> str:
    """Return a or an."""
    return "an" if word[:1] in "aeiou" else "a"


def caption_documents(rows: Sequence[dict], rng: np.random.Generator) -> Iterator[list]:
    """Yield each picture before its words, and after them."""
    for row in rows:
        captions, picture = row["captions"], {"picture": row["filepath"]}
        yield [captions[rng.integers(len(captions))], picture]
        caption = captions[rng.integers(len(captions))] if rng.random() < 0.3 else captions[0]
        yield [picture, caption] if rng.random() < 0.5 else [picture, f"\n{ASKED[rng.integers(len(ASKED))]}\n{caption}"]


def question_documents(rows: Sequence[dict], rng: np.random.Generator) -> Iterator[list]:
    """Yield questions about the colour of a picture, and whether it shows something."""
    names = [row["captions"][0] for row in rows]
    for row in rows:
        picture = {"picture": row["filepath"]}
        colour = next((c for c in COLOURS if re.match(rf"(a )?{c} ", row["captions"][-1])), "")
        if colour:
            yield [picture, f"\nWhat colour is it?\n{colour}"]
        if rng.random() < 0.5:
            asked, answer = (row["captions"][0], "yes") if rng.random() < 0.5 else (names[rng.integers(len(names))], "no")
            if answer == "yes" or asked not in row["captions"]:
                yield [picture, f"\nIs this {article(asked)} {asked}?\n{answer}"]


def story_documents(rows: Sequence[dict], count: int, rng: np.random.Generator) -> Iterator[list]:
    """Yield three pictures in a short story; or beside each other, with a question about one of them."""
    short = [row for row in rows if len(row["captions"][0]) < 24]
    for _ in range(count):
        chosen = [short[i] for i in rng.choice(len(short), 3, replace=False)]
        names, pictures = [row["captions"][0] for row in chosen], [{"picture": row["filepath"]} for row in chosen]
        if rng.random() < 0.5:
            n = int(rng.integers(2, 4))
            which = int(rng.integers(n))
            yield [*pictures[:n], f"\nWhat is the {ORDINALS[which]} picture?\n{names[which]}"]
            continue
        template = STORY[rng.integers(len(STORY))]
        words = (
            dict(zip("xyz", names)) | {k: article(name) for k, name in zip("abc", names)} | {"A": article(names[0]).capitalize()}
        )
        pieces = re.split(r"(\{[XYZ]\})", template)
        yield [
            pictures["XYZ".index(piece[1])] if piece[1:2] in ("X", "Y", "Z") and piece[0] == "{" else piece.format(**words)
            for piece in pieces
            if piece
        ]


def speak(word: str, voice: str, folder: Path) -> str | None:
    """Let a voice say a word; return the file's name, or None where it says nothing."""
    name = f"{hashlib.sha256(f'{voice}|{word}'.encode()).hexdigest()[:16]}.wav"
    file = folder / name
    if not file.exists():
        subprocess.run(["espeak-ng", "-v", voice, "-w", str(file), word], check=True, capture_output=True)
    return f"sounds/{name}" if file.stat().st_size > 2000 else None


def spoken_documents(
    words: dict[str, list[str]], voices: Sequence[str], folder: Path, rng: np.random.Generator
) -> Iterator[list]:
    """Yield words spoken, written and drawn, in every order."""
    jobs = [(word, voices[i]) for word in words for i in rng.choice(len(voices), min(VOICES_A_WORD, len(voices)), replace=False)]
    with ThreadPoolExecutor(2) as pool:
        for (word, _), file in zip(jobs, pool.map(lambda job: speak(*job, folder), jobs)):
            if file is None:
                continue
            sound, picture = {"sound": file}, {"picture": words[word][rng.integers(len(words[word]))]}
            yield [sound, word] if rng.random() < 0.5 else [sound, f"\nWhich word is this?\n{word}"]
            yield [word, sound]
            if rng.random() < 0.5:
                yield [sound, picture] if rng.random() < 0.7 else [picture, sound]


def spoken_words(rows: Sequence[dict]) -> dict[str, list[str]]:
    """Return short names that are said, each with its pictures."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if re.fullmatch(r"[a-z]{3,12}( [a-z]{3,8})?", row["captions"][0]):
            found.setdefault(row["captions"][0], []).append(row["filepath"])
    return dict(sorted(found.items(), key=lambda item: hashed(item[0]))[:SPOKEN])


def write(file: Path, documents: Iterator[list]) -> list[list]:
    """Write documents, and return them."""
    found = list(documents)
    file.write_text("\n".join(json.dumps({"parts": parts}, ensure_ascii=False) for parts in found) + "\n", "utf-8")
    print(f"{file.name:20} {len(found):7}")
    return found


def train_tokenizer(documents: Sequence[list], file: Path) -> None:
    """Train a byte-level BPE on the documents' words. Sennrich et al. 2016; bytes as in Radford et al. 2019, "GPT-2"."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(MARKS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((part for parts in documents for part in parts if isinstance(part, str)), trainer)
    tokenizer.save(str(file))


def main(work: Path) -> None:
    out, rng = work / "native", np.random.default_rng(0)
    (out / "sounds").mkdir(parents=True, exist_ok=True)
    train, val = rows_of(work, "train"), rows_of(work, "val")
    words = spoken_words(train)
    documents = [
        *write(out / "captions.jsonl", caption_documents(train, rng)),
        *write(out / "questions.jsonl", question_documents(train, rng)),
        *write(out / "stories.jsonl", story_documents(train, STORIES, rng)),
        *write(out / "spoken.jsonl", spoken_documents(words, VOICES, out / "sounds", rng)),
    ]
    both = [*caption_documents(val, rng), *story_documents(val, 200, rng)]
    write(out / "val.jsonl", iter([both[i] for i in rng.permutation(len(both))]))
    write(out / "val_spoken.jsonl", spoken_documents(spoken_words(val), [VAL_VOICE], out / "sounds", rng))
    tested = ((word, speak(word, TEST_VOICE, out / "sounds")) for word in list(words)[200 : 200 + TEST_WORDS])
    write(out / "test_spoken.jsonl", ([{"sound": sound}, word] for word, sound in tested if sound))
    train_tokenizer(documents, out / "tokenizer.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
