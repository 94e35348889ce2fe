"""Tokenizer files → a tokenizer."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ..core.errors import UnknownSpace
from ..preprocess import tokens
from .tensors import read_json


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read tokenizer.json, or CLIP's vocab.json and merges.txt. Raises UnknownSpace."""
    if (folder / "tokenizer.json").exists():
        return tokens.read_tokenizer(folder / "tokenizer.json")
    try:
        if (folder / "merges.txt").exists():
            lines = (folder / "merges.txt").read_text("utf-8").split("\n")[1:]
            merges = [(left, right) for left, right in (line.split() for line in lines if line)]
            return clip_tokenizer(read_json(folder / "vocab.json"), merges)
    except UnknownSpace:
        raise
    except Exception as error:  # the library raises bare Exception
        raise UnknownSpace(f"the tokenizer in {folder} cannot be read ({error}); download it again")
    raise UnknownSpace(f"{folder} holds no tokenizer.json, nor vocab.json and merges.txt; download the tokenizer too")


def clip_tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Build CLIP's byte-pair encoding from its vocabulary and merges."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=end, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocab[start]), (end, vocab[end])]
    )
    tokenizer.add_special_tokens([start, end])
    return tokenizer
