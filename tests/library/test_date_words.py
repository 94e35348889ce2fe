"""Times named in a query: what is offered, and what is left alone."""

from datetime import date

import pytest

from samespace.library.search.date_words import date_words
from samespace.library.search.where import condition_of

TODAY = date(2026, 11, 28)  # a Saturday
CASES = {
    "dogs in 2019": [("in 2019", "year:2019")],
    "last summer at the lake": [("last summer", "date:2026-06..2026-08")],
    "am Strand 2021": [("2021", "year:2021")],
    "der letzte Sommer": [("letzte Sommer", "date:2026-06..2026-08")],
    "im Juni 2019 in Rom": [("im Juni 2019", "date:2019-06")],
    "été 2018": [("été 2018", "date:2018-06..2018-08")],
    "l'été dernier": [("l'été dernier", "date:2026-06..2026-08")],
    "el verano pasado": [("verano pasado", "date:2026-06..2026-08")],
    "winter 2019": [("winter 2019", "date:2019-12..2020-02")],
    "last winter": [("last winter", "date:2025-12..2026-02")],
    "last week": [("last week", "date:2026-11-16..2026-11-22")],
    "last month": [("last month", "date:2026-10")],
    "letztes Jahr": [("letztes Jahr", "year:2025")],
    "yesterday": [("yesterday", "date:2026-11-27")],
    "2018 or 2019": [("2018", "year:2018"), ("2019", "year:2019")],
    "year:2019 dogs": [],
    "date:2019-06..2019-08": [],
    "a summer dress": [],
    "IMG_2019.jpg": [],
    "1080 x 1920": [("1920", "year:1920")],
    "in 2077": [],
    "/photos/2019/a.jpg": [],
    "may I": [],
    "garden 2019": [("2019", "year:2019")],
    "children in berlin summer 2018": [("summer 2018", "date:2018-06..2018-08")],
    "mountain june 2019": [("june 2019", "date:2019-06")],
    "since 2019": [],
    "dogs before june 2019": [],
    "seit 2020": [],
}


@pytest.mark.parametrize("query", CASES)
def test_times_are_offered_as_conditions(query):
    found = [(one.text, one.condition) for one in date_words(query, TODAY)]
    assert found == CASES[query]
    for _, condition in found:
        condition_of(condition)
