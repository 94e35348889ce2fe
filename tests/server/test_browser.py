"""What a person does on the pages, in a real browser; nothing leaves the machine and nothing is logged as wrong."""

import shutil
import threading
import time

import pytest
import uvicorn

import samespace
from samespace.library import Library
from samespace.server.app import create_app

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=20_000)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; install Debian's package chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory, photographs, tiny_folder):
    """A running server over the demo's photographs, with the starter."""
    library = Library(tmp_path_factory.mktemp("web") / "library", samespace.load("starter"))
    library.add([photographs])
    server = uvicorn.Server(uvicorn.Config(create_app(library, str(tiny_folder)), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root in a container needs it
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page that fails the test when its console complains or a request goes elsewhere."""
    page, wrong = browser.new_page(viewport={"width": 1280, "height": 800}), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else wrong.append(r.url))
    page.goto(address)
    yield page
    page.close()
    assert wrong == []


def best(page):
    return page.locator(".hit.best img")


def find(page, words: str, name: str) -> None:
    page.fill("#query", words)
    expect(best(page)).to_have_attribute("alt", name)


def test_results_fill_as_one_types(page):
    find(page, "a cat", "chelsea.png")
    find(page, "a cup of coffee", "coffee.png")
    expect(page.locator("#status")).to_contain_text("likely")
    assert page.evaluate("[...document.querySelectorAll('.hit img')].some(i => i.complete && i.naturalWidth > 0)")


def test_a_link_to_a_search_finds_the_same(page, address):
    page.goto(f"{address}/?q=a+cup+of+coffee")
    expect(best(page)).to_have_attribute("alt", "coffee.png")


def test_why_it_matched_word_by_word(page):
    find(page, "a cat", "chelsea.png")
    page.click(".hit.best button")
    expect(page.locator("#viewer-map.on")).to_be_visible()
    expect(page.locator("#viewer-name")).to_have_text("chelsea.png")
    expect(page.locator("#viewer-facts")).to_contain_text("300 px")
    painted = "document.getElementById('viewer-map').toDataURL()"
    whole = page.evaluate(painted)
    page.hover("#why-words button:last-child")
    expect(page.locator("#why-words button:last-child")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(painted) != whole


def test_more_like_this_and_not_this(page):
    find(page, "a cat", "chelsea.png")
    page.click(".hit.best button")
    page.click("#more")
    expect(page.locator(".term")).to_contain_text("like chelsea.png")
    expect(best(page)).not_to_have_attribute("alt", "chelsea.png")
    page.click(".term")
    expect(best(page)).to_have_attribute("alt", "chelsea.png")


def test_a_dropped_picture_is_searched_with(page, photographs):
    page.set_input_files("#file", photographs / "coffee.png")
    expect(best(page)).to_have_attribute("alt", "coffee.png")


def test_asking_streams_an_answer_and_goes_on(page, address, photographs):
    page.goto(f"{address}/ask")
    expect(page.locator("#question")).to_be_disabled()
    page.set_input_files("#file", photographs / "coffee.png")
    page.fill("#question", "What is it?")
    page.keyboard.press("Enter")
    expect(page.locator(".turns .mine")).to_have_text("What is it?")
    expect(page.locator("#send")).to_be_visible()
    page.click(".try >> nth=1")
    expect(page.locator(".turns .mine")).to_have_count(2)
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator(".turns .wrong")).to_have_count(0)


def test_a_hit_is_asked_about(page):
    find(page, "a cat", "chelsea.png")
    page.click(".hit.best button")
    page.click("text=Ask about it")
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("#question")).to_be_enabled()


def test_a_folder_is_added_and_watched(page, address, tmp_path, photographs):
    shutil.copy(photographs / "coffee.png", tmp_path / "☕ cup.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.goto(f"{address}/library")
    page.fill("#folder", str(tmp_path))
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_contain_text("1 added")
    expect(page.locator("#skipped summary")).to_have_text("1 skipped, and why")
    page.fill("#folder", "/no/such/folder")
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_contain_text("does not exist")


def test_a_broken_picture_is_one_sentence(browser, address):
    page = browser.new_page()
    page.goto(address)
    page.set_input_files("#file", {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#status.wrong")).to_contain_text("not a picture in any format we know")
    page.close()


def test_by_keyboard_alone(page):
    page.keyboard.type("a rocket")
    page.wait_for_selector(".hit.best")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    opened = page.inner_text("#viewer-name")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-name")).not_to_have_text(opened)
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (2560, "light")])
def test_pictures_fit_every_screen(browser, address, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(f"{address}/?q=a+cat")
    page.wait_for_selector(".hit.best")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = page.evaluate("[...document.querySelectorAll('.hit')].map(h => h.getBoundingClientRect().toJSON())")
    assert all(box["left"] >= 0 and box["right"] <= width and box["height"] > 60 for box in boxes)
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(shade) < 150) == (scheme == "dark")
    page.close()
