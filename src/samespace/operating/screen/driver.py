"""What a screen is looked at and acted on through; the first kind is a page in Chromium, over Playwright.

Pixels in, pixels out: nothing here tells a policy what the page consists of.
"""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from PIL import Image

from ...core.errors import MissingExtra, OperationStopped, RequestError, error_summary
from .actions import Action, Click, Done, Drag, HoldKey, Key, Move, Screenshot, Scroll, Type, Wait, Zoom, check
from .keys import chord
from .policy import REFUSED

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Dialog, Page, Route

SIZE = (1280, 800)
"""Pixels of a window."""
PASSWORD, FIELD, OTHER, UNKNOWN = "password", "field", "other", "unknown"
"""What has the keyboard: a password field, another field to type into, something else, or what cannot be seen."""
PORTS = {"http": 80, "https": 443}
LOADING_SECONDS = 20.0
"""How long a page may take to load."""
SETTLING_SECONDS = 0.4
"""How long is waited after an action, before the next look."""
HOVERING_MS = 40.0
"""Between the mouse's coming and its click: what changes under it has changed by then."""
TYPING_MS = 5.0
"""Between two characters."""
FOCUSED = (
    "() => { let e = document.activeElement; while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement; return e }"
)
"""What has the keyboard in a document, also in the shadow trees that are open."""
KIND = """e => {
    const press = ["button", "submit", "reset", "checkbox", "radio", "image", "file", "color", "range"]
    if (e.type === "password" || (e.tagName.includes("-") && !e.shadowRoot)) return "password"  // what is in a closed tree nobody sees
    const field = e.isContentEditable || e.tagName === "TEXTAREA" || (e.tagName === "INPUT" && !press.includes(e.type))
    return field ? "field" : "other"
}"""
"""Its kind."""


class Driver(Protocol):
    """A screen."""

    size: tuple[int, int]
    """Pixels: width and height of a screenshot, in which all coordinates are."""

    def screenshot(self) -> Image.Image:
        """Return what is shown: RGB, of `size`. Raises OperationStopped where there is nothing to be seen any more."""
        ...

    def act(self, action: Action) -> None:
        """Do something. Raises RequestError where it cannot be done, OperationStopped where the screen is gone."""
        ...

    def wait(self, seconds: float) -> None:
        """Let the screen be for some seconds."""
        ...

    def url(self) -> str:
        """Return the address that is shown; empty where there is none."""
        ...

    def focus(self) -> str:
        """Return what has the keyboard: PASSWORD, FIELD, OTHER or UNKNOWN. It is asked for safety alone, and no policy sees it."""
        ...

    def close(self) -> None:
        """End all that was started."""
        ...


class PageDriver:
    """A page of Playwright's that the caller owns."""

    def __init__(self, page: "Page"):
        self.page = page
        self.notes: list[str] = []
        """What happened beside the page: dialogs, windows, downloads; whoever reads them empties the list."""
        viewport = page.viewport_size
        width, height = (viewport["width"], viewport["height"]) if viewport else page.evaluate("[innerWidth, innerHeight]")
        self.scale = float(page.evaluate("devicePixelRatio"))
        self.size = (round(width * self.scale), round(height * self.scale))
        if min(self.size) < 1:
            raise OperationStopped(f"the window has {self.size[0]} × {self.size[1]} pixels; give it a size")
        page.on("dialog", self._answer)

    def screenshot(self) -> Image.Image:
        """Return what the window shows. Raises OperationStopped."""
        with self._alive():
            data = self.page.screenshot(scale="device", caret="initial", timeout=1000 * LOADING_SECONDS)
        return Image.open(io.BytesIO(data)).convert("RGB")

    def act(self, action: Action) -> None:
        """Do something with mouse and keyboard. Raises RequestError, OperationStopped."""
        check(action, *self.size)
        with self._alive():
            self._act(action)

    def _act(self, action: Action) -> None:
        mouse, keyboard, scale = self.page.mouse, self.page.keyboard, self.scale
        match action:
            case Click(x, y, button, count, keys):
                mouse.move(x / scale, y / scale)
                self.page.wait_for_timeout(HOVERING_MS)
                with self._held(keys):
                    mouse.click(x / scale, y / scale, button=button, click_count=count)  # type: ignore[arg-type]
            case Move(x, y):
                mouse.move(x / scale, y / scale, steps=4)
            case Drag(path):
                mouse.move(path[0][0] / scale, path[0][1] / scale)
                mouse.down()
                for x, y in path[1:]:
                    mouse.move(x / scale, y / scale, steps=8)
                mouse.up()
            case Scroll(x, y, dx, dy):
                mouse.move(x / scale, y / scale)
                mouse.wheel(dx / scale, dy / scale)
            case Type(text):
                keyboard.type(text, delay=TYPING_MS)
            case Key(keys):
                with self._held(keys):
                    pass
            case HoldKey(keys, seconds):
                with self._held(keys):
                    self.wait(seconds)
            case Wait(seconds):
                self.wait(seconds)
            case Screenshot() | Zoom() | Done():
                pass
            case _:
                raise AssertionError(action)

    @contextmanager
    def _held(self, keys: str) -> Iterator[None]:
        """Hold keys, and let go of them whatever happens. Raises RequestError on one that no keyboard has."""
        names, down = chord(keys), list[str]()
        if unknown := [name for name in names if len(name) == 1 and not name.isascii()]:
            raise RequestError(f"no key is {unknown[0]!r}; type it as text")
        try:
            for name in names:
                down.append(name)
                self.page.keyboard.down(name)
            yield
        finally:
            for name in reversed(down):
                self.page.keyboard.up(name)

    def wait(self, seconds: float) -> None:
        """Let the page be for some seconds; what it does meanwhile is done."""
        with self._alive():
            self.page.wait_for_timeout(1000 * seconds)

    def url(self) -> str:
        """Return the page's address."""
        return str(self.page.url)

    def focus(self) -> str:
        """Return what has the keyboard, also in frames."""
        frame = self.page.main_frame
        with self._alive():
            while True:
                element = frame.evaluate_handle(FOCUSED).as_element()
                if element is None:
                    return OTHER
                inner = element.content_frame()
                if inner is None:
                    return str(element.evaluate(KIND))
                frame = inner

    def close(self) -> None:
        """Leave the page to its owner."""
        self.page.remove_listener("dialog", self._answer)

    def _answer(self, dialog: "Dialog") -> None:
        """Answer an alert or a prompt, which would stop everything: what it asks is refused."""
        self.notes.append(f"the page said: {dialog.message[:200]!r}")
        if dialog.type == "alert":
            dialog.accept()
        else:
            dialog.dismiss()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Turn what Playwright raises into one sentence."""
        from playwright.sync_api import Error

        try:
            yield
        except Error as error:
            gone = self.page.is_closed()
            raise OperationStopped(
                "the page was closed; open it again" if gone else f"the page does not answer ({_reason(error)}); try again"
            ) from None


class BrowserDriver(PageDriver):
    """A page in a Chromium of its own, with a fresh profile; it stays at the allowed origins."""

    def __init__(self, address: str, allowed: tuple[str, ...] = (), headed: bool = False, size: tuple[int, int] = SIZE):
        """allowed: origins, such as https://example.org, beside the address's own. Raises MissingExtra, OperationStopped."""
        self.allowed, self._opening, self._refused = {origin_of(one) for one in (address, *allowed)}, address, ""
        if bad := [one for one in (address, *allowed) if urlsplit(one).scheme not in ("http", "https")]:
            raise OperationStopped(f"{bad[0]} is no page of the web; give an address that begins with http:// or https://")
        self._playwright, self._browser = start_chromium(headed)
        try:
            self.context = self._browser.new_context(
                viewport={"width": size[0], "height": size[1]}, accept_downloads=False, permissions=[], service_workers="block"
            )
            self.context.route("**/*", self._refuse_windows)
            super().__init__(self.context.new_page())
            self._watch(self.context)
            self._watch_addresses(self.context)
            self._open(address)
        except BaseException:
            self.close()
            raise

    def _open(self, address: str) -> None:
        from playwright.sync_api import Error

        try:
            self.page.goto(address, timeout=1000 * LOADING_SECONDS, wait_until="load")
        except Error as error:
            if self.page.url == "about:blank":
                if self._refused:
                    raise OperationStopped(f"{address} leads elsewhere; {self._refused}") from None
                raise OperationStopped(f"{address} cannot be opened ({_reason(error)}); check the address") from None
            self.notes.append("the page is still loading")  # what is there can be seen
        self._opening = ""

    def _watch(self, context: "BrowserContext") -> None:
        """Refuse new windows and downloads."""
        self._windows: list[Page] = []
        context.on("page", lambda window: self._windows.append(window))  # a built-in is no handler
        self.page.on(
            "download", lambda download: self.notes.append(f"{REFUSED}: a download, {download.suggested_filename[:80]!r}")
        )

    def _refuse_windows(self, route: "Route") -> None:
        """Let a request through, unless it is of a new window."""
        from playwright.sync_api import Error

        try:
            route.request.frame  # noqa: B018  that of a new window is not there yet
        except Error:
            route.abort("blockedbyclient")
            return
        route.continue_()

    def _watch_addresses(self, context: "BrowserContext") -> None:
        """Stop what would lead the page elsewhere, redirects too. A route does not see those; the DevTools protocol's Fetch domain does."""
        from playwright.sync_api import Error

        session = context.new_cdp_session(self.page)
        page = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]

        def check(paused: dict[str, Any]) -> None:
            address, answer = paused["request"]["url"], {"requestId": paused["requestId"]}
            with suppress(Error):  # it may be cancelled by now
                if paused["frameId"] != page or self._admits(address):
                    session.send("Fetch.continueRequest", answer)
                    return
                self._refused = f"{REFUSED}: {origin_of(address)} is not allowed; allow it with --allow-origin"
                self.notes.append(self._refused)
                session.send("Fetch.failRequest", answer | {"errorReason": "Aborted"})  # the page stays where it is

        session.on("Fetch.requestPaused", check)
        session.send("Fetch.enable", {"patterns": [{"resourceType": "Document", "requestStage": "Request"}]})

    def _admits(self, address: str) -> bool:
        """Whether the page may go to an address; where the first one only leads to its https or its www, that is admitted, too."""
        origin = origin_of(address)
        if self._opening and is_same_site(self._opening, address):
            self.allowed.add(origin)
        return origin in self.allowed

    def act(self, action: Action) -> None:
        """Do something, and close the windows that it opened. Raises RequestError, OperationStopped."""
        super().act(action)
        self.wait(SETTLING_SECONDS)
        while self._windows:
            window = self._windows.pop()
            self.notes.append(f"{REFUSED}: a new window, {window.url[:100]!r}")
            window.close()

    def close(self) -> None:
        """End Chromium and all that it started."""
        for end in (self._browser.close, self._playwright.stop):
            with suppress(Exception):  # it is gone already
                end()


def start_chromium(headed: bool = False) -> tuple[Any, Any]:
    """Start Playwright and a Chromium: the system's where there is one, else Playwright's. Raises MissingExtra, OperationStopped."""
    import os
    import shutil

    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise MissingExtra("operating pages", "operate") from None
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    started = sync_playwright().start()
    try:
        return started, started.chromium.launch(executable_path=system, headless=not headed, args=root)
    except Error as error:
        started.stop()
        raise OperationStopped(
            f"Chromium does not start ({error_summary(error)}); install it, or run: playwright install chromium"
        ) from None


def _reason(error: Exception) -> str:
    """Return what Playwright says, without the name of its function, and without its log."""
    return error_summary(error).partition(" Call log:")[0].partition(": ")[2] or error_summary(error)


def origin_of(address: str) -> str:
    """Return the origin of an address, as browsers write it: https://example.org, with a port that is not the scheme's own. Raises OperationStopped."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    except ValueError as error:  # UnicodeError is one
        raise OperationStopped(f"{address!r} is no address ({error}); give one such as https://example.org") from None
    return f"{parts.scheme}://{host}{f':{port}' if port and port != PORTS.get(parts.scheme) else ''}"


def is_same_site(one: str, other: str) -> bool:
    """Whether two addresses, on the default ports, differ by http and https, or by a www before the name, at the most."""
    hosts = [urlsplit(address).netloc.lower().removeprefix("www.") for address in (one, other)]
    return hosts[0] == hosts[1] and ":" not in hosts[0]


def settled(driver: Driver, seconds: float = 3.0) -> Image.Image:
    """Return a screenshot of which two in a row are the same, or the last one after some seconds: pages move while they load."""
    end, last = time.monotonic() + seconds, driver.screenshot()
    while time.monotonic() < end:
        driver.wait(0.15)
        now = driver.screenshot()
        if now.tobytes() == last.tobytes():
            break
        last = now
    return last
