"""CLIP's vocabulary, out of the open_clip package."""

import gzip
import json
from pathlib import Path


def bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the vocabulary and the merges."""
    import open_clip

    lines = gzip.open(Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8")
    merges = [tuple(line.split()) for line in lines.read().split("\n")[1 : 49152 - 256 - 2 + 1]]
    alphabet = list(open_clip.tokenizer.bytes_to_unicode().values())
    words = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(m) for m in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return {word: i for i, word in enumerate(words)}, merges


def write(folder: Path) -> Path:
    """Write vocab.json and merges.txt, as the first CLIP's repository has them, and return the folder."""
    vocab, merges = bpe()
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)) + "\n", "utf-8")
    return folder
