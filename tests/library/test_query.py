"""The query algebra."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samespace.core.errors import QueryError, UnreadableMedia
from samespace.library.search.query import QueryEncoder, parse, without_signs


def terms(text: str) -> list[tuple[float, str]]:
    return [(t.weight, t.text) for t in parse(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", [(1, "a cat")]),
        ("2:golden retriever + swimming pool - cat", [(2, "golden retriever"), (1, "swimming pool"), (-1, "cat")]),
        ("- cat", [(-1, "cat")]),
        ("+ dog", [(1, "dog")]),
        (".5:dog - 1.5:snow", [(0.5, "dog"), (-1.5, "snow")]),
        ("black-and-white e-mail", [(1, "black-and-white e-mail")]),
        ("c++ code", [(1, "c++ code")]),
        ("2: ", [(1, "2:")]),
        ("16:9", [(1, "16:9")]),
        ("a:b", [(1, "a:b")]),
        ("  a   cat ", [(1, "a   cat")]),
        ("a\n- b", [(1, "a"), (-1, "b")]),
        ("2:2:cat", [(1, "2:2:cat")]),
    ],
)
def test_parse(text, expected):
    assert terms(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "a + ", "a + - b", "+ ", "-"])
def test_empty_terms_are_refused(text):
    with pytest.raises(QueryError, match="empty term"):
        parse(text)


def test_files_are_files_whatever_they_are_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat.png", "2:cat.png", "a + b.png"):
        Image.new("RGB", (9, 9)).save(name)
    assert [t.path for t in parse("2:cat.png - 3:./cat.png")] == [Path("2:cat.png"), Path("cat.png")]
    assert [t.weight for t in parse("2:cat.png - 3:./cat.png")] == [1, -3]
    assert [t.path for t in parse("a + b.png")] == [Path("a + b.png")]


def test_the_vector_is_the_weighted_sum(tiny_space, photographs):
    encoder = QueryEncoder(tiny_space)
    cat = photographs / "chelsea.png"
    z = encoder.query(f"2:dog + {cat} - .5:snow").z
    expected = 2 * tiny_space.text(["dog"])[0] + tiny_space.image([cat])[0] - 0.5 * tiny_space.text(["snow"])[0]
    assert np.allclose(z, expected / np.linalg.norm(expected), atol=1e-6)


def test_terms_that_cancel_are_refused(tiny_space):
    with pytest.raises(QueryError, match="cancel out"):
        QueryEncoder(tiny_space).query("dog - dog")


def test_an_unreadable_picture_names_itself(tiny_space, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no")
    with pytest.raises(UnreadableMedia, match=r"broken\.jpg"):
        QueryEncoder(tiny_space).query(str(tmp_path / "broken.jpg"))


def test_a_question_is_no_algebra():
    words = without_signs("who stands on the well-lit pier - the man or + the girl?")
    assert words == "who stands on the well-lit pier the man or the girl?" and len(parse(words, files=False)) == 1


def test_only_one_positive_phrase_is_searched_by_its_words(tiny_space, photographs):
    encoder, cat = QueryEncoder(tiny_space), str(photographs / "chelsea.png")
    z = tiny_space.text(["snow"])[0]
    phrases = [encoder.query(text).phrase for text in ("a cat", "2:a cat", "- cat", "a cat + snow", cat)]
    assert phrases == ["a cat", "a cat", "", "", ""]
    assert encoder.query("a cat", extra_vectors=[(1.0, z)]).phrase == ""


def test_extra_vectors_are_added_and_may_be_all_there_is(tiny_space):
    encoder, (dog, snow) = QueryEncoder(tiny_space), tiny_space.text(["dog", "snow"])
    expected = dog - 0.5 * snow
    query = encoder.query("dog", extra_vectors=[(-0.5, snow)])
    assert np.allclose(query.z, expected / np.linalg.norm(expected), atol=1e-6) and not query.words_only
    assert np.allclose(encoder.query("", extra_vectors=[(2.0, snow)]).z, snow, atol=1e-6)


def test_a_file_in_a_folder_that_begins_like_a_home_is_that_file(tmp_path, monkeypatch, tiny_space):
    """`~root` is root's home; `./~root` is a folder here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~root").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "~root" / "cat.png")
    assert QueryEncoder(tiny_space).query("./~root/cat.png").files == (str(tmp_path / "~root" / "cat.png"),)


@pytest.mark.parametrize("query", ["10:30 committee meeting", "16:9 wallpaper", "at 7:05", "room 2:1"])
def test_a_time_or_ratio_is_words(query):
    """infinity#2145, tantivy-py#70."""
    (term,) = parse(query)
    assert (term.weight, term.text) == (1.0, query)


@pytest.mark.parametrize("weight", ["101", "9" * 50, "1000000000000"])
def test_a_weight_beside_which_nothing_counts_is_refused(weight):
    with pytest.raises(QueryError, match="is more than 100"):
        parse(f"{weight}:cat + dog")
