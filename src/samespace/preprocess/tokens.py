"""Texts → token ids, cleaned and padded as the text tower was trained."""

import html
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece

from ..core.config import Prep
from ..core.errors import UnknownSpace, as_utf8


def _clean_clip(text: str) -> str:
    """Clean a text as the first CLIP does: repair its encoding, unescape HTML twice, join white space, lower case."""
    return _clean_whitespace(text).lower()


def _clean_whitespace(text: str) -> str:
    """Clean a text as open_clip does for most tokenizers that are not its own: as for CLIP, but the case stays."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def canonicalize(text: str) -> str:
    """Clean a text as open_clip does for SigLIP: as for CLIP, and without punctuation."""
    import ftfy

    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).lower()
    return " ".join(text.split())


def _clean_siglip(text: str) -> str:
    """Clean a text as transformers does for SigLIP: lower case, no punctuation, single spaces."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(text.split())


CLEANERS: dict[str, Callable[[str], str]] = {
    "clip": _clean_clip, "whitespace": _clean_whitespace, "canonicalize": canonicalize, "siglip": _clean_siglip, "lower": str.lower, "none": str,
}  # fmt: skip
"""Prep.clean → what cleans a text before it is tokenized."""


SPELT = 0.75
"""Tokens for a letter from which a word is read letter by letter."""


class Words:
    """A tokenizer with its space's cleaning and padding."""

    def __init__(self, tokenizer: Tokenizer, prep: Prep) -> None:
        self.tokenizer, self.clean = tokenizer, CLEANERS[prep.clean]
        self.prefix, self.suffix, self.zeroed = prep.prefix, prep.suffix, prep.zeroed
        self.tokenizer.enable_truncation(prep.context)
        length = prep.context if prep.pad_to_context else None
        self.tokenizer.enable_padding(pad_id=prep.pad, length=length)

    def ids(self, texts: list[str]) -> npt.NDArray[np.int64]:
        """Return the token ids of texts, cut or padded to one length: int64 (B, T)."""
        return self.encode(texts)[0]

    def encode(self, texts: list[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return `ids`, and 1 where they are no padding: int64 (B, T) each."""
        encoded = self.tokenizer.encode_batch([self._whole(text) for text in texts])
        shape = (len(texts), -1)
        ids = np.array([e.ids for e in encoded], np.int64).reshape(shape)
        ids[ids == self.zeroed] = 0
        return ids, np.array([e.attention_mask for e in encoded], np.int64).reshape(shape)

    def is_cut(self, text: str) -> bool:
        """Whether a text has more tokens than are read."""
        return bool(self.tokenizer.encode(self._whole(text)).overflowing)

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, cut at the context, without padding."""
        return sum(self.tokenizer.encode(self._whole(text)).attention_mask)

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that the tokenizer does not know, each once: to the text tower they are all the same."""
        model = self.tokenizer.model
        if not isinstance(model, WordPiece | WordLevel):  # the others read letters or bytes
            return []
        unknown = self.tokenizer.token_to_id(model.unk_token)
        words = dict.fromkeys(as_utf8(text).split())
        return [word for word in words if unknown in self.tokenizer.encode(self.clean(word), add_special_tokens=False).ids]

    def spelt(self, text: str) -> list[str]:
        """Return the words of a text that the tokenizer reads letter by letter, or byte by byte: it was taught no words of their script."""
        return [word for word in dict.fromkeys(as_utf8(text).split()) if self._is_spelt(word)]

    def _is_spelt(self, word: str) -> bool:
        letters = sum(map(str.isalpha, word))
        if letters < len(word) or any(map(str.isascii, word)):
            return False
        tokens = sum(self.tokenizer.encode(self.clean(word), add_special_tokens=False).attention_mask)
        has_cases = word.lower() != word.upper()  # scripts without them may be read letter by letter by those that know them
        return tokens > letters or (has_cases and letters > 2 and tokens >= SPELT * letters)

    def _whole(self, text: str) -> str:
        """Return a text as it is tokenized."""
        return self.prefix + self.clean(as_utf8(text)) + self.suffix


def read_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json. Raises UnknownSpace."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UnknownSpace(f"{path} is not a readable tokenizer ({error}); pull the space again") from None
