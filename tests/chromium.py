"""A browser for tests of the pages, and pages that complain where their console does."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:  # the tests are skipped, or in CI fail
    expect = sync_playwright = None
else:
    expect.set_options(timeout=60_000)  # torch is imported, and a batch trained, on a machine that may be busy
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or expect is None, reason="no Chromium, or no playwright; install Debian's package chromium"
    ),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root in a container needs it
        yield browser
        browser.close()


class _Shared:
    """A browser that many have: closing it closes what was opened in it."""

    def __init__(self, browser):
        self._browser, self._contexts = browser, []

    def new_context(self, **options):
        self._contexts.append(self._browser.new_context(**options))
        return self._contexts[-1]

    def close(self) -> None:
        while self._contexts:
            self._contexts.pop().close()


class _Running:
    """Stands for a Playwright that goes on when it is to be stopped."""

    def stop(self) -> None:
        pass


@pytest.fixture(scope="module")
def shared_chromium(browser):
    """Drivers get new profiles of one Chromium, instead of starting one each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("samespace.operating.screen.driver.start_chromium", lambda headed=False: (_Running(), _Shared(browser)))
        yield


@contextmanager
def opened(browser, address: str, where: str = "", **options) -> Iterator:
    """A page that fails the test when its console complains or a request goes elsewhere."""
    page, wrong = browser.new_page(**{"viewport": {"width": 1280, "height": 800}} | options), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else wrong.append(r.url))
    page.goto(address + where)
    yield page
    page.close()
    assert not wrong, wrong
