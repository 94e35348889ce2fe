"""How a model ends: what it says in place of an action."""

from ..screen.actions import Done

CANNOT = "CANNOT"
"""What its last answer begins with where the task cannot be done, as it was told."""


def ending(text: str, trouble: str = "") -> Done:
    """Return the end that a model's words are; `trouble`: why they are none of its own choice, such as a refusal."""
    if trouble or not text:
        return Done(": ".join(filter(None, (trouble or "the model answers nothing", text))), False)
    return Done(text.removeprefix(CANNOT).strip(" :"), not text.startswith(CANNOT))
