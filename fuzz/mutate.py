"""Inputs made from others: bytes changed, cut, doubled, moved, joined with another's, numbers replaced by awkward ones."""

import random
import re

AWKWARD = (
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"99999999999999999999",
    b"null",
    b'""',
    b"[]",
    b"{}",
    b"\x00",
    b"\xff\xff\xff\xff",
    b"../",
    b"\xef\xbb\xbf",
    "é🙂\u202e".encode(),
)
"""What parsers have stumbled over."""


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return an input with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(CHANGES)(data or b"\0", others, rng)
    return data


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64, 1024)))


def _flip(data: bytes, _: list[bytes], rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _overwrite(data: bytes, _: list[bytes], rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def _remove(data: bytes, _: list[bytes], rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _double(data: bytes, _: list[bytes], rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def _cut(data: bytes, _: list[bytes], rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _join(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _insert(data: bytes, _: list[bytes], rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(AWKWARD) + data[at:]


def _number(data: bytes, _: list[bytes], rng: random.Random) -> bytes:
    """Replace a number in text."""
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", data[:100_000]))
    if not numbers:
        return data
    match = rng.choice(numbers)
    return data[: match.start()] + rng.choice(AWKWARD) + data[match.end() :]


CHANGES = (_flip, _overwrite, _remove, _double, _cut, _join, _insert, _number)
