"""Coordinates → the town, city, region and country that they lie in, without a network.

The towns are GeoNames' (CC BY 4.0), of 1,000 inhabitants or more; recipes/places makes the table.
"""

import lzma
import math
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..store.conditions import EARTH_KM

TABLE = Path(__file__).with_name("places.tsv.xz")
MAX_KM = 100.0
"""Farther from the nearest town there is no place to name, such as on the sea."""
CITY, CITY_KM = 100_000, 3.0
"""A city of so many people reaches so far around its centre; a larger one farther, by the square root of its people."""


class _Towns(NamedTuple):
    """GeoNames' towns."""

    names: list[tuple[str, str, str]]
    """Town, region, country."""
    directions: np.ndarray
    """From the centre of the earth: float64 (towns, 3), unit length; float32 would not tell towns 2 km apart."""
    reach: np.ndarray
    """How far each reaches, as the cosine of an angle; 2, which nothing has, for those that are no cities: float64 (towns,)."""
    people: np.ndarray
    """int64 (towns,)."""


@lru_cache(65_536)
def place_name(lat: float, lon: float) -> str | None:
    """Return what lies at degrees north and east, such as "Trastevere, Rome, Latium, Italy"; None far from any town."""
    towns = _towns()
    cosines = towns.directions @ _directions(np.array([[lat, lon]], np.float64))[0]
    nearest = int(cosines.argmax())
    if cosines[nearest] < math.cos(MAX_KM / EARTH_KM):
        return None
    town, region, country = towns.names[nearest]
    around = [int(i) for i in np.flatnonzero(cosines >= towns.reach) if towns.names[i][2] == country]
    city = towns.names[max(around, key=lambda i: towns.people[i])][0] if around else ""
    return ", ".join(dict.fromkeys(name for name in (town, city, region, country) if name))


@cache
def _towns() -> _Towns:
    rows = [line.split("\t") for line in lzma.decompress(TABLE.read_bytes()).decode().splitlines()]
    people = np.array([int(row[2]) for row in rows])
    reach = np.cos(CITY_KM * np.sqrt(people / CITY) / EARTH_KM)
    return _Towns(
        [(town, region, country) for *_, town, region, country in rows],
        _directions(np.array([row[:2] for row in rows], np.float64)),
        np.where(people >= CITY, reach, 2.0),
        people,
    )


def _directions(degrees: np.ndarray) -> np.ndarray:
    """Return (n, 2) degrees north and east as unit vectors: float64 (n, 3)."""
    lat, lon = np.radians(degrees).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
