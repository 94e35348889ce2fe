"""A screen as MCP tools: open a page, look at it, act on it, or leave the whole task to a policy."""

import functools
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar

from mcp.server.mcpserver import Image

from ..core.errors import QueryError
from ..operating.local.marks import read_screen
from ..operating.loop import Limits, Operation, clicked_on
from ..operating.operate import open_policy
from ..operating.screen.actions import Zoom, from_json
from ..operating.screen.consent import Consent
from ..operating.screen.driver import BrowserDriver, origin_of, settled
from ..operating.screen.policy import Policy

R = TypeVar("R")
Method = Callable[..., R]


def on_own_thread(method: Method[R]) -> Method[R]:
    """Let a method run on the thread that its browser belongs to."""

    @functools.wraps(method)
    def wrapper(self: "ScreenTools", *args: Any, **kwargs: Any) -> R:
        return self.thread.submit(method, self, *args, **kwargs).result()

    return wrapper


class ScreenTools:
    """One page in a browser of its own; it goes to the allowed origins only, and asks nobody: what would be asked is refused."""

    def __init__(self, allowed: tuple[str, ...], confirm: str, policy: str):
        """allowed: origins; confirm: as `samespace operate` has it; policy: what decides in `operate_page`."""
        self.allowed, self.consent, self.policy = tuple(map(origin_of, allowed)), Consent(confirm, lambda question: False), policy
        self.thread = ThreadPoolExecutor(1)
        self.driver: BrowserDriver | None = None
        self.opened: Policy | None = None

    @on_own_thread
    def open_page(self, url: str) -> dict[str, Any]:
        """Open a page in a fresh browser; the one before it is closed."""
        if origin_of(url) not in self.allowed:
            raise QueryError(f"{origin_of(url)} is not allowed; start the server with --operate {origin_of(url)}")
        if self.driver:
            self.driver.close()
        self.driver = None
        self.driver = BrowserDriver(url, self.allowed)
        return {"url": self.driver.url(), "width": self.driver.size[0], "height": self.driver.size[1]}

    @on_own_thread
    def look(self) -> list[Any]:
        """Return a screenshot of the page, and the text on it with its places in pixels."""
        driver = self._open()
        picture = settled(driver)
        marks = [{"text": m.text, "x": m.middle[0], "y": m.middle[1]} for m in read_screen(picture).lines]
        out = io.BytesIO()
        picture.save(out, "PNG")
        return [Image(data=out.getvalue(), format="png"), {"url": driver.url(), "marks": marks, "notes": self._notes(driver)}]

    @on_own_thread
    def act(self, action: dict[str, Any]) -> dict[str, Any]:
        """Do something on the page, as {"action": "click", "x": 10, "y": 20}, {"action": "type", "text": "…"}, {"action": "key", "keys": "enter"},
        {"action": "scroll", "x": 10, "y": 20, "dy": 300}, {"action": "drag", "path": [[1, 2], [3, 4]]}, in pixels of the screenshot.
        """
        driver, wanted = self._open(), from_json(action)
        if isinstance(wanted, Zoom):
            raise QueryError("look at the screenshot and enlarge it yourself; zoom is for models that are shown one size")
        if refusal := self.consent.refusal(wanted, clicked_on(wanted, self.consent, driver), str(wanted), driver.focus()):
            raise QueryError(f"{refusal}; start the server with --confirm never to allow it")
        driver.act(wanted)
        return {"done": str(wanted), "url": driver.url(), "notes": self._notes(driver)}

    @on_own_thread
    def operate_page(self, task: str, steps: int = 20) -> dict[str, Any]:
        """Do a task on the open page: "Type Ada into Name and press Send"."""
        driver = self._open()
        self.opened = self.opened or open_policy(self.policy)
        return asdict(Operation(driver, self.opened, self.consent, Limits(min(max(1, steps), 100))).run(task))

    def _open(self) -> BrowserDriver:
        if self.driver is None:
            raise QueryError("no page is open; call open_page first")
        return self.driver

    @staticmethod
    def _notes(driver: BrowserDriver) -> list[str]:
        notes, driver.notes[:] = list(driver.notes), []
        return notes

    def close(self) -> None:
        """End the browser."""
        if self.driver is not None:
            self.thread.submit(self.driver.close).result()
        self.thread.shutdown()
