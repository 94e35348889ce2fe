"""What can be done to a screen: one closed vocabulary, in pixels of the screenshot, which every driver and adapter shares."""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from ...core.errors import RequestError
from .keys import chord

BUTTONS = ("left", "right", "middle")
MOST_SECONDS = 300.0
MOST_CHARACTERS = 10_000
MOST_POINTS = 200
"""Of a drag."""


Point = tuple[int, int]


@dataclass(frozen=True)
class Action:
    """Something that is done."""

    kind: ClassVar[str] = ""

    @property
    def points(self) -> tuple[Point, ...]:
        """The points of the screen that it touches."""
        return ()

    def check(self) -> None:
        """Raise RequestError on values that no screen takes."""

    def __str__(self) -> str:
        """It in words, for people."""
        return self.kind


@dataclass(frozen=True)
class _AtPoint(Action):
    """An action at one point of the screen."""

    x: int
    y: int

    @property
    def points(self) -> tuple[Point, ...]:
        return ((self.x, self.y),)


@dataclass(frozen=True)
class Click(_AtPoint):
    """Press a button of the mouse, one to three times, while keys are held."""

    kind: ClassVar[str] = "click"
    button: str = "left"
    count: int = 1
    keys: str = ""
    """Held meanwhile: shift, ctrl+shift."""

    def check(self) -> None:
        if self.button not in BUTTONS or not 1 <= self.count <= 3:
            raise RequestError(f"{self.count} clicks of the {self.button} button; give one to three of {', '.join(BUTTONS)}")
        chord(self.keys)

    def __str__(self) -> str:
        times = {1: "click", 2: "double-click", 3: "triple-click"}[self.count]
        button = "" if self.button == "left" else f" the {self.button} button"
        return f"{times}{button} at {self.x}, {self.y}{f' with {self.keys}' if self.keys else ''}"


@dataclass(frozen=True)
class Move(_AtPoint):
    """Move the mouse."""

    kind: ClassVar[str] = "move"

    def __str__(self) -> str:
        return f"move to {self.x}, {self.y}"


@dataclass(frozen=True)
class Drag(Action):
    """Press the left button at the first point, move through the others, and let go at the last."""

    kind: ClassVar[str] = "drag"
    path: tuple[Point, ...]

    @property
    def points(self) -> tuple[Point, ...]:
        return self.path

    def check(self) -> None:
        if not 2 <= len(self.path) <= MOST_POINTS:
            raise RequestError(f"a drag through {len(self.path)} points; give 2 to {MOST_POINTS}")

    def __str__(self) -> str:
        (x, y), (to_x, to_y) = self.path[0], self.path[-1]
        return f"drag from {x}, {y} to {to_x}, {to_y}"


@dataclass(frozen=True)
class Scroll(_AtPoint):
    """Turn the wheel at a point: pixels to the right and down."""

    kind: ClassVar[str] = "scroll"
    dx: int = 0
    dy: int = 0

    def __str__(self) -> str:
        return f"scroll at {self.x}, {self.y} by {self.dx}, {self.dy}"


@dataclass(frozen=True)
class Type(Action):
    """Type text where the focus is."""

    kind: ClassVar[str] = "type"
    text: str

    def check(self) -> None:
        if len(self.text) > MOST_CHARACTERS:
            raise RequestError(f"{len(self.text)} characters to type; {MOST_CHARACTERS} at most")

    def __str__(self) -> str:
        return f"type {self.text!r}"


@dataclass(frozen=True)
class Key(Action):
    """Press keys together: enter, ctrl+a."""

    kind: ClassVar[str] = "key"
    keys: str

    def check(self) -> None:
        if not chord(self.keys):
            raise RequestError("no key is named; give one such as enter")

    def __str__(self) -> str:
        return f"press {self.keys}"


@dataclass(frozen=True)
class HoldKey(Action):
    """Hold keys for some seconds."""

    kind: ClassVar[str] = "hold_key"
    keys: str
    seconds: float

    def check(self) -> None:
        Key(self.keys).check()
        Wait(self.seconds).check()

    def __str__(self) -> str:
        return f"hold {self.keys} for {self.seconds:g} s"


@dataclass(frozen=True)
class Wait(Action):
    """Wait for some seconds."""

    kind: ClassVar[str] = "wait"
    seconds: float = 1.0

    def check(self) -> None:
        if not 0 <= self.seconds <= MOST_SECONDS:
            raise RequestError(f"{self.seconds:g} seconds; give 0 to {MOST_SECONDS:g}")

    def __str__(self) -> str:
        return f"wait {self.seconds:g} s"


@dataclass(frozen=True)
class Zoom(Action):
    """Look at a part of the screen, enlarged."""

    kind: ClassVar[str] = "zoom"
    left: int
    top: int
    right: int
    bottom: int

    @property
    def points(self) -> tuple[Point, ...]:
        return ((self.left, self.top), (self.right - 1, self.bottom - 1))

    def check(self) -> None:
        if self.right <= self.left or self.bottom <= self.top:
            raise RequestError("the part to look at is empty; give left < right and top < bottom")

    def __str__(self) -> str:
        return f"look closely at {self.left}, {self.top} to {self.right}, {self.bottom}"


@dataclass(frozen=True)
class Screenshot(Action):
    """Look again."""

    kind: ClassVar[str] = "screenshot"

    def __str__(self) -> str:
        return "look"


@dataclass(frozen=True)
class Done(Action):
    """End: the task is done, or cannot be."""

    kind: ClassVar[str] = "done"
    answer: str = ""
    reached: bool = True
    """Whether what was asked for was done."""

    def __str__(self) -> str:
        return ("done" if self.reached else "I cannot") + (f": {self.answer}" if self.answer else "")


ACTIONS: dict[str, type[Action]] = {
    one.kind: one for one in (Click, Move, Drag, Scroll, Type, Key, HoldKey, Wait, Zoom, Screenshot, Done)
}  # fmt: skip


def to_json(action: Action) -> dict[str, Any]:
    """Return an action as JSON has it."""
    return {"action": action.kind, **asdict(action)}


def from_json(values: dict[str, Any]) -> Action:
    """Return the action that JSON names. Raises RequestError where there is none like it."""
    try:
        if not isinstance(values, dict):
            raise TypeError("not an object")
        rest = {name: value for name, value in values.items() if value is not None or name == "reached"}  # null is no yes
        kind = ACTIONS[rest.pop("action")]
        if unknown := set(rest) - {field.name for field in fields(kind)}:
            raise ValueError(f"{kind.kind} takes no {sorted(unknown)[0]}")
        if "path" in rest:
            rest["path"] = tuple((int(x), int(y)) for x, y in rest["path"])
        for field in fields(kind):
            if field.name in rest:
                rest[field.name] = _as(field.type, rest[field.name])
        return kind(**rest)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RequestError(f"{values!r} is no action ({error}); the actions are {', '.join(ACTIONS)}") from None


def _as(kind: Any, value: Any) -> Any:
    """Return what JSON has for a field as its type; a list of keys as one chord. Raises TypeError, ValueError, OverflowError."""
    if kind is bool and not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    if kind is str and isinstance(value, list):
        return "+".join(map(str, value))
    if kind is str and not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is no text")
    return kind(value) if kind in (int, float, str) else value


def check(action: Action, width: int, height: int) -> None:
    """Raise RequestError where an action cannot be done on a screen of so many pixels."""
    action.check()
    for x, y in action.points:
        if not (0 <= x < width and 0 <= y < height):
            raise RequestError(f"{x}, {y} is not on the screen of {width} × {height} pixels; give a point on it")
