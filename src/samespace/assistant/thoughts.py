"""Models that think before they answer: what stands between <think> and </think> at the beginning is not the answer."""

from collections.abc import Iterator

from ..core.errors import RequestError

BEGIN, END = "<think>", "</think>"
ONLY_THOUGHTS = "the model thought until its answer's limit was reached; allow longer answers: --max-tokens, max_tokens"
CLOSED = f"\n{END}\n\n"
"""Ends thoughts that have not begun, as Qwen's templates write it."""


def are_open(prompt: str) -> bool:
    """Whether a rendered conversation ends within thoughts, so that the model goes on with them."""
    return prompt.rstrip().endswith(BEGIN)


def without_thoughts(pieces: Iterator[str], thinks: bool = False) -> Iterator[str]:
    """Yield the pieces of an answer without thoughts before it; empty strings meanwhile. `thinks`: it begins within them.

    Raises RequestError where the thoughts do not end.
    """
    text = BEGIN if thinks else ""
    for piece in pieces:
        text += piece
        if not text.lstrip() or BEGIN.startswith(text.lstrip()):
            yield ""  # it may begin to think
        elif not text.lstrip().startswith(BEGIN):
            yield text
            yield from pieces
            return
        elif END in text:
            yield text.partition(END)[2].lstrip("\n")
            yield from _without_leading_lines(pieces, not text.partition(END)[2].strip("\n"))
            return
        else:
            text = BEGIN + text[-len(END) :]
            yield ""
    if text.lstrip().startswith(BEGIN):
        raise RequestError(ONLY_THOUGHTS)
    yield text


def _without_leading_lines(pieces: Iterator[str], leading: bool) -> Iterator[str]:
    """Yield pieces; while they are `leading`, without the line ends that they begin with."""
    for piece in pieces:
        yield piece.lstrip("\n") if leading else piece
        leading = leading and not piece.lstrip("\n")
