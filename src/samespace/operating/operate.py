"""The front door: a task on a page that the caller owns, and who decides."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UnknownAssistant
from ..spaces import registry
from .adapters.anthropic import HOST as ANTHROPIC
from .adapters.anthropic import SINGLE, TOOLSET, AnthropicPolicy
from .adapters.chat import ChatPolicy
from .adapters.openai import HOST as OPENAI
from .adapters.openai import OpenAIPolicy
from .local.policy import LocalPolicy
from .loop import Limits, Operation
from .replay import Replay
from .screen.consent import NEVER, Ask, Consent
from .screen.desktop import SCHEME, DesktopDriver
from .screen.driver import BrowserDriver, Driver, PageDriver
from .screen.policy import Outcome, Policy

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOCAL = "local"
OLD_CLAUDES = (
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-sonnet-4-5",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-opus-4-7",
)
"""Beginnings of the names of Claudes that take the single tool."""


def open_policy(name: str, ask: Ask = lambda question: False) -> Policy:
    """Open what decides: `local`; `anthropic:MODEL` or `openai:MODEL`, with @ADDRESS for another address; or any assistant that sees.

    ask: asks a person where a provider warns. Raises UnknownAssistant, MissingExtra.
    """
    if name == LOCAL:
        return LocalPolicy(registry.load("starter"))
    provider, _, rest = name.partition(":")
    model, _, address = rest.partition("@")
    if provider in ("anthropic", "openai") and not model:
        raise UnknownAssistant(f"{name} names no model; write it as {provider}:MODEL")
    if provider == "anthropic":
        return AnthropicPolicy(model, address or ANTHROPIC, SINGLE if model.startswith(OLD_CLAUDES) else TOOLSET)
    if provider == "openai":
        return OpenAIPolicy(model, address or OPENAI, ask)
    from ..assistant.open import open_assistant

    return ChatPolicy(open_assistant(name))


def open_driver(address: str, allowed: tuple[str, ...] = (), headed: bool = False) -> Driver:
    """Open what is operated: a web page in a browser of its own, or `desktop`, an X11 display. Raises MissingExtra, OperationStopped."""
    if address.partition(":")[0] == SCHEME:
        return DesktopDriver(address)
    return BrowserDriver(address, allowed, headed)


def operate(
    page: "Page", task: str, assistant: str = LOCAL, *, confirm: str = NEVER, ask: Ask = lambda question: False, steps: int = 20,
    replay: str | Path | None = None,
) -> Outcome:  # fmt: skip
    """Do a task on a Playwright page that the caller owns, as in a test suite; the page stays open.

    assistant: see `open_policy`. confirm: always, submits or never; what is then asked goes to `ask`. replay: an HTML file to write.
    Raises RequestError where the task is not understood, UnknownAssistant, MissingExtra, OperationStopped.
    """
    driver, policy = PageDriver(page), open_policy(assistant, ask)
    record = Replay(Path(replay), task, driver.url()) if replay else None
    operation = Operation(driver, policy, Consent(confirm, ask), Limits(steps=steps), record.add if record else None)
    try:
        return operation.run(task)
    finally:
        driver.close()
        if record:
            record.end(operation)
