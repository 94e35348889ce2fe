"""Step 1: what is heard and what it means, from the starter's sources: people's voices, sound effects, and espeak-ng.

    python recipes/sound/prepare.py STARTER_WORK WORK      # needs espeak-ng (apt-get install espeak-ng)

WORK/clips.jsonl names each clip: its caption (English), what speaks, in which language, which split. WORK/mels.f16 holds
their log-mel frames, one after the other: float16 (frames, mels).
A fifth of the stamps' captions is held out: no person is heard saying them in training, only espeak-ng is.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from samespace.core.config import AudioTower
from samespace.core.errors import UnreadableMedia
from samespace.media.audio import blocks
from samespace.preprocess.mel import log_mel, trim_silence

TOWER = AudioTower(frames=400, strides=(2, 2), width=256, layers=6)
"""What is made here reads the spectrograms that are made here."""
LANGUAGES = {
    "en": "en-us", "fr": "fr", "ro": "ro", "ru": "ru", "ca": "ca", "bg": "bg", "es": "es", "be": "be", "el": "el", "da": "da",
}  # fmt: skip
VARIANTS = (
    "", *(f"+{name}" for name in (
        "m1 m2 m3 m4 m5 m6 m8 f1 f2 f3 f5 croak klatt klatt2 klatt3 adam Alex Alicia Andrea Andy Annie antonio aunty belinda "
        "benjamin boris caleb david Denis Diogo ed edward edward2 Gene Gene2 grandma grandpa Henrique Hugo iven iven2 iven3 Jacky "
        "john kaukovalta Lee linda Marco Mario max Michael michel miguel Mike norbert pablo paul pedro quincy rob robert sandro "
        "shelby steph steph2 steph3 travis victor zac"
    ).split()),
)  # fmt: skip
STRANGER, VAL_VOICE = "+f4", "+m7"
"""Voices of the test and of validation, never heard in training."""
TAKES = 6
"""Voices that speak each stamp's caption in each language."""
WORD_TAKES = 3
"""Voices that speak each English word."""
VAL_WORDS = 0.0125
"""Share of the English words that validation's voice says too."""
NAMES = 4000
"""Names of other things that are spoken too."""
USED = 3
"""Times that a noun is used in WordNet's texts to be spoken too."""
LONGEST = 5.0
"""Seconds of a clip that are kept."""


@dataclass(frozen=True)
class Clip:
    """Something to be heard."""

    caption: str
    """In English."""
    said: str
    """The words, in the language they are spoken in; empty for an effect."""
    source: str
    """A file, or a voice of espeak-ng."""
    kind: str
    """person, espeak (a stamp's caption), word (anything else that espeak-ng says) or effect"""
    language: str
    split: str
    picture: str = ""
    """The stamp that shows it."""


def share(text: str) -> float:
    """A number from 0 to 1 that a text always has."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def split_of(caption: str) -> str:
    """test for a fifth of all captions, val for a twentieth."""
    place = share(caption)
    return "test" if place < 0.2 else "val" if place < 0.25 else "train"


def captions_of(file: Path) -> dict[str, str]:
    """A stamp's caption in each language: {"en": "a cat", "fr": "un chat", …}."""
    first, *rest = file.read_text("utf-8", "replace").splitlines() or [""]
    found = {"en": first.strip().rstrip(".").lower()}
    for line in rest:
        name, _, text = line.partition("=")
        if name.endswith(".utf8") and text.strip():
            found[name.removesuffix(".utf8")] = text.strip().rstrip(".")
    return found


def stamps(root: Path) -> Iterator[Clip]:
    """Every recording of a stamp, and its caption spoken in every language."""
    for text in sorted(root.rglob("*.txt")):
        captions, stem = captions_of(text), text.with_suffix("")
        caption = captions["en"]
        if not caption:
            continue
        picture, split = str(stem.with_suffix(".png")), split_of(caption)
        for language in LANGUAGES:
            file = stem.with_name(stem.name + ("_desc.ogg" if language == "en" else f"_desc_{language}.ogg"))
            if file.exists():
                yield Clip(caption, captions.get(language, ""), str(file), "person", language, split, picture)
        if (effect := stem.with_suffix(".ogg")).exists():
            yield Clip(caption, "", str(effect), "effect", "", split, picture)
        yield from spoken(caption, captions, picture)


def spoken(caption: str, captions: dict[str, str], picture: str) -> Iterator[Clip]:
    for language, voice in LANGUAGES.items():
        if language not in captions:
            continue
        rng = np.random.default_rng(int(share(caption + language) * 2**32))
        for variant in rng.choice(VARIANTS, TAKES, replace=False):
            yield Clip(caption, captions[language], voice + str(variant), "espeak", language, "train", picture)
        for split, variant in (("test", STRANGER), ("val", VAL_VOICE)):
            if split_of(caption) == split:
                yield Clip(caption, captions[language], voice + variant, "espeak", language, split, picture)


def names(starter: Path) -> Iterator[Clip]:
    """More words: the names of emoji and drawings, each by one voice; those of emoji in every language that has them."""
    rng = np.random.default_rng(3)
    known = {c: row["concept"] for row in told(starter) for c in row["captions"][:1] if len(c) < 40}
    abroad = {language: labels(starter, language) for language in LANGUAGES if language != "en"}
    for caption in sorted(known, key=share)[:NAMES]:
        names = {"en": caption} | {language: found.get(known[caption], "") for language, found in abroad.items()}
        for language, said in names.items():
            if said:
                yield Clip(caption, said, LANGUAGES[language] + str(rng.choice(VARIANTS)), "word", language, "train")


def words(starter: Path) -> Iterator[Clip]:
    """Single English words, each by several voices: those of the starter's captions, and the nouns that people use."""
    rng = np.random.default_rng(4)
    captions = " ".join(" ".join(row["captions"] + row["keywords"]) for row in told(starter)).lower()
    for word in sorted(set(re.findall("[a-z]{3,}", captions)) | nouns(starter)):
        for variant in rng.choice(VARIANTS, WORD_TAKES, replace=False):
            yield Clip(word, word, LANGUAGES["en"] + str(variant), "word", "en", "train")
        if share(word) < VAL_WORDS:
            yield Clip(word, word, LANGUAGES["en"] + VAL_VOICE, "word", "en", "val")


def nouns(starter: Path) -> set[str]:
    """Nouns that WordNet's readers met at least `USED` times (its cntlist: sense, number, times)."""
    times: Counter[str] = Counter()
    for line in (starter / "sources/wordnet-base/usr/share/wordnet/cntlist.rev").read_text("ascii").splitlines():
        sense, _, count = line.split()
        lemma, _, kind = sense.partition("%")
        if kind.startswith("1:") and re.fullmatch("[a-z]{3,}", lemma):
            times[lemma] += int(count)
    return {lemma for lemma, count in times.items() if count >= USED}


@cache
def told(starter: Path) -> list[dict]:
    """What the starter was trained to tell."""
    rows = (json.loads(line) for line in (starter / "pairs.jsonl").read_text("utf-8").splitlines())
    return [row for row in rows if row["split"] == "train"]


def labels(starter: Path, language: str) -> dict[str, str]:
    """What emoji are called in a language, by their concept; nothing where emojibase does not speak it."""
    file = starter / f"sources/emojibase-data/package/{language}/data.json"
    found = json.loads(file.read_text("utf-8")) if file.exists() else []
    return {f"emoji {e['hexcode']}": e["label"] for e in found}


def heard(clip: Clip) -> tuple[np.ndarray | None, str]:
    """Its log-mel frames, float16 (F, mels), None where it cannot be heard; the sounds of its words."""
    try:
        phones = sounds(clip.said, LANGUAGES[clip.language]) if clip.said else ""
        if clip.kind in ("person", "effect"):
            return frames(Path(clip.source)), phones
        rng = np.random.default_rng(int(share(clip.caption + clip.source) * 2**32))
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "said.wav")
            speed, pitch = str(rng.integers(110, 190)), str(rng.integers(25, 75))
            espeak("-v", clip.source, "-s", speed, "-p", pitch, "-w", str(out), "--", clip.said)
            return frames(out), phones
    except (UnreadableMedia, subprocess.SubprocessError, OSError):
        return None, ""


@cache
def sounds(said: str, voice: str) -> str:
    """How words are pronounced, in the International Phonetic Alphabet, without stress, length and pauses."""
    spelled = re.sub(r"\(.*?\)", "", espeak("-q", "--ipa", "-v", voice, "--", said))
    return "".join(c for c in unicodedata.normalize("NFD", spelled) if unicodedata.category(c) in ("Ll", "Lo", "Mn"))


def espeak(*options: str) -> str:
    return subprocess.run(["espeak-ng", *options], check=True, capture_output=True, timeout=20).stdout.decode()


def frames(file: Path) -> np.ndarray | None:
    samples = trim_silence(np.concatenate([np.empty(0, np.float32), *blocks(file)]))
    samples = samples[: int(LONGEST * TOWER.rate)]
    return log_mel(samples, TOWER).T.astype(np.float16) if len(samples) > TOWER.rate / 10 else None


def main(starter: Path, work: Path) -> None:
    root = starter / "sources/tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
    clips = [*stamps(root), *names(starter), *words(starter)]
    work.mkdir(parents=True, exist_ok=True)
    kept, place = [], 0
    with open(work / "mels.part", "wb") as out, ProcessPoolExecutor() as pool:
        for clip, (mels, phones) in zip(clips, pool.map(heard, clips, chunksize=64)):
            if mels is not None:
                out.write(mels.tobytes())
                kept.append(asdict(clip) | {"phones": phones, "start": place, "frames": len(mels)})
                place += len(mels)
    (work / "mels.part").rename(work / "mels.f16")
    (work / "clips.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), "utf-8")
    print(len(kept), "clips of", len(clips), f"{place / 360_000:.1f} hours")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
