"""A query → a vector: words, a file, or algebra over both, such as `2:golden retriever + ./pool.jpg - cat`."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import QueryError, as_utf8
from ...core.paths import expanded
from ...media.kinds import kind_of
from ...spaces.space import Space

if TYPE_CHECKING:
    from .learning import LearntQuery

_SIGN = re.compile(r"(?:(?<=\s)|^)([+-])(?=\s|$)")
_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+):(?![\d\s])(.+)", re.S)
"""A number and a colon before a term; with a digit after it, it is a time or a ratio, 10:30, 16:9, and with a space a title, "24: the series"."""
MAX_WEIGHT = 100
"""Greatest weight of a term."""
MAX_TERMS = 32
"""Most terms of a query; each is encoded separately."""

Weighted = tuple[float, np.ndarray]
"""A weight and a vector (dim,)."""


@dataclass(frozen=True)
class Term:
    """One part of a query: weight × (words or a file)."""

    weight: float
    """Negative after a minus."""
    text: str
    """As written; of words what is not UTF-8 is replaced by ?."""
    path: Path | None
    """The file that it names; None for words."""


@dataclass(frozen=True)
class Query:
    """A parsed query and its vector."""

    terms: tuple[Term, ...]
    z: np.ndarray
    """float32 (dim,), unit length."""
    words_only: bool
    """Whether it has no files, no extra vectors, and no sum of names that were learnt."""
    vectors: tuple[np.ndarray, ...] = ()
    """Of the terms."""
    learnt: "LearntQuery | None" = None
    """What it means to segments of one modality, where that was learnt from examples."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files it names, absolute."""
        return tuple(os.path.abspath(term.path) for term in self.terms if term.path)

    @property
    def phrase(self) -> str:
        """The words, where it is one positive phrase and nothing else; otherwise empty."""
        plain = self.words_only and len(self.terms) == 1 and self.terms[0].weight > 0
        return self.terms[0].text if plain else ""


class QueryEncoder:
    """Turns queries into vectors of one space."""

    def __init__(self, space: Space, learnt: "Callable[[str], LearntQuery | None]" = lambda phrase: None):
        """`learnt` gives what a phrase means in which names stand that were learnt."""
        self._space, self._learnt = space, learnt

    def query(self, text: str, files: bool = True, extra_vectors: Sequence[Weighted] = ()) -> Query:
        """Parse and encode a query.

        Terms are joined by ` + ` and ` - `; a number and a colon before a term is its weight. A term that names an existing
        file is that file, anything else is words; with `files` false everything is words. `extra_vectors` are added to the
        text, which may then be empty. Raises QueryError, UnreadableMedia.
        """
        terms = parse(text, files) if text.strip() or not extra_vectors else []
        learnt = [None if term.path else self._learnt(term.text) for term in terms]
        if len(terms) + len(extra_vectors) > 1 and (unknown := next((t for t in terms if self.says_nothing(t)), None)):
            raise QueryError(
                f"the space {self._space.name} does not know {unknown.text[:40]!r}; leave it out, or take a larger space: "
                "samespace spaces recommend"
            )
        alone = len(terms) == 1 and terms[0].weight > 0 and not extra_vectors
        zero = np.zeros(self._space.dim, np.float32)
        vectors = [self.encode(term) if alone or taught is None else taught.z for term, taught in zip(terms, learnt)]
        z = sum((term.weight * vector for term, vector in zip(terms, vectors)), zero)
        z = z + sum((weight * vector for weight, vector in extra_vectors), zero)
        length = float(np.linalg.norm(z))
        if length < 1e-6:
            raise QueryError(f"the terms of {text!r} cancel out; change a weight")
        files_or_names = any(term.path for term in terms) or (not alone and any(learnt))
        words_only = not extra_vectors and not files_or_names
        return Query(tuple(terms), z / length, words_only, tuple(vectors), learnt[0] if alone else None)

    def says_nothing(self, term: Term) -> bool:
        """Whether a term is words of which the tokenizer knows none: its vector is that of any other such term."""
        words = set() if term.path or not self._space.config.has_words else set(term.text.split())
        return bool(words) and len(self._space.words.unknown(term.text)) == len(words)

    def encode(self, term: Term) -> np.ndarray:
        """Encode one term without its weight → float32 (dim,). Raises UnreadableMedia."""
        if not term.path:
            (z,) = self._space.text([term.text])
        elif (kind := kind_of(term.path)) is None or kind == "image":
            (z,) = self._space.image([term.path])
        else:
            from ..indexing.segments import mean_vector, segments_of  # and with it the decoders, which words need none of

            z = mean_vector(segments_of(term.path, kind, self._space))
        return np.asarray(z)


def parse(text: str, files: bool = True) -> list[Term]:
    """Split a query into terms. Raises QueryError."""
    if files and names_file(text):
        return [parse_term(text)]
    first, *rest = _SIGN.split(text)
    signed = [("+", first)] if first.strip() or not rest else []
    signed += zip(rest[0::2], rest[1::2])
    if len(signed) > MAX_TERMS:
        raise QueryError(f"the query has {len(signed)} terms; {MAX_TERMS} at most are added up")
    if not all(body.strip() for _, body in signed):
        raise QueryError('the query has an empty term; write words or a file, such as: samespace search "a dog + snow"')
    return [parse_term(body.strip(), sign, files=files) for sign, body in signed]


def without_signs(question: str) -> str:
    """Return words without the signs that algebra reads: "2 - 1" in a question subtracts nothing."""
    return " ".join(_SIGN.sub(" ", question).split())


def parse_term(body: str, sign: str = "+", weighted: bool = True, files: bool = True) -> Term:
    """Parse one term: `2:./pool.jpg`, `a cat`; with `weighted` false a number and a colon are words. Raises QueryError."""
    weight = 1.0
    if weighted and not (files and names_file(body)) and (match := _WEIGHT.fullmatch(body)):
        weight, body = float(match[1]), match[2].strip()
        if weight > MAX_WEIGHT:
            raise QueryError(f"the weight of {body[:40]!r} is more than {MAX_WEIGHT}; beside it nothing else would count")
    path = expanded(body) if files and names_file(body) else None
    if files and not path and _looks_like_path(body):
        raise QueryError(f"{body!r} is no file; check the path, or write words that do not look like one")
    return Term(weight if sign == "+" else -weight, body if path else as_utf8(body), path)


def _looks_like_path(text: str) -> bool:
    """Whether a text can only be a path: it begins like one, or is a folder's. The name of a file is words: it may be indexed."""
    begins = text.startswith((os.sep, f".{os.sep}", f"..{os.sep}", f"~{os.sep}"))
    return begins or (os.sep in text and os.path.isdir(text))


def missing_files(text: str) -> list[str]:
    """Return the terms of a query that are names of pictures, sounds, videos or documents that are not there: they are words."""
    terms = [] if names_file(text) else [term for term in _SIGN.split(text) if term and term not in "+-"]
    names = [match[2] if (match := _WEIGHT.fullmatch(term.strip())) else term.strip() for term in terms]
    return [name for name in names if kind_of(Path(name)) and len(name.split()) == 1 and not names_file(name)]


def names_file(text: str) -> bool:
    """Whether a text is the path of an existing file."""
    try:
        return len(text) < 4096 and os.path.isfile(expanded(text))
    except ValueError:  # a NUL character
        return False
