"""The filter language: `kind:image year:2019 -name:screenshot (near:45.07,7.68,5km OR path:turin) width:>=4000` → a condition.

Conditions in a row must all be met; OR, NOT (or a minus) and brackets join them otherwise. Values with spaces stand in quotes, and a quote
in them is written twice.
"""

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any

from ...core.errors import QueryError
from ...core.paths import absolute, to_path, to_text
from ...media.kinds import KINDS
from ..store.conditions import DUPLICATE, AllOf, AnyOf, Compared, Condition, Matches, Near, Not, OneOf, Present, literal, loose
from ..store.filter import Filter, microseconds
from ..store.marks import Contents, Mark
from ..store.words import folded
from .dates import date_range

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

    from .concepts import Concepts
    from .space_map import SpaceMap

GRAMMAR = r"""
?start: either
?either: every ("OR"i every)*
?every: opposite (("AND"i)? opposite)*
?opposite: ("NOT"i | "-") opposite -> negated | "(" either ")" | condition
condition: FIELD [OPERATOR] (QUOTED | WORD)
FIELD.2: /[a-z]+:/i
OPERATOR.2: />=|<=|>|</
QUOTED.2: /"(?:[^"]|"")*"/
WORD: /[^\s()":<>][^\s()"]*/
%ignore /\s+/
"""
PIECE = re.compile(r'"(?:[^"]|"")*"|[()]|-(?=\()|-?[A-Za-z]+:(?:>=|<=|[<>])?(?:"(?:[^"]|"")*"|[^\s()"]*)|[^\s()]+')
"""What a query is made of: quotations, brackets, conditions, words."""
IN_ROW = re.compile(r"(?:[(!n]*c\)*)(?:[&|ao]?[(!n]*c\)*)*")
"""A row of pieces that is a filter, each written as one letter: c for a condition, ! for NOT, & and | for AND and OR, w for words; a, o and n
for these joints in lower case, which may be words, too."""
JOINTS = {"(": "(", ")": ")", "AND": "&", "OR": "|", "NOT": "!", "-": "!"}
ASKS_HIDDEN = re.compile(r'\bis:"?hidden\b', re.I)
OF_PARTS = {"text", "caption", "concept", "area"}
"""Fields of parts of a file, such as its pages: a file is without what none of them has."""
SIZES = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "": 1.0}
"""Units of a file's size → bytes."""
MAP_UNITS = 10_000
"""How wide and how high the map of the space is, in the numbers of an area."""
COMPARISONS = {">=": ge, "<=": le, ">": gt, "<": lt, "=": eq}
Field = Callable[[str, str, "Names"], Condition]
"""A value, an operator or nothing, and names → a condition; it raises ValueError with a sentence."""
HAS: dict[str, Condition] = {
    "gps": Present("lat"), "date": Present("taken_at"), "size": Present("width"), "place": Present("place"), "people": Present("people"),
    "caption": Present("caption"), "rating": Present("rating"), "text": AnyOf((Matches("written", "."), Matches("text", "."))),
}  # fmt: skip
"""What a segment may have → the condition that says so."""


@dataclass(frozen=True)
class Names:
    """What names in conditions are looked up in."""

    marks: Contents = field(default_factory=Contents)
    concepts: "Concepts | None" = None
    map: "SpaceMap | None" = None
    files: Callable[[Condition], Collection[str]] | None = None
    """The files, as stored, of which a part meets a condition."""


def split(query: str, names: Names = Names()) -> tuple[str, Condition | None]:
    """Return the words of a query, and the conditions in it: "dog year:2019 -kind:video" is "dog" and two conditions.

    Only names of FIELDS begin a condition, so that 10:30 and 2:dog stay what they are. Raises QueryError as `condition_of`.
    """
    pieces = list(PIECE.finditer(query))
    letters = "".join(_letter(piece[0]) for piece in pieces)
    conditions, words, end = [], [], 0
    for row in IN_ROW.finditer(letters):
        first, last = pieces[row.start()].start(), pieces[row.end() - 1].end()
        around = [pieces[i][0] for i in (row.start() - 1, row.end()) if 0 <= i < len(pieces)]
        if "OR" in around:
            raise QueryError(
                f"OR stands between words and a condition, {query[first:last]!r}; join conditions with OR, or words with a plus"
            )
        conditions.append(condition_of(query[first:last], names, first))
        words.append(query[end:first])
        end = last
    words.append(query[end:])
    if not conditions:
        return query, None
    return " ".join(" ".join(words).split()), conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))


def narrowed(filter: Filter, where: str, names: Names, query: str = "") -> Filter:
    """Return a filter that also lets through only what meets conditions, and hidden files only where these or the query ask for them.

    Raises QueryError as `condition_of`.
    """
    if where.strip():
        filter = filter.narrowed(condition_of(where, names))
    if ASKS_HIDDEN.search(f"{query} {where}") or not any(mark.hidden for mark in names.marks.files.values()):
        return filter
    return filter.narrowed(Not(names.marks.hidden))


def _letter(piece: str) -> str:
    """Return what stands for a piece in IN_ROW; and, or and not in lower case are words, or joints where conditions are around them."""
    return JOINTS.get(piece) or ("c" if _begins_condition(piece) else {"and": "a", "or": "o", "not": "n"}.get(piece.lower(), "w"))


def _begins_condition(piece: str) -> bool:
    name, _, value = piece.lstrip("-").partition(":")
    return name.lower() in FIELDS and bool(value.strip("<>="))  # "text: hello" is words


def condition_of(text: str, names: Names = Names(), offset: int = 0) -> Condition:
    """Parse a filter. Raises QueryError that says at which character it cannot be understood, counted after `offset`.

    `names` are what tags, albums, stars, favourites and words of one's own are looked up in.
    """
    from lark.exceptions import UnexpectedInput, UnexpectedToken

    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        at = len(text) if ended else error.pos_in_stream or 0
        found = text[at:].split(maxsplit=1)[:1] or ["its end"]
        raise QueryError(
            f"the filter cannot be understood at character {offset + at + 1}, {found[0]!r}; write conditions such as year:2019 or "
            "-kind:video"
        ) from None
    return _condition(tree, names, offset)


@cache
def _parser() -> "Lark":
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=True)


def _condition(tree: "Tree[Token]", names: Names, offset: int) -> Condition:
    """Return a branch of the parsed filter as a condition. Raises QueryError."""
    negated = False
    while tree.data == "negated":  # in any number: none of them is a level of nesting
        (tree,), negated = tree.children, not negated  # type: ignore[assignment]
    condition = _plain_condition(tree, names, offset)
    if negated and names.files and _is_of_parts(tree):
        condition = OneOf("path", tuple(names.files(condition)))
    return Not(condition) if negated else condition


def _is_of_parts(tree: "Tree[Token]") -> bool:
    """Whether a branch of the parsed filter asks for parts of files."""
    asked = [
        (str(one.children[0]).lower().removesuffix(":"), str(one.children[2]).lower()) for one in tree.find_data("condition")
    ]
    return any(field in OF_PARTS or (field, value) == ("has", "text") for field, value in asked)


def _plain_condition(tree: "Tree[Token]", names: Names, offset: int) -> Condition:
    """Return a branch that is not negated as a condition. Raises QueryError."""
    if tree.data == "condition":
        field, operator, value = tree.children
        at = offset + (field.start_pos or 0) + 1  # type: ignore[union-attr]
        return _leaf(str(field).lower().removesuffix(":"), str(operator or ""), _value(value), names, at)
    parts: list[Condition] = [_condition(child, names, offset) for child in tree.children]  # type: ignore[arg-type]
    return AllOf(tuple(parts)) if tree.data == "every" else AnyOf(tuple(parts))


def _value(written: Any) -> str:
    """Return a value without the quotes around it; within them a quote is written twice."""
    return str(written)[1:-1].replace('""', '"') if written.type == "QUOTED" else str(written)


def _leaf(field: str, operator: str, value: str, names: Names, at: int) -> Condition:
    if field not in FIELDS:
        raise QueryError(f"at character {at}: there is no field {field!r}; use one of {', '.join(FIELDS)}")
    if operator and field not in NUMBERS:
        raise QueryError(f"at character {at}: {field} cannot be compared by {operator}; write {field}:{value or '…'}")
    try:
        return FIELDS[field](value, operator, names)
    except (ValueError, QueryError) as error:
        raise QueryError(f"at character {at}: {error}") from None


def _kind(value: str, _: str, __: Names) -> Condition:
    kinds = value.lower().split(",")
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"there is no kind {unknown.pop()!r}; use {', '.join(KINDS)}")
    return AnyOf(tuple(Matches("kind", f"^{kind}$") for kind in kinds))


def _date(value: str, operator: str, __: Names) -> Condition:
    """A day, month or year, or a range of them: 2019, 2019-06..2019-08."""
    first, dots, last = value.partition("..")
    if dots and not operator and bool(first) != bool(last):  # an open end
        return _since(date_range(first)[0]) if first else Not(_since(date_range(last)[1]))
    start, end = date_range(first)[0], date_range(last or first)[1]
    if end <= start:
        raise ValueError(f"{value} ends before it begins; swap the two dates")
    if operator in (">=", ">"):
        return _since(start if operator == ">=" else end)
    if operator in ("<=", "<"):
        return Not(_since(end if operator == "<=" else start))
    return AllOf((_since(start), Not(_since(end))))


def _since(when: datetime) -> Condition:
    return Compared("time", ">=", microseconds(when))


def _number(column: str) -> Field:
    def condition(value: str, operator: str, _: Names) -> Condition:
        return Compared(column, operator or "=", _amount(value, {"": 1.0}))

    return condition


def _size(value: str, operator: str, _: Names) -> Condition:
    return Compared("size", operator or ">=", _amount(value.lower(), SIZES))


def _amount(value: str, units: dict[str, float]) -> float:
    digits = value.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        if not re.fullmatch(r"-?\d+(\.\d*)?|-?\.\d+", digits):  # float takes more than people write: 1e9, nan, 1_000
            raise ValueError
        return float(digits) * units[value.removeprefix(digits)]
    except (ValueError, KeyError):
        raise ValueError(f"{value!r} is not a number{' of kB, MB or GB' if len(units) > 1 else ''}; write digits") from None


def _near(value: str, _: str, __: Names) -> Condition:
    parts = value.lower().split(",")
    try:
        lat, lon = float(parts[0]), float(parts[1])
        km = float(parts[2].removesuffix("km")) if len(parts) > 2 else 1.0
    except (ValueError, IndexError):
        raise ValueError(
            f"{value!r} is not a place; write degrees north, degrees east and kilometres: near:45.07,7.68,5km"
        ) from None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180 and km > 0 and len(parts) <= 3):
        raise ValueError(f"{value!r} is not on the earth; write near:45.07,7.68,5km")
    return Near(lat, lon, km)


def _has(value: str, _: str, names: Names) -> Condition:
    if value.lower() not in HAS:
        raise ValueError(f"there is no has:{value}; use {', '.join(f'has:{name}' for name in HAS)}")
    own: dict[str, Callable[[Mark], bool]] = {"people": lambda mark: bool(mark.people), "rating": lambda mark: mark.rating > 0}
    marked = own.get(value.lower())
    return AnyOf((HAS[value.lower()], names.marks.matching(marked))) if marked else HAS[value.lower()]


def _tag(value: str, _: str, names: Names) -> Condition:
    """A keyword of the file, whole, or a tag of one's own: tag:dog is not doghouse."""
    return AnyOf((Matches("keywords", f"(^|\n){loose(value)}($|\n)"), names.marks.with_tag(value)))


def _person(value: str, _: str, names: Names) -> Condition:
    """Part of a name that the file has, or that was given to it here."""
    named = names.marks.matching(lambda mark: any(folded(value) in folded(name) for name in mark.people))
    return AnyOf((Matches("people", loose(value)), named))


def _rating(value: str, operator: str, names: Names) -> Condition:
    stars, compare = _amount(value, {"": 1.0}), COMPARISONS[operator or "="]
    return names.marks.rated(Compared("rating", operator or "=", stars), lambda rating: compare(rating, stars))


def _is(value: str, _: str, names: Names) -> Condition:
    if value.lower() == "duplicate":
        return DUPLICATE
    if value.lower() not in ("favourite", "favorite", "hidden"):
        raise ValueError(f"there is no is:{value}; use is:favourite, is:hidden, is:duplicate")
    return names.marks.hidden if value.lower() == "hidden" else names.marks.matching(lambda mark: mark.favourite)


def _concept(value: str, _: str, names: Names) -> Condition:
    """A word of one's own, and after a comma how likely it has to be: concept:bella,0.2."""
    if names.concepts is None:
        raise ValueError("words of one's own are not known here")
    name, comma, least = value.rpartition(",")
    if not comma:
        return names.concepts.condition(value)
    probability = _amount(least, {"": 1.0})
    if not 0 < probability < 1:
        raise ValueError(f"{least} is no probability; write a number between 0 and 1: concept:{name},0.2")
    return names.concepts.condition(name, probability)


def _area(value: str, _: str, names: Names) -> Condition:
    """What is inside a polygon on the map of the space, whose corners are given in MAP_UNITS: area:"1200,3400 1800,3400 1500,4000".

    Before them may stand on which map it was drawn: #1a2b3c4d.
    """
    drawn_on = re.match(r"#(\w*)\s", value)
    try:
        drawn = value[drawn_on.end() :] if drawn_on else value
        corners = [tuple(int(number) / MAP_UNITS for number in corner.split(",")) for corner in drawn.split()]
        polygon = [(x, y) for x, y in corners]
        if len(polygon) < 3:
            raise ValueError
    except ValueError:
        raise ValueError(
            f'{value[:40]!r} is no area of the map; draw one on the page /map, or write three corners or more: area:"0,0 5000,0 0,5000"'
        ) from None
    if names.map is None:
        raise ValueError("there is no map here")
    layout = names.map.read()
    if drawn_on and drawn_on[1] != layout.made:
        raise ValueError("the map was laid out anew after this area was drawn; draw around it again on the page /map")
    return OneOf("id", tuple(layout.inside(polygon)))


def _text(value: str, *_: object) -> Condition:
    """Part of what is written or spoken, or was read in the picture: `written` is JSON, in which texts begin lists."""
    read = rf'\["([^"\\]|\\.)*{loose(value)}'
    return AnyOf((Matches("text", loose(value)), Matches("written", read)))


def _part(*columns: str) -> Field:
    """A part of one of several columns."""
    return lambda value, *_: AnyOf(tuple(Matches(column, loose(value)) for column in columns))


FIELDS: dict[str, Field] = {
    "kind": _kind,
    "name": lambda value, *_: Matches("path", f"{loose(value)}[^/\\\\]*$"),
    "path": lambda value, *_: Matches("path", loose(value)),
    "folder": lambda value, *_: Matches("path", f"^{loose(to_text(os.path.join(absolute(to_path(value)), '')))}"),
    "ext": lambda value, *_: Matches("path", f"\\.{literal(value.removeprefix('.'))}$"),
    "date": _date, "year": _date,
    "width": _number("width"), "height": _number("height"), "size": _size,
    "near": _near, "has": _has, "place": _part("place"), "camera": _part("camera"), "tag": _tag, "person": _person,
    "rating": _rating, "album": lambda value, _, names: names.marks.in_album(value), "is": _is, "text": _text, "concept": _concept, "area": _area, "caption": _part("caption", "text"),
}  # fmt: skip
"""Name of a field → what makes a condition."""
NUMBERS = {"date", "year", "width", "height", "size", "rating"}
"""Fields that can be compared."""
