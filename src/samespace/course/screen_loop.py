"""The loop of computer use, live: a screenshot, what is on it, what is done; on a page that comes along."""

import io
import threading
from base64 import b64encode
from pathlib import Path
from typing import Any

from ..core.errors import RequestError
from ..operating.local.policy import LocalPolicy
from ..operating.loop import Limits, Operation, Step
from ..operating.screen.actions import Action
from ..operating.screen.consent import NEVER, Consent
from ..operating.screen.driver import PageDriver, start_chromium
from ..operating.screen.policy import Mark
from ..spaces.space import Space

PAGE = Path(__file__).with_name("screen.html")
SIZE = (640, 400)
"""Pixels of the window."""
LIMITS = Limits(steps=8, seconds=60)
MOST_MARKS = 8
"""Marks of a step that are shown."""
_RUNNING = threading.Lock()
"""One browser at a time."""


def operate_page(space: Space, task: str) -> dict[str, Any]:
    """Do a task on the page in a Chromium that reaches no network: every step, and how it ended.

    Raises RequestError where the task is not understood or another one is being done, MissingExtra, OperationStopped.
    """
    if not _RUNNING.acquire(blocking=False):
        raise RequestError("the browser is busy with another task; wait until it is done")
    try:
        return _operated(space, task)
    finally:
        _RUNNING.release()


def _operated(space: Space, task: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    playwright, browser = start_chromium()
    try:
        page = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]}, offline=True).new_page()
        page.set_content(PAGE.read_text("utf-8"))
        consent = Consent(NEVER, lambda question: True)  # the page is ours, and nothing leaves it
        operation = Operation(PageDriver(page), LocalPolicy(space), consent, LIMITS, lambda step: steps.append(_shown(step)))
        outcome = operation.run(task)
    finally:
        browser.close()
        playwright.stop()
    return {"steps": steps, "reached": outcome.reached, "answer": outcome.answer, "reason": outcome.reason}


def _shown(step: Step) -> dict[str, Any]:
    """Return a step as the page shows it."""
    out = io.BytesIO()
    step.look.screenshot.save(out, "WEBP", quality=85)
    return {
        "screenshot": "data:image/webp;base64," + b64encode(out.getvalue()).decode(),
        "thought": step.decision.thought,
        "marks": [_mark(mark) for mark in step.decision.marks[:MOST_MARKS]],
        "actions": [_action(action) for action in step.done],
        "result": step.result,
        "seconds": round(step.seconds, 1),
    }


def _mark(mark: Mark) -> dict[str, Any]:
    return {"box": [mark.left, mark.top, mark.right, mark.bottom], "text": mark.text, "score": round(mark.score, 2)}


def _action(action: Action) -> dict[str, Any]:
    return {"text": str(action), "points": list(action.points)}
