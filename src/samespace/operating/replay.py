"""What was seen and done, as one HTML file that stands alone, and can be gone on from."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from ..core.errors import RequestError
from ..core.files import write_text_atomically
from ..media.image import data_uri, jpeg
from .loop import Operation, Step, without
from .screen.actions import Action, Click, Drag, Move, Scroll, from_json, to_json
from .screen.policy import Mark

SIDE = 1280
"""Pixels along the longer side of a screenshot in a replay."""
MARKS = 12
"""Marks that are drawn, the best first."""
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
section { margin: 2.5rem 0; } figure { margin: 0; position: relative; } figure img, figure svg { width: 100%; display: block; }
figure svg { position: absolute; inset: 0; } rect { fill: none; stroke: #b34700; stroke-width: 2; } rect.best { stroke: #0a6; stroke-width: 3; }
text { font: 12px system-ui; fill: #b34700; } circle { fill: #0a6a; stroke: #fff; stroke-width: 2; } polyline { fill: none; stroke: #0a6; stroke-width: 3; }
.note { color: #666; } .result { color: #666; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #1a1a1a; } }
"""
DATA = "samespace-replay"
"""The element that holds what was done, as JSON."""


Words = Callable[[str], str]
"""Hides what nobody may read in a text."""


class Replay:
    """A replay that is written after every step, so that what was done is never lost."""

    def __init__(self, file: Path, task: str, address: str, earlier: Sequence[Action] = ()):
        """earlier: what was done in the replay that this one goes on from."""
        self.file, self.task, self.address = file, task, address
        self.sections: list[Callable[[Words], str]] = []
        self.secrets: tuple[str, ...] = ()
        self.actions: list[dict[str, Any]] = [to_json(action) for action in earlier]

    def add(self, step: Step) -> None:
        """Add a step and write the file. Raises OSError."""
        self.sections.append(section(step))
        self.secrets = step.secrets
        self.actions += [to_json(action) for action in step.done]
        self.write()

    def end(self, operation: Operation) -> None:
        """Write how an operation ended, which may have been before its first step. Raises OSError."""
        self.secrets = tuple(operation.secrets)
        self.write(operation.outcome.answer or operation.outcome.reason)

    def write(self, ending: str = "") -> None:
        """Write the file, whole or not at all, without what was typed into password fields. Raises OSError."""
        words = partial(without, self.secrets)
        data = {
            "task": words(self.task),
            "address": words(self.address),
            "actions": [_hidden(one, words) for one in self.actions],
        }
        stored = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
        write_text_atomically(
            self.file,
            f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(words(self.task))}</title>"
            f"<style>{STYLE}</style><h1>{escape(words(self.task))}</h1><p class='note'>{escape(words(self.address))}</p>"
            f"{''.join(section(words) for section in self.sections)}<p><b>{escape(words(ending))}</b></p><script type='application/json' id='{DATA}'>{stored}</script></html>",
        )


def _hidden(action: dict[str, Any], words: Words) -> dict[str, Any]:
    """Return an action's JSON without what nobody may read."""
    return {name: words(value) if name in ("text", "answer") else value for name, value in action.items()}


def section(step: Step) -> Callable[[Words], str]:
    """Return a step as HTML: the screenshot with its marks and what was done, and what came of it.

    Which words are hidden is said later: a thought may name a password before it is typed.
    """
    width, height = step.look.screenshot.size
    picture = data_uri(jpeg(step.look.screenshot, SIDE), "jpeg")
    marks = "".join(_mark(mark, i) for i, mark in enumerate(step.decision.marks[:MARKS]))
    shapes = "".join(_shape(action) for action in step.done)
    done = "; ".join(map(str, step.done)) or "nothing"
    figure = (
        f"<figure><img alt='The screen before step {step.number}' src='{picture}'>"
        f"<svg viewBox='0 0 {width} {height}' aria-hidden='true'>{marks}{shapes}</svg></figure>"
    )
    number, thought, result = step.number, step.decision.thought, f"{step.result} · {step.seconds:.1f} s · {step.look.url}"
    notes = step.look.notes

    def html(words: Words) -> str:
        lines = "".join(f"<p class='note'>{escape(words(note))}</p>" for note in notes)
        return (
            f"<section><h2>{number}. {escape(words(done))}</h2><p>{escape(words(thought))}</p>{figure}"
            f"<p class='result'>{escape(words(result))}</p>{lines}</section>"
        )

    return html


def _mark(mark: Mark, i: int) -> str:
    box = f"<rect class='{'best' if i == 0 else ''}' x='{mark.left}' y='{mark.top}' width='{mark.right - mark.left}' height='{mark.bottom - mark.top}'/>"
    return f"{box}<text x='{mark.left}' y='{mark.top - 3}'>{i + 1} · {mark.score:.2f}</text>"


def _shape(action: Action) -> str:
    """Return where something was done."""
    match action:
        case Click(x, y) | Move(x, y) | Scroll(x, y):
            return f"<circle cx='{x}' cy='{y}' r='9'/>"
        case Drag(path):
            return f"<polyline points='{' '.join(f'{x},{y}' for x, y in path)}'/>"
        case _:
            return ""


def read_replay(file: Path) -> tuple[str, str, list[Action]]:
    """Return the task, the address and what was done of a replay. Raises RequestError."""
    try:
        text = file.read_text("utf-8")
        start = text.index(">", text.index(f"id='{DATA}'")) + 1
        data = json.loads(text[start : text.index("</script>", start)])
        return str(data["task"]), str(data["address"]), [from_json(values) for values in data["actions"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{file} is no replay ({error}); name a file that samespace operate wrote") from None
