"""Pictures of the pages, made again: python docs/shots.py FOLDER [OUT]

Needs Chromium, the environment of `make test`, and `samespace assistants pull starter`. FOLDER is made and filled: the demo's
photographs, the package's drawings, a film and a document of them. OUT is docs/ unless another is named.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from media_files import document, film  # noqa: E402
from serving import serving  # noqa: E402

import benchmarks.torchvision_on_cpu  # noqa: E402, F401
import samespace  # noqa: E402
from samespace import hub  # noqa: E402
from samespace.library.contact_sheet import write_sheet  # noqa: E402
from samespace.library.demo import photographs  # noqa: E402
from samespace.server.app import create_app  # noqa: E402

DRAWINGS = 60
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb"]


def fill(folder: Path) -> None:
    """A small folder with everything in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in photographs():
        shutil.copy(file, folder)
    for file in sorted((hub.STARTER.parent / "held_out").glob("*.webp"))[:DRAWINGS]:
        shutil.copy(file, folder)
    scenes = [Image.open(file).convert("RGB").resize((640, 480)) for file in photographs()]
    film(folder / "holiday.mp4", [(scene, 4.0) for scene in scenes])
    document(folder / "invoice.pdf", ["Two cups of coffee and a motorcycle", "The total is 2,931 euros"])


def sheet(browser: Browser, library: samespace.Library, out: Path, scratch: Path) -> None:
    """The demo's photographs by themselves, as `search --grid` shows them."""
    few, asked = scratch / "photographs", "something hot to drink"
    few.mkdir()
    for file in photographs():
        shutil.copy(file, few)
    library.add([few])
    write_sheet(made := scratch / "sheet.html", asked, library.search(asked))
    made.write_text(made.read_text("utf-8").replace(str(scratch), "~"), "utf-8")
    page = browser.new_page(viewport={"width": 1100, "height": 640})
    page.goto(made.as_uri())
    page.screenshot(path=out / "sheet.png")


def search(page: Page, out: Path) -> None:
    page.fill("#query", "a cat")
    page.wait_for_selector(".hit.best img")
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "page.png")
    page.click(".hit.best")
    page.wait_for_selector("#why-words button")
    page.wait_for_timeout(3000)
    page.screenshot(path=out / "why.png")


def ask(page: Page, out: Path) -> None:
    page.set_input_files("#file", str(photographs()[0]))
    page.wait_for_selector("#picture:not([hidden])")
    page.fill("#question", "What is in this image?")
    page.click("#send")
    page.wait_for_selector("text=Where did it look?", timeout=120_000)
    page.wait_for_timeout(500)
    page.screenshot(path=out / "ask.png")


def learn(page: Page, out: Path) -> None:
    for section, ready in (
        ("matrix", "#matrix td"), ("space", "#space .photo.best"), ("inside", "#inside canvas"), ("costs", "#costs td"),
    ):  # fmt: skip
        page.locator(f"#{section}").scroll_into_view_if_needed()
        page.wait_for_selector(ready, timeout=120_000)
        page.wait_for_timeout(2500)
        page.evaluate("id => window.scrollTo(0, document.getElementById(id).getBoundingClientRect().top + scrollY - 90)", section)
        page.wait_for_timeout(500)
        page.screenshot(path=out / f"learn-{section}.png")


def still(page: Page, out: Path) -> None:
    page.wait_for_timeout(1500)
    page.screenshot(path=out / f"{page.url.rsplit('/', 1)[-1]}.png")


def main(folder: Path, out: Path) -> None:
    fill(folder)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        library = samespace.Library(Path(scratch) / "library", "starter")
        library.add([folder])
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        with serving(create_app(library, "starter")) as address:
            for path, take in (("", search), ("ask", ask), ("learn", learn), ("library", still), ("spaces", still)):
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(f"{address}/{path}")
                take(page, out)
        sheet(browser, samespace.Library(Path(scratch) / "few", "starter"), out, Path(scratch))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else HERE)
