"""The filter language: what it means, by a database, by a table in memory and by hand; and where an error is."""

import math
from datetime import UTC, datetime
from types import SimpleNamespace

import lancedb
import pyarrow as pa
import pytest

from samespace.core.errors import QueryError
from samespace.library.search.where import Names, condition_of, split
from samespace.library.store.filter import Filter, microseconds
from samespace.library.store.marks import Contents, Mark


def at(year, month=1, day=1):
    return datetime(year, month, day, 12).astimezone(UTC)


ROWS = [
    dict(path="/p/holiday in Rome 2019/IMG_1234.jpg", kind="image", time=at(2019, 7, 3), width=4000, height=3000, size=4_000_000, lat=41.9, lon=12.5),
    dict(path="/p/Turin/piazza_1.JPG", kind="image", time=at(2019, 12, 31), width=800, height=600, size=90_000, lat=45.07, lon=7.69),
    dict(path="/p/Turin/o'hara (1).png", kind="image", time=at(2021), width=4000, height=200, size=2_000_000, lat=None, lon=None),
    dict(path="/p/talks/turin.mp4", kind="video", time=at(2018, 5), width=1920, height=1080, size=3_000_000_000, lat=-45.07, lon=-172.3),
    dict(path="/p/talks/über rom.pdf", kind="document", time=at(2020, 2, 29), width=None, height=None, size=120_000, lat=None, lon=None),
]  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The rows in a database, and as a table in memory."""
    rows = [
        row | {"time": microseconds(row["time"]), "taken_at": row["time"] if row["kind"] == "image" else None, "z": [0.0, 1.0]}
        for row in ROWS
    ]
    schema = pa.schema(
        {
            "path": pa.string(), "kind": pa.string(), "time": pa.int64(), "width": pa.int32(), "height": pa.int32(), "size": pa.int64(),
            "lat": pa.float64(), "lon": pa.float64(), "taken_at": pa.timestamp("us", "UTC"), "z": pa.list_(pa.float32(), 2),
        }
    )  # fmt: skip
    memory = pa.Table.from_pylist(rows, schema)
    return SimpleNamespace(memory=memory, database=lancedb.connect(tmp_path_factory.mktemp("db")).create_table("rows", memory))


CASES = {
    "kind:image": [0, 1, 2],
    "-" * 1800 + "kind:image": [0, 1, 2],
    "NOT " * 401 + "kind:image": [3, 4],
    "-(" * 601 + "kind:image" + ")" * 601: [3, 4],
    "kind:video,document": [3, 4],
    "-kind:image": [3, 4],
    "year:2019": [0, 1],
    "year:2019..2020": [0, 1, 4],
    "date:2019-07": [0],
    "date:2020-02-29": [4],
    "date:>=2020": [2, 4],
    "date:<2019": [3],
    "date:<=2019-12": [0, 1, 3],
    "year:>2020": [2],
    "date:2020..": [2, 4],
    "date:..2019": [0, 1, 3],
    "name:img_1234": [0],
    "name:turin": [3],
    "path:turin": [1, 2, 3],
    'path:"in rome 2019"': [0],
    "folder:/p/turin": [1, 2],
    "folder:/p": [0, 1, 2, 3, 4],
    "folder:/p/tur": [],
    'name:"o\'hara (1)"': [2],
    "name:über": [4],
    'name:"<"': [],
    'name:">"': [],
    'path:"->"': [],
    "ext:jpg": [0, 1],
    "ext:.pdf": [4],
    "width:>=1920 -ext:png": [0, 3],
    "height:600": [1],
    "size:>1.5mb kind:image": [0, 2],
    "size:<100kb": [1],
    "has:gps": [0, 1, 3],
    "-has:gps": [2, 4],
    "has:date": [0, 1, 2],
    "near:45.07,7.68,5km": [1],
    "near:45.07,7.68": [1],
    "near:41.9,12.5,600": [0, 1],
    "-near:45.07,7.68,5km": [0, 2, 3, 4],
    "NOT (kind:image OR kind:video)": [4],
    "kind:image (year:2021 or near:41.9,12.5,1km) and width:4000": [0, 2],
    "KIND:Image AND (NOT year:2019)": [2],
    "kind:video OR kind:image year:2021": [2, 3],
}


@pytest.mark.parametrize("text", CASES)
def test_a_filter_means_the_same_in_a_database_and_in_memory(table, text):
    filter = Filter(where=condition_of(text))
    assert filter.rows(table.memory).tolist() == CASES[text]
    paths = table.database.search().where(filter.sql).limit(9).to_arrow()["path"].to_pylist()
    assert sorted(paths) == sorted(ROWS[i]["path"] for i in CASES[text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yeer:2019", "character 1: there is no field 'yeer'; use one of kind, name"),
        ("kind:image yeer:2019", "character 12: there is no field"),
        ("kind:image beach", "character 12, 'beach'"),
        ("(kind:image", "character 12, 'its end'"),
        ("kind:image OR", "character 14, 'its end'"),
        ("kind:", "character 6, 'its end'"),
        ("", "character 1, 'its end'"),
        ("kind:cat", "character 1: there is no kind 'cat'; use image"),
        ("name:>=a", "name cannot be compared by >="),
        ("date:2019-13", "'2019-13' is not a date"),
        ("date:2020..2019", "ends before it begins"),
        ("width:wide", "'wide' is not a number"),
        ("width:nan", "'nan' is not a number"),
        ("rating:1e3", "'1e3' is not a number"),
        ("size:>5tb", "not a number of kB, MB or GB"),
        ("near:rome", "'rome' is not a place"),
        ("near:95,7,5km", "not on the earth"),
        ("has:cats", "there is no has:cats; use has:gps"),
    ],
)
def test_an_error_says_where_and_what_to_write(text, message):
    with pytest.raises(QueryError) as error:
        condition_of(text)
    assert message in str(error.value)


def test_distances_are_along_a_sphere(table):
    """A degree of latitude is 111.19 km; poles and the date line are no edges."""
    one = math.radians(1) * 6371
    for text, want in ((f"near:44.07,7.69,{one + 0.01:.3f}km", [1]), (f"near:44.07,7.69,{one - 0.1:.3f}km", [])):
        assert Filter(where=condition_of(text)).rows(table.memory).tolist() == want
    assert Filter(where=condition_of("near:-45,179.9,700km")).rows(table.memory).tolist() == [3]


@pytest.mark.parametrize(
    ("query", "words", "where"),
    [
        ("-(kind:video OR kind:audio) beach", "beach", "NOT (kind:video OR kind:audio)"), ("dog -(kind:video)", "dog", "-kind:video"),
        ("dog year:2019 or year:2020", "dog", "year:2019 OR year:2020"), ("salt and pepper kind:image", "salt and pepper", "kind:image"),
        ("cats and kind:image", "cats and", "kind:image"), ("dog - snow", "dog - snow", ""), ("dog - kind:video", "dog", "-kind:video"),
        ("dog not kind:video", "dog", "-kind:video"),
    ],
)  # fmt: skip
def test_words_and_conditions_are_told_apart(query, words, where):
    assert split(query) == (words, condition_of(where) if where else None)


def test_or_between_words_and_a_condition_is_a_sentence():
    for query in ("dog OR year:2019", "year:2019 OR dog"):
        with pytest.raises(QueryError, match="OR stands between words and a condition, 'year:2019'"):
            split(query)


def test_people_and_stars_of_ones_own_count(table):
    names = Names(Contents({"/p/a": Mark("h", people=("Anna",)), "/p/b": Mark("i", rating=3)}))
    assert condition_of("has:people", names) != condition_of("has:people") and condition_of("has:rating", names) != condition_of(
        "has:rating"
    )
