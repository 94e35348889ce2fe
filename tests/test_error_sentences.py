"""Every error that is raised on purpose, provoked on the command line and over HTTP: one sentence that says what to do."""

import re

import pytest
from chromium import needs_chromium

from docs.errors import CASES, HEAD, PAGE, Place, provoked
from samespace.core import errors


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return list(provoked(Place(tmp_path_factory.mktemp("errors"))))


def test_every_error_is_provoked():
    kinds = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.SamespaceError)}
    unseen = {errors.SamespaceError, errors.UnsupportedModel}  # such a model is opened in the library that defines it
    assert {case.error for case in CASES} == kinds - unseen
    assert sum(case.request is not None for case in CASES) >= 9


@needs_chromium[0]
def test_each_ends_in_one_sentence_that_says_what_to_do(found):
    for case, by, said in found:
        if by.startswith("samespace"):
            assert said.error is case.error and said.code == 1, (by, said)
        else:
            assert said.code in (400, 404, 409, 501, 502), (by, said)
        assert re.search(r"[;:] \w", said.sentence) and "Traceback" not in said.sentence and "\n" not in said.sentence, (
            said.sentence
        )


@needs_chromium[0]
def test_the_page_says_what_is_said(found):
    rows = "".join(f"| {case.error.__name__} | `{by}` → {said.code} | {said.sentence} |\n" for case, by, said in found)
    assert PAGE.read_text("utf-8") == HEAD + rows, "write it anew: python -m docs.errors"
