"""Look, decide, act, look again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from PIL import Image

from ..core.errors import OperationStopped, RequestError
from .local.marks import written
from .screen.actions import Action, Done, HoldKey, Key, Type, Zoom
from .screen.consent import NEVER, Consent, pressed, types
from .screen.driver import PASSWORD, UNKNOWN, Driver, settled
from .screen.policy import Decision, Look, Mark, Outcome, Policy

MOST_STEPS = 20
MOST_SECONDS = 600.0
MOST_TOKENS = 500_000
MOST_NONSENSE = 3
"""Answers in a row that are no actions, after which a model is given up."""
HIDDEN = "•" * 8
"""What is shown in place of what was typed into a password field."""


@dataclass(frozen=True)
class Limits:
    """How long an operation may last."""

    steps: int = MOST_STEPS
    seconds: float = MOST_SECONDS
    tokens: int = MOST_TOKENS


@dataclass(frozen=True)
class Step:
    """A look, a decision, and what came of it."""

    number: int
    look: Look
    decision: Decision
    done: tuple[Action, ...]
    """What was done of it; what was typed into a password field is hidden."""
    secrets: tuple[str, ...]
    """What was typed into password fields until now."""
    result: str
    """In a line."""
    seconds: float


OnStep = Callable[[Step], None]


def without(secrets: Sequence[str], text: str) -> str:
    """Return a text with what was typed into password fields hidden, as it stands, in quotes and in addresses."""
    forms = {form for secret in secrets if secret for form in (secret, repr(secret)[1:-1], quote(secret), quote_plus(secret))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


class Operation:
    """A task on a screen."""

    def __init__(
        self, driver: Driver, policy: Policy, consent: Consent, limits: Limits = Limits(), on_step: OnStep | None = None
    ):
        self.driver, self.policy, self.consent, self.limits = driver, policy, consent, limits
        self.on_step = on_step or (lambda step: None)
        self.outcome = Outcome()
        self.secrets: list[str] = []

    def run(self, task: str) -> Outcome:
        """Do a task; what was done until Ctrl-C stays. Raises RequestError where the task is not understood."""
        self.policy.begin(task, self.driver.size)
        started, nonsense, closer = time.monotonic(), 0, None
        done, pending = list[Action](), list[str]()
        while self.outcome.steps < self.limits.steps:
            if time.monotonic() - started > self.limits.seconds or self.outcome.tokens > self.limits.tokens:
                return self._end(
                    f"the limit of {self.limits.seconds:g} s and {self.limits.tokens:,} tokens is reached; allow more: --seconds, --tokens"
                )
            begun = time.monotonic()
            try:
                look = Look(settled(self.driver), self.driver.url(), tuple([*pending, *self._notes()]), len(done), closer)
                decision = self.policy.decide(look)
                nonsense = 0
            except RequestError as error:
                nonsense += 1
                done, pending = [], [*look.notes, str(error)]
                if nonsense == MOST_NONSENSE:
                    return self._end(str(error))
                continue
            except OperationStopped as error:
                return self._end(str(error))
            self.outcome.steps += 1
            self.outcome.tokens += decision.tokens
            done, pending = self._do(decision)
            closer = self._closer(done, look.screenshot)
            result = "; ".join(pending) or "done"
            secrets, seconds = tuple(self.secrets), time.monotonic() - begun
            self.on_step(Step(self.outcome.steps, look, decision, tuple(done), secrets, result, seconds))
            if done and isinstance(done[-1], Done):
                self.outcome.answer, self.outcome.reached = done[-1].answer, done[-1].reached
                return self._end("" if self.outcome.reached else done[-1].answer or "it cannot be done")
        return self._end(f"not done after {self.limits.steps} steps; allow more: --steps")

    def _do(self, decision: Decision) -> tuple[list[Action], list[str]]:
        """Do what was decided, until something cannot be done: return what was done, and why not."""
        done: list[Action] = []
        for action in decision.actions:
            if isinstance(action, Done):
                return [*done, action], []
            try:
                focus = self.driver.focus() if isinstance(action, Type | Key | HoldKey) else UNKNOWN
                hidden = focus == PASSWORD and types(action)
                shown = Type(HIDDEN) if hidden else action
                marks = (*decision.marks, *clicked_on(action, self.consent, self.driver))
                if hidden and isinstance(action, Type) and action.text:  # also where it is refused: the task may hold it
                    self.secrets.append(action.text)
                if refusal := self.consent.refusal(action, marks, str(shown), focus, decision.thought):
                    return done, [refusal]
                self.driver.act(action)
            except (RequestError, OperationStopped) as error:
                return done, [str(error)]
            done.append(shown)
        return done, []

    def _notes(self) -> list[str]:
        """Take what happened beside the screen."""
        notes: list[str] = getattr(self.driver, "notes", [])
        taken, notes[:] = list(notes), []
        self.outcome.notes += taken
        return taken

    @staticmethod
    def _closer(done: Sequence[Action], screenshot: Image.Image) -> Image.Image | None:
        """Return the part of the screen that was asked for last, enlarged."""
        zooms = [action for action in done if isinstance(action, Zoom)]
        if not zooms:
            return None
        box = zooms[-1]
        return screenshot.crop((box.left, box.top, box.right, box.bottom)).resize(screenshot.size, Image.Resampling.BICUBIC)

    def _end(self, reason: str) -> Outcome:
        self.outcome.reason = reason
        return self.outcome


def clicked_on(action: Action, consent: Consent, driver: Driver) -> Sequence[Mark]:
    """Return what is written on the screen now, where a person may have to be asked about a press: a policy may have named parts only."""
    return written(driver.screenshot()) if pressed(action) and consent.confirm != NEVER else ()
