"""Step 1: clips with captions, from the starter's sources: recordings of people, sound effects, and espeak-ng's voices.

    python recipes/sound/prepare.py STARTER_WORK WORK      # needs espeak-ng (apt-get install espeak-ng)

WORK/clips.jsonl has one object for each clip: its caption (English), speaker, language, split. WORK/mels.f16 has their log-mel frames,
one clip after the other: float16 (frames, mels). A fifth of the stamps' captions is held out: training has them in espeak-ng's voices
only, not from people.
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
"""The tower that is trained on these spectrograms."""
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
TEST_VOICE, VAL_VOICE = "+f4", "+m7"
"""Voices of the test and of validation, not used in training."""
CAPTION_VOICES = 6
"""Voices that speak each stamp's caption in each language."""
WORD_VOICES = 3
"""Voices that speak each English word."""
VAL_WORDS = 0.0125
"""Share of the English words that the validation voice speaks too."""
N_NAMES = 4000
"""Names of emoji and drawings that are spoken too."""
MIN_USES = 3
"""Times that a noun occurs in WordNet's annotated texts, for it to be spoken too."""
LONGEST = 5.0
"""Seconds of a clip, at most."""


@dataclass(frozen=True)
class Clip:
    """A clip of audio."""

    caption: str
    """In English."""
    text: str
    """The words that are spoken, in their language; empty for an effect."""
    source: str
    """A file, or a voice of espeak-ng."""
    kind: str
    """person, espeak (a stamp's caption in a voice of espeak-ng), word (another text in one) or effect."""
    language: str
    split: str
    picture: str = ""
    """The stamp that shows it."""


def hash_fraction(text: str) -> float:
    """Return a number from 0 to 1, always the same for a text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def split_of(caption: str) -> str:
    """Return a caption's split: test for a fifth of all, val for a twentieth."""
    fraction = hash_fraction(caption)
    return "test" if fraction < 0.2 else "val" if fraction < 0.25 else "train"


def captions_of(file: Path) -> dict[str, str]:
    """Return a stamp's caption in each language: {"en": "a cat", "fr": "un chat", …}."""
    first, *rest = file.read_text("utf-8", "replace").splitlines() or [""]
    captions = {"en": first.strip().rstrip(".").lower()}
    for line in rest:
        name, _, text = line.partition("=")
        if name.endswith(".utf8") and text.strip():
            captions[name.removesuffix(".utf8")] = text.strip().rstrip(".")
    return captions


def stamps(root: Path) -> Iterator[Clip]:
    """Yield every recording of a stamp, its sound effect, and its caption spoken in every language."""
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
    """Yield a stamp's caption in espeak-ng's voices, in every language that has it."""
    for language, voice in LANGUAGES.items():
        if language not in captions:
            continue
        rng = np.random.default_rng(int(hash_fraction(caption + language) * 2**32))
        for variant in rng.choice(VARIANTS, CAPTION_VOICES, replace=False):
            yield Clip(caption, captions[language], voice + str(variant), "espeak", language, "train", picture)
        for split, variant in (("test", TEST_VOICE), ("val", VAL_VOICE)):
            if split_of(caption) == split:
                yield Clip(caption, captions[language], voice + variant, "espeak", language, split, picture)


def names(starter: Path) -> Iterator[Clip]:
    """Yield names of emoji and drawings, each in one voice; those of emoji in every language that has them."""
    rng = np.random.default_rng(3)
    concept_of = {c: row["concept"] for row in training_pairs(starter) for c in row["captions"][:1] if len(c) < 40}
    translations = {language: labels(starter, language) for language in LANGUAGES if language != "en"}
    for caption in sorted(concept_of, key=hash_fraction)[:N_NAMES]:
        names = {"en": caption} | {language: label_of.get(concept_of[caption], "") for language, label_of in translations.items()}
        for language, text in names.items():
            if text:
                yield Clip(caption, text, LANGUAGES[language] + str(rng.choice(VARIANTS)), "word", language, "train")


def words(starter: Path) -> Iterator[Clip]:
    """Yield single English words, each in several voices: those of the starter's captions, and frequent nouns."""
    rng = np.random.default_rng(4)
    captions = " ".join(" ".join(row["captions"] + row["keywords"]) for row in training_pairs(starter)).lower()
    for word in sorted(set(re.findall("[a-z]{3,}", captions)) | frequent_nouns(starter)):
        for variant in rng.choice(VARIANTS, WORD_VOICES, replace=False):
            yield Clip(word, word, LANGUAGES["en"] + str(variant), "word", "en", "train")
        if hash_fraction(word) < VAL_WORDS:
            yield Clip(word, word, LANGUAGES["en"] + VAL_VOICE, "word", "en", "val")


def frequent_nouns(starter: Path) -> set[str]:
    """Return nouns that occur at least MIN_USES times in WordNet's annotated texts (cntlist: sense, number, times)."""
    uses: Counter[str] = Counter()
    for line in (starter / "sources/wordnet-base/usr/share/wordnet/cntlist.rev").read_text("ascii").splitlines():
        sense, _, count = line.split()
        lemma, _, kind = sense.partition("%")
        if kind.startswith("1:") and re.fullmatch("[a-z]{3,}", lemma):
            uses[lemma] += int(count)
    return {lemma for lemma, count in uses.items() if count >= MIN_USES}


@cache
def training_pairs(starter: Path) -> list[dict]:
    """Return the pairs that the starter was trained on."""
    rows = (json.loads(line) for line in (starter / "pairs.jsonl").read_text("utf-8").splitlines())
    return [row for row in rows if row["split"] == "train"]


def labels(starter: Path, language: str) -> dict[str, str]:
    """Return the names of emoji in a language, by their concept; none where emojibase does not have the language."""
    file = starter / f"sources/emojibase-data/package/{language}/data.json"
    emoji = json.loads(file.read_text("utf-8")) if file.exists() else []
    return {f"emoji {e['hexcode']}": e["label"] for e in emoji}


def render(clip: Clip) -> tuple[np.ndarray | None, str]:
    """Return a clip's log-mel frames, float16 (F, mels), None where it cannot be read; and the phones of its text."""
    try:
        phones = phones_of(clip.text, LANGUAGES[clip.language]) if clip.text else ""
        if clip.kind in ("person", "effect"):
            return frames(Path(clip.source)), phones
        rng = np.random.default_rng(int(hash_fraction(clip.caption + clip.source) * 2**32))
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "spoken.wav")
            speed, pitch = str(rng.integers(110, 190)), str(rng.integers(25, 75))
            espeak("-v", clip.source, "-s", speed, "-p", pitch, "-w", str(out), "--", clip.text)
            return frames(out), phones
    except (UnreadableMedia, subprocess.SubprocessError, OSError):
        return None, ""


@cache
def phones_of(text: str, voice: str) -> str:
    """Return a text's pronunciation in the International Phonetic Alphabet, without stress, length and pauses."""
    ipa = re.sub(r"\(.*?\)", "", espeak("-q", "--ipa", "-v", voice, "--", text))
    return "".join(c for c in unicodedata.normalize("NFD", ipa) if unicodedata.category(c) in ("Ll", "Lo", "Mn"))


def espeak(*options: str) -> str:
    """Run espeak-ng and return what it prints. Raises OSError, subprocess.SubprocessError."""
    return subprocess.run(["espeak-ng", *options], check=True, capture_output=True, timeout=20).stdout.decode()


def frames(file: Path) -> np.ndarray | None:
    """Return a file's log-mel frames, float16 (F, mels); None where it is shorter than a tenth of a second."""
    samples = trim_silence(np.concatenate([np.empty(0, np.float32), *blocks(file)]))
    samples = samples[: int(LONGEST * TOWER.rate)]
    return log_mel(samples, TOWER).T.astype(np.float16) if len(samples) > TOWER.rate / 10 else None


def main(starter: Path, work: Path) -> None:
    root = starter / "sources/tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
    clips = [*stamps(root), *names(starter), *words(starter)]
    work.mkdir(parents=True, exist_ok=True)
    rows, start = [], 0
    with open(work / "mels.part", "wb") as out, ProcessPoolExecutor() as pool:
        for clip, (mels, phones) in zip(clips, pool.map(render, clips, chunksize=64)):
            if mels is not None:
                out.write(mels.tobytes())
                rows.append(asdict(clip) | {"phones": phones, "start": start, "frames": len(mels)})
                start += len(mels)
    (work / "mels.part").rename(work / "mels.f16")
    (work / "clips.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    print(len(rows), "clips of", len(clips), f"{start / 360_000:.1f} hours")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
