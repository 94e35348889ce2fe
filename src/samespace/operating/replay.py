"""What was seen and done, as one HTML file that stands alone, and can be gone on from."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..core.errors import RequestError
from ..core.files import write_text_atomically
from ..media.image import data_uri, jpeg
from .loop import Step
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


class Replay:
    """A replay that is written after every step, so that what was done is never lost."""

    def __init__(self, file: Path, task: str, address: str, earlier: Sequence[Action] = ()):
        """earlier: what was done in the replay that this one goes on from."""
        self.file, self.task, self.address = file, task, address
        self.sections: list[str] = []
        self.actions: list[dict[str, Any]] = [to_json(action) for action in earlier]

    def add(self, step: Step) -> None:
        """Add a step and write the file. Raises OSError."""
        self.sections.append(section(step))
        self.actions += [to_json(action) for action in step.done]
        self.write()

    def write(self, ending: str = "") -> None:
        """Write the file, whole or not at all. Raises OSError."""
        data = {"task": self.task, "address": self.address, "actions": self.actions}
        stored = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
        write_text_atomically(
            self.file,
            f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(self.task)}</title><style>{STYLE}</style>"
            f"<h1>{escape(self.task)}</h1><p class='note'>{escape(self.address)}</p>{''.join(self.sections)}"
            f"<p><b>{escape(ending)}</b></p><script type='application/json' id='{DATA}'>{stored}</script></html>",
        )


def section(step: Step) -> str:
    """Return a step as HTML: the screenshot with its marks and what was done, and what came of it."""
    width, height = step.look.screenshot.size
    picture = data_uri(jpeg(step.look.screenshot, SIDE), "jpeg")
    marks = "".join(_mark(mark, i) for i, mark in enumerate(step.decision.marks[:MARKS]))
    shapes = "".join(_shape(action) for action in step.done)
    done = "; ".join(map(str, step.done)) or "nothing"
    return (
        f"<section><h2>{step.number}. {escape(done)}</h2><p>{escape(step.decision.thought)}</p>"
        f"<figure><img alt='The screen before step {step.number}' src='{picture}'>"
        f"<svg viewBox='0 0 {width} {height}' aria-hidden='true'>{marks}{shapes}</svg></figure>"
        f"<p class='result'>{escape(step.result)} · {step.seconds:.1f} s · {escape(step.look.url)}</p>"
        + "".join(f"<p class='note'>{escape(note)}</p>" for note in step.look.notes)
        + "</section>"
    )


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
