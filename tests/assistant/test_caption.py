"""Captions for a folder: a run can be resumed, a bad file does not stop it, and captions are searched."""

import pytest

from samespace.assistant.caption import caption_folder, read_captions
from samespace.core.errors import QueryError
from samespace.library.library import Library
from samespace.library.store.filter import Filter


def caption(album, table, assistant, skipped):
    """Run once; return the counts, and append the lines about skipped files to `skipped`."""
    return vars(caption_folder(album, table, assistant, "What is in this image?", 6, skipped.append))


def test_every_image_once_and_the_rest_later(album, tmp_path, tiny):
    skipped, table = [], tmp_path / "captions.tsv"
    (album / "broken.jpg").write_text("no picture")
    odd = album / "caf\udce9 \n new.png"  # not UTF-8, and of two lines
    odd.write_bytes((album / "coffee.png").read_bytes())
    assert caption(album, table, tiny, skipped) == {"written": 5, "kept": 0, "skipped": 1}
    assert len(skipped) == 1 and "broken.jpg" in skipped[0]
    first = read_captions(table)
    assert str(odd) in first
    lines = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join(lines[:-1]) + lines[-1][:9])  # as a kill may leave it
    assert caption(album, table, tiny, skipped) == {"written": 1, "kept": 4, "skipped": 1}
    assert read_captions(table) == first


def test_a_file_that_is_no_table_is_not_overwritten(album, tmp_path, tiny):
    table = tmp_path / "letter.txt"
    for text in ("Dear Sir\n", "Dear Sir,\nyours", "x"):
        table.write_text(text)
        with pytest.raises(QueryError, match="not a table"):
            caption(album, table, tiny, [])
        assert table.read_text() == text


def test_captions_are_searched_in_addition_to_vectors(album, tmp_path, tiny_space):
    library = Library(tmp_path / "library", tiny_space)
    library.add([album])
    scores = {hit.path: hit.score for hit in library.search("zanzibar", 4)}
    plain = list(scores)
    last = plain[-1]
    library.write_captions({last: "The market of Zanzibar in the rain", str(album / "gone.png"): "nothing"})
    found = library.search("zanzibar", 4)
    assert found[0].path == last and {hit.path for hit in found} == set(plain)
    assert [hit.rank for hit in found] == [1, 2, 3, 4]
    assert {hit.path: hit.score for hit in found} == pytest.approx(scores, abs=1e-3)  # the cosine still, whatever the rank
    only = library.search("zanzibar", 4, Filter(under=str(album / "more")))
    assert {hit.path for hit in only} == {p for p in plain if "/more/" in p}


def test_captions_survive_the_next_indexing(album, tmp_path, tiny_space):
    library = Library(tmp_path / "library", tiny_space)
    library.add([album])
    odd = str(album / "caf\udce9.png")
    (album / odd).write_bytes((album / "more" / "astronaut.png").read_bytes()[:-1] + b"!")
    library.add([album])
    worst = library.search("zanzibar", 5)[-1].path
    assert library.write_captions({worst: "Zanzibar", odd: "A rare Xylophone"}) == 2
    assert library.search("xylophone", 1)[0].path == odd
    (album / "new.png").write_bytes((album / "more" / "astronaut.png").read_bytes())
    library.add([album])
    assert library.search("zanzibar", 2)[0].path == worst
