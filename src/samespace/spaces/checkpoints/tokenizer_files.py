"""Tokenizer files → a tokenizer."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ...core.errors import MissingExtra, UnknownSpace, error_summary
from ...core.files import read_json
from ...preprocess import tokens


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
    if any((folder / name).exists() for name in ("spiece.model", "sentencepiece.bpe.model", "vocab.txt")):
        return _converted(folder)
    raise UnknownSpace(f"{folder} holds no tokenizer.json, nor vocab.json and merges.txt; download the tokenizer too")


def _converted(folder: Path) -> Tokenizer:
    """Return a tokenizer of SentencePiece or BERT as transformers converts it. Raises MissingExtra, UnknownSpace."""
    try:
        from transformers import AutoTokenizer, T5TokenizerFast
    except ImportError:
        raise MissingExtra("a tokenizer of SentencePiece", "convert") from None
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        if cleans_as_siglip(folder):  # T5's, which transformers runs in SentencePiece itself
            found = T5TokenizerFast.from_pretrained(folder, extra_ids=0, **local)
        else:
            found = AutoTokenizer.from_pretrained(folder, **local)
        return Tokenizer.from_str(found.backend_tokenizer.to_str())
    except Exception as error:  # whatever its many classes raise
        raise UnknownSpace(f"the tokenizer in {folder} cannot be read ({error_summary(error)}); download it again") from None


def pad_id(folder: Path, tokenizer: Tokenizer, default: int) -> int:
    """Return the id of the padding token that a tokenizer's files name, else `default`. Raises UnknownSpace on an unknown token."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        token = read_json(folder / name).get("pad_token") if (folder / name).exists() else None
        token = token.get("content") if isinstance(token, dict) else token
        if token is not None:
            found: int | None = tokenizer.token_to_id(token)
            if found is None:
                raise UnknownSpace(f"the padding token {token!r} of {folder / name} is not in the tokenizer; download it again")
            return found
    return int(tokenizer.padding["pad_id"]) if tokenizer.padding else default


MOST_CONTEXT = 512
"""Longer texts are cut, where a model takes more: a search has no use for them, and texts are padded to their full length."""


def tokenizer_class(folder: Path) -> str:
    """Return the class that tokenizer_config.json names; empty where it names none."""
    file = folder / "tokenizer_config.json"
    return str(read_json(file).get("tokenizer_class") or "") if file.exists() else ""


def cleans_as_siglip(folder: Path) -> bool:
    """Whether a SigLIP's tokenizer cleans texts: by its class; Gemma's and T5's do not."""
    return tokenizer_class(folder) in ("", "SiglipTokenizer")


def cleaning_of(folder: Path, kind: str) -> str:
    """Return Prep.clean of a two-tower model of transformers of this `model_type`.

    SigLIP 2 was trained on lower case (Tschannen et al. 2025; transformers' Siglip2Tokenizer), though most of its repositories name
    Gemma's tokenizer, which keeps the case.
    """
    if kind == "siglip" and cleans_as_siglip(folder):
        return "siglip"
    return "lower" if kind == "siglip2" or (kind == "siglip" and "Gemma" in tokenizer_class(folder)) else "none"


def check_vocabulary(tokenizer: Tokenizer, size: int) -> None:
    """Raises UnknownSpace where a tokenizer makes ids that a text tower of `size` words does not have."""
    if (most := max(tokenizer.get_vocab(with_added_tokens=False).values(), default=0)) >= size:
        raise UnknownSpace(f"the tokenizer has ids up to {most}, the text tower {size} words; they do not belong together")


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
