"""Our token ids against open_clip's and transformers', on a thousand strings of every kind."""

import random

import numpy as np
import open_clip
import pytest
from open_clip.tokenizer import canonicalize_text
from transformers import CLIPTokenizer

from samespace.core.config import Prep
from samespace.core.errors import UnknownSpace
from samespace.preprocess import tokens
from samespace.preprocess.tokens import Words
from samespace.spaces.checkpoints.tokenizer_files import clip_tokenizer, read_tokenizer
from samespace.spaces.registry import load

WORDS = (
    "a photo of cat dog the running's 3rd 1984 CO2 naïve Straße e-mail under_score #tag @me don't we'll I'M 100% $5.99".split()
)
SCRIPTS = "猫が走る 고양이 кошка γάτα قطة बिल्ली แมว 🐈 👩‍🚀 👍🏽 🇫🇷 ❤️ é ﬁ ａｂｃ “quoted” ‘s &amp; &lt;b&gt; Ã© \x07 \x1b[31m \u200b \ufeff \x85 İ ß ΣΟΣ".split(
    " "
)


def strings(count: int) -> list[str]:
    """Return sentences, scripts, emoji, HTML, control characters and random code points."""
    rng = random.Random(0)
    out = ["", " ", "a cat", "A  CAT\t\n ", "x" * 500, "word " * 200, "...!!??", "\n\n", "’", "l'été", "a&nbsp;b"]
    while len(out) < count:
        kind = rng.random()
        if kind < 0.4:
            out.append(" ".join(rng.choices(WORDS, k=rng.randint(1, 12))))
        elif kind < 0.8:
            out.append(rng.choice(["", " "]).join(rng.choices(WORDS + SCRIPTS, k=rng.randint(1, 8))))
        else:
            points = [
                rng.choice([rng.randint(32, 0x2FF), rng.randint(0x300, 0xD7FF), rng.randint(0x1F300, 0x1FAFF)]) for _ in range(20)
            ]
            out.append("".join(map(chr, points)))
    return out


@pytest.fixture(scope="module")
def tokenizer(clip_bpe):
    return clip_tokenizer(*clip_bpe)


def test_clip_ids_equal_open_clips_on_1000_strings(tokenizer):
    theirs, texts = open_clip.SimpleTokenizer(), strings(1000)
    ours = Words(tokenizer, Prep(context=77, pad=0, clean="clip")).ids(texts)
    expected = theirs(texts).numpy()
    wrong = [t for t, a, b in zip(texts, ours, expected) if not np.array_equal(a, b)]
    assert wrong == []


def test_clip_ids_equal_transformers_on_1000_strings(tokenizer, clip_tokenizer_folder):
    theirs, texts = CLIPTokenizer.from_pretrained(clip_tokenizer_folder), strings(1000)
    ours = Words(tokenizer, Prep(context=77, pad=49407, clean="none")).ids(texts)
    expected = theirs(texts, padding="max_length", truncation=True, max_length=77)["input_ids"]
    wrong = [t for t, a, b in zip(texts, ours, expected) if list(a) != b]
    assert wrong == []


def test_canonicalize_equals_open_clips_on_1000_strings():
    assert [t for t in strings(1000) if tokens.canonicalize(t) != clean_open_clip(t)] == []


def clean_open_clip(text: str) -> str:
    return canonicalize_text(open_clip.tokenizer.basic_clean(text))


def test_padding_to_the_batch_or_to_the_context(tokenizer):
    short = Words(tokenizer, Prep(pad_to_context=False, clean="none")).ids(["a", "a cat and a dog"])
    assert short.shape == (2, 7)
    assert Words(tokenizer, Prep(clean="none")).ids(["a", "a cat"]).shape == (2, 77)
    assert short.dtype == np.int64


def test_a_broken_tokenizer_has_a_reason(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UnknownSpace, match="not a readable tokenizer"):
        tokens.read_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(UnknownSpace, match="download the tokenizer too"):
        read_tokenizer(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("a cat on a Strand", []),
        ("naïve café, Straße", []),
        ("пляж", ["пляж"]),
        ("a cat 海滩 海滩", ["海滩"]),
        ("🐈 ♥ 100%", []),
    ],
)
def test_scripts_whose_words_it_was_not_taught_are_spelt(tokenizer, text, spelt):
    assert Words(tokenizer, Prep(context=77, pad=0, clean="clip", pad_to_context=True)).spelt(text) == spelt


def test_a_starters_user_is_told_of_another_script():
    words = load("starter").words
    assert words.spelt("наша собака and a dog") == ["наша", "собака"]
    assert words.spelt("schöner Hund am Strand") == []
