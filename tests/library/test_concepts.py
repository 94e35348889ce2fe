"""Words of one's own, taught by a few examples: found, searched with, filtered by, and learnt again by another space."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from samespace.core.errors import LibraryError, QueryError, UnreadableMedia
from samespace.library.library import Library
from samespace.library.search.learning import Background, learn
from samespace.library.store.concepts import FILE, MAX_NAME
from samespace.library.store.lance import Store
from samespace.spaces.convert.export import HELD_OUT
from samespace.spaces.registry import load

BACKGROUNDS = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "brick.png", "coins.png", "hubble_deep_field.jpg",
)  # fmt: skip
THINGS, VIEWS, EXAMPLES, OTHERS = 16, 15, 5, 120
"""Things that are taught, pictures of each, of which so many teach it; and pictures of other things."""


def cut_out(path: Path) -> Image.Image:
    """Return a drawing on white without the white."""
    drawing = Image.open(path).convert("RGB")
    drawing.putalpha(Image.fromarray(((np.asarray(drawing).min(axis=2) < 245) * 255).astype(np.uint8)))
    return drawing


def pasted(thing: Image.Image, background: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a thing somewhere on a background, of any size, tilted, as likely mirrored as not."""
    picture, share = background.copy(), rng.uniform(0.35, 0.8) * background.height / max(thing.size)
    small = thing.resize((max(8, int(thing.width * share)), max(8, int(thing.height * share))))
    small = small.rotate(rng.uniform(-15, 15), expand=True)
    if rng.random() < 0.5:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture.paste(
        small, tuple(int(rng.integers(0, max(1, big - little))) for big, little in zip(picture.size, small.size)), small
    )
    return picture


@pytest.fixture(scope="module")
def pictures() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of things; vectors of pictures with one of them or another drawing in the starter space; and which it is, or -1."""
    rng, space = np.random.default_rng(0), load("starter")
    folder = Path(data.__file__).parent
    backgrounds = [Image.open(folder / name).convert("RGB").resize((448, 336)) for name in BACKGROUNDS]
    rows = [line.split("\t") for line in HELD_OUT.read_text("utf-8").splitlines()[1:]]
    chosen = rng.permutation(len(rows))[: THINGS + OTHERS]
    shown = [i if i < THINGS else -1 for i in range(THINGS + OTHERS) for _ in range(VIEWS if i < THINGS else 1)]
    drawn = [i for i in range(THINGS + OTHERS) for _ in range(VIEWS if i < THINGS else 1)]
    things = [cut_out(HELD_OUT.parent / rows[row][0]) for row in chosen]
    views = [pasted(things[i], backgrounds[rng.integers(len(backgrounds))], rng) for i in drawn]
    return [rows[row][1] for row in chosen[:THINGS]], space.image(views), np.array(shown)


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    right = relevant[np.argsort(-scores)]
    return float((np.cumsum(right)[right] / (np.flatnonzero(right) + 1)).mean())


def test_five_examples_find_a_thing_half_as_well_again_as_its_name(pictures):
    names, z, shown = pictures
    words, background, precisions, likely = load("starter").text(names), Background(z), [], []
    for thing, name in enumerate(words):
        examples = np.flatnonzero(shown == thing)[:EXAMPLES]
        rest = np.setdiff1d(np.arange(len(z)), examples)
        direction = learn(z[examples], z[:0], background, name)
        by_examples, relevant = direction.scores(z[rest]), shown[rest] == thing
        precisions.append((average_precision(by_examples, relevant), average_precision(z[rest] @ name, relevant)))
        best = np.argsort(-by_examples)[:30]
        likely += zip(direction.probability([""] * 30, z[rest][best]), relevant[best])
    taught, named = np.mean(precisions, axis=0)
    p, right = np.array(likely).T
    bins = np.digitize(p, np.linspace(0, 1, 11)[1:-1])
    error = sum((bins == b).mean() * abs(p[bins == b].mean() - right[bins == b].mean()) for b in set(bins.tolist()))
    print(f"mean average precision {taught:.3f}, of their names {named:.3f}; calibration error of the first 30: {error:.3f}")
    assert taught >= 1.5 * named
    assert error <= 0.15


def test_a_name_that_says_nothing_of_the_examples_does_no_harm(pictures):
    names, z, shown = pictures
    words, background, precisions = load("starter").text(names), Background(z), []
    for thing in range(THINGS):
        examples = np.flatnonzero(shown == thing)[:EXAMPLES]
        rest = np.setdiff1d(np.arange(len(z)), examples)
        directions = [learn(z[examples], z[:0], background, name) for name in (None, words[(thing + 5) % THINGS])]
        precisions.append([average_precision(one.scores(z[rest]), shown[rest] == thing) for one in directions])
    without, wrong = np.mean(precisions, axis=0)
    assert wrong >= without - 0.03


@pytest.fixture(params=["copy", "database"])
def library(request, tmp_path, album, tiny_space, monkeypatch) -> Library:
    if request.param == "database":
        monkeypatch.setattr(Store, "exact_index", lambda self, fingerprint: None)
    opened = Library(tmp_path / "library", tiny_space)
    opened.add([album])
    return opened


def names(hits) -> list[str]:
    return [Path(hit.path).name for hit in hits]


def test_what_was_taught_comes_first_alone_and_among_words_and_passes_its_filter(library, album):
    library.learn("Felix", [album / "chelsea.png"], [album / "coffee.png"])
    first, *others = library.search("felix")
    assert (names([first]), first.relevance) == (["chelsea.png"], 1.0)
    assert [hit.relevance for hit in others if Path(hit.path).name == "coffee.png"] == [0.0]
    assert names(library.search("my picture of Felix"))[0] == "chelsea.png"
    assert names(library.search("", where="concept:felix")) == ["chelsea.png"]
    assert "coffee.png" not in names(library.search("concept:felix,0.001", top=100))
    assert "chelsea.png" not in names(library.search("-concept:felix kind:image", top=100))
    assert len(library.search("Felix on a table + snow - 2:felix", top=3)) == 3
    assert names(library.search("felixed", top=100)) == names(library.search("felixed", top=100, where="kind:image"))


@pytest.mark.parametrize("name, query", [
    ("Weißer Hund", "der weißer hund am strand"), ("Weißer Hund", "WEISSER HUND"), ("Amélie", "ame\u0301lie at home"), ("Ame\u0301lie", "amélie"),
])  # fmt: skip
def test_names_are_known_in_any_spelling(library, album, name, query):
    library.learn(name, [album / "chelsea.png"], [album / "coffee.png"])
    assert names(library.search(query))[0] == "chelsea.png"
    assert [concept.name for concept in library._searcher.concepts._mentioned(query)[0]] == [name]


def test_the_latest_word_on_an_example_counts_and_a_word_can_be_forgotten(library, album):
    library.learn("Felix", [album / "chelsea.png", album / "coffee.png"])
    concept = library.learn("FELIX", no=[album / "coffee.png"])
    assert [[Path(e.path).name for e in side] for side in (concept.yes, concept.no)] == [["chelsea.png"], ["coffee.png"]]
    assert concept.name == "Felix"
    with pytest.raises(QueryError, match="no example of what it is"):
        library.learn("felix", no=[album / "chelsea.png"])
    library.concepts.forget("felix")
    with pytest.raises(QueryError, match="at character 1: nothing was learnt by the name 'felix'; there are: none yet"):
        library.search("concept:felix")


def test_another_space_learns_from_the_same_examples_even_of_files_that_are_gone(library, album, tmp_path):
    strange = tmp_path / "not indexed.png"
    Image.open(album / "rocket.jpg").save(strange)
    library.learn("Start", [strange])
    library.learn("Felix", [album / "chelsea.png"])
    strange.unlink()
    opened = Library(library.location.name, load("starter"))
    opened.add([album], additional=True)
    assert names(opened.search("Felix"))[0] == "chelsea.png"
    assert names(opened.search("start"))[0] == "rocket.jpg"


def test_hits_that_are_said_to_be_meant_rank_the_others_and_can_be_taken_back(library):
    before = library.search("a thing", top=100)
    last, first = before[-1], before[0]
    after = library.search("a thing", top=100, meant=[last.id], not_meant=[first.id])
    assert (after[0].id, after[0].relevance) == (last.id, 1.0)
    assert after[-1].id == first.id or after[-1].relevance == 0.0
    assert sorted(hit.id for hit in after) == sorted(hit.id for hit in before)
    assert [hit.id for hit in library.search("a thing", top=100)] == [hit.id for hit in before]
    assert [hit.id for hit in library.search("a thing", top=100, not_meant=[first.id])] != [hit.id for hit in before]
    assert library.search("", meant=[last.id])[0].id == last.id
    assert len(library.search("a thing", top=100, meant=["0" * 32])) == len(before)


@pytest.mark.parametrize("name", ["", " x", "a,b", 'a"b', "a:b", "x" * (MAX_NAME + 1), "two\nlines", "!?"])
def test_a_name_that_cannot_stand_in_a_query_is_refused(library, album, name):
    with pytest.raises(QueryError):
        library.learn(name, [album / "chelsea.png"])


def test_examples_that_cannot_be_read_are_refused_in_a_sentence_and_nothing_is_learnt(library, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8no picture")
    (tmp_path / "notes.xyz").write_text("x")
    for path, error in (("broken.jpg", UnreadableMedia), ("notes.xyz", QueryError), ("gone.jpg", QueryError)):
        with pytest.raises(error, match=path):
            library.learn("Felix", [tmp_path / path])
    assert not library.concepts.read()


def test_a_file_of_concepts_that_cannot_be_read_is_not_overwritten(library, album):
    path = Path(library.location.name) / FILE
    path.write_text("{")
    with pytest.raises(LibraryError, match="restore it from a backup"):
        library.learn("Felix", [album / "chelsea.png"])
    assert path.read_text() == "{"
    path.write_text(json.dumps({"format": 99, "concepts": {}}))
    with pytest.raises(LibraryError, match="use a newer one"):
        library.search("felix")


@pytest.mark.parametrize("value", ["felix,2", "felix,0", "felix,x"])
def test_a_probability_that_is_none_is_refused_at_its_character(library, album, value):
    library.learn("Felix", [album / "chelsea.png"])
    with pytest.raises(QueryError, match=r"at character 5: "):
        library.search(f"cat concept:{value}")
