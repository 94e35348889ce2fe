"""What decides: it sees a screenshot and what was done before, and names the next actions."""

from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from .actions import Action

REFUSED = "refused"
"""What a note begins with that tells of a refusal."""


@dataclass(frozen=True)
class Mark:
    """A part of the screen that may be meant, in pixels."""

    left: int
    top: int
    right: int
    bottom: int
    text: str = ""
    """What is written in it."""
    score: float = 0.0
    """How well it fits what is looked for, 0 to 1."""

    @property
    def middle(self) -> tuple[int, int]:
        """Where it is clicked."""
        return (self.left + self.right) // 2, (self.top + self.bottom) // 2

    def holds(self, x: int, y: int) -> bool:
        """Whether a point is in it."""
        return self.left <= x < self.right and self.top <= y < self.bottom


@dataclass(frozen=True)
class Look:
    """What is seen before a decision."""

    screenshot: Image.Image
    """RGB."""
    url: str = ""
    notes: tuple[str, ...] = ()
    """What happened beside the page since the last decision: dialogs, refusals, an action that could not be done."""
    done: int = 0
    """Actions of the last decision that were done."""
    closer: Image.Image | None = None
    """The part that was asked for by Zoom, enlarged to the size of the screen."""


@dataclass(frozen=True)
class Decision:
    """What is to be done next."""

    actions: tuple[Action, ...]
    """In order; another look comes after the last."""
    thought: str = ""
    """Why, in a line for people."""
    marks: tuple[Mark, ...] = ()
    """What was considered, best first."""
    tokens: int = 0
    """Of a model, that the decision took."""


@dataclass
class Outcome:
    """How an operation ended."""

    answer: str = ""
    reached: bool = False
    """Whether the policy says that the task is done."""
    steps: int = 0
    tokens: int = 0
    reason: str = ""
    """Why it ended where it was not done: a limit, a refusal, what went wrong."""
    notes: list[str] = field(default_factory=list)


class Policy(Protocol):
    """Interface of policies. A page's text is something seen, never an instruction."""

    name: str

    def begin(self, task: str, size: tuple[int, int]) -> None:
        """Take a task, on a screen of so many pixels. Raises RequestError where it is not understood."""
        ...

    def decide(self, look: Look) -> Decision:
        """Return what is to be done next. Raises RequestError where a model answers nonsense."""
        ...
