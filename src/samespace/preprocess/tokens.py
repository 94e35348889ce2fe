"""Words become token ids, cleaned and padded the way the text tower was trained."""

import html
import string
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from ..core.config import Prep
from ..core.errors import UnknownSpace, as_utf8


def clip(text: str) -> str:
    """The first CLIP's cleaning: mend mojibake, unescape HTML twice, join white space, lower case."""
    import ftfy

    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def canonicalize(text: str) -> str:
    """SigLIP's cleaning as open_clip does it: CLIP's, then without punctuation."""
    import ftfy

    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).lower()
    return " ".join(text.split())


def siglip(text: str) -> str:
    """SigLIP's cleaning as transformers does it: lower case, no punctuation, single spaces."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(text.split())


CLEANERS = {"clip": clip, "canonicalize": canonicalize, "siglip": siglip, "none": str}


class Words:
    """A tokenizer with its space's cleaning and padding."""

    def __init__(self, tokenizer: Tokenizer, prep: Prep):
        self.tokenizer, self.clean = tokenizer, CLEANERS[prep.clean]
        self.tokenizer.enable_truncation(prep.context)
        length = prep.context if prep.pad_to_context else None
        self.tokenizer.enable_padding(pad_id=prep.pad, length=length)

    def ids(self, texts: list[str]) -> np.ndarray:
        """Texts → int64 (B, T)."""
        encoded = self.tokenizer.encode_batch([self.clean(as_utf8(t)) for t in texts])
        return np.array([e.ids for e in encoded], dtype=np.int64).reshape(len(texts), -1)

    def count(self, text: str) -> int:
        """Tokens of a text, without padding."""
        return sum(self.tokenizer.encode(self.clean(as_utf8(text))).attention_mask)


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json. Raises UnknownSpace."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UnknownSpace(f"{path} is not a readable tokenizer ({error}); pull the space again") from None
