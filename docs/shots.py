"""Take the screenshots of the documentation: python docs/shots.py FOLDER [OUT]

Needs Chromium, the environment of `make test`, and `samespace assistants pull starter`. FOLDER is made and filled with the
demo's photographs, the package's drawings, a video and a document. OUT is docs/ unless another is named.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from media_files import write_document, write_video  # noqa: E402
from serving import serving  # noqa: E402

import benchmarks.torchvision_on_cpu  # noqa: E402, F401
import samespace  # noqa: E402
from samespace.course.screen_loop import PAGE  # noqa: E402
from samespace.library.contact_sheet import write_contact_sheet  # noqa: E402
from samespace.library.demo import photographs  # noqa: E402
from samespace.server.app import create_app  # noqa: E402
from samespace.spaces.registry import STARTER  # noqa: E402

DRAWINGS = 60
"""Drawings in the folder."""
DRAWN = ("a red apple", "a smiling cat", "a blue car", "dog + snow", "a green tree", "a yellow star", "a fish", "a house")
"""What is drawn: as it comes, good or bad."""
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb"]


def fill(folder: Path) -> None:
    """Fill a folder with images, a video and a document."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in photographs():
        shutil.copy(file, folder)
    for file in sorted((STARTER.parent / "convert" / "held_out").glob("*.webp"))[:DRAWINGS]:
        shutil.copy(file, folder)
    scenes = [Image.open(file).convert("RGB").resize((640, 480)) for file in photographs()]
    write_video(folder / "holiday.mp4", [(scene, 4.0) for scene in scenes])
    write_document(folder / "invoice.pdf", ["Two cups of coffee and a motorcycle", "The total is 2,931 euros"])


def shoot_contact_sheet(browser: Browser, library: samespace.Library, out: Path, scratch: Path) -> None:
    """Show the demo's photographs by themselves, as `search --grid` does."""
    folder, query = scratch / "photographs", "something hot to drink"
    folder.mkdir()
    for file in photographs():
        shutil.copy(file, folder)
    library.add([folder])
    sheet = scratch / "sheet.html"
    write_contact_sheet(sheet, query, library.search(query))
    sheet.write_text(sheet.read_text("utf-8").replace(str(scratch), "~"), "utf-8")
    page = browser.new_page(viewport={"width": 1100, "height": 640})
    page.goto(sheet.as_uri())
    page.screenshot(path=out / "sheet.png")


def shoot_search(page: Page, out: Path) -> None:
    """Show hits, then one of them with its heat map."""
    page.fill("#query", "a cat")
    page.wait_for_selector(".hit.best img")
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "page.png")
    page.click(".hit.best")
    page.wait_for_selector("#why-words button")
    page.wait_for_timeout(3000)
    page.screenshot(path=out / "why.png")


def shoot_ask(page: Page, out: Path) -> None:
    """Show a question and its answer."""
    page.set_input_files("#file", str(photographs()[0]))
    page.wait_for_selector("#picture:not([hidden])")
    page.fill("#question", "What is in this image?")
    page.click("#send")
    page.wait_for_selector("text=Where did it look?", timeout=120_000)
    page.wait_for_timeout(500)
    page.screenshot(path=out / "ask.png")


def shoot_course(page: Page, out: Path) -> None:
    """Show four exercises."""
    for exercise, ready in (
        ("matrix", "#matrix td"), ("space", "#space .photo.best"), ("patch", "#patch canvas"), ("costs", "#costs td"),
    ):  # fmt: skip
        page.locator(f"#{exercise}").scroll_into_view_if_needed()
        page.wait_for_selector(ready, timeout=120_000)
        page.wait_for_timeout(2500)
        page.evaluate(
            "id => window.scrollTo(0, document.getElementById(id).getBoundingClientRect().top + scrollY - 90)", exercise
        )
        page.wait_for_timeout(500)
        page.screenshot(path=out / f"learn-{exercise}.png")


def shoot_page(page: Page, out: Path) -> None:
    """Show a page as it opens."""
    page.wait_for_timeout(1500)
    page.screenshot(path=out / f"{page.url.rsplit('/', 1)[-1]}.png")


PAGES = {"": shoot_search, "ask": shoot_ask, "learn": shoot_course, "library": shoot_page, "spaces": shoot_page}


def shoot_drawings(out: Path) -> None:
    """Draw four of each of DRAWN with the starter, every one the best of eight, and write what was asked for below them."""
    generator, side, font = samespace.load_generator("starter"), 128, ImageFont.load_default(16)
    whole = Image.new("RGB", (len(DRAWN) // 2 * (2 * side + 16), 2 * (2 * side + 32)), "white")
    for i, query in enumerate(DRAWN):
        left, top = i % (len(DRAWN) // 2) * (2 * side + 16), i // (len(DRAWN) // 2) * (2 * side + 32)
        for j, drawing in enumerate(generator.draw(query, 4, best_of=8)):
            large = drawing.resize((side, side), Image.Resampling.BICUBIC)
            whole.paste(large, (left + j % 2 * side, top + j // 2 * side), large)
        ImageDraw.Draw(whole).text((left + 8, top + 2 * side + 4), query, "#444", font)
    whole.save(out / "draw.png")


def shoot_replay(browser: Browser, out: Path, scratch: Path) -> None:
    """Let the local policy order tea on the lesson's page, and show the first step of its replay."""
    page = browser.new_page(viewport={"width": 640, "height": 400})
    page.set_content(PAGE.read_text("utf-8"))
    samespace.operate(page, "Type Ada into Name, check Green tea and press Order", replay=scratch / "replay.html")
    page.set_viewport_size({"width": 900, "height": 760})
    page.goto((scratch / "replay.html").as_uri())
    page.screenshot(path=out / "operate.png")


def main(folder: Path, out: Path) -> None:
    """Index a folder, serve it, and take all screenshots."""
    fill(folder)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        scratch = Path(name)
        library = samespace.Library(scratch / "library", "starter")
        library.add([folder])
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_OPTIONS)
        with serving(create_app(library, "starter")) as address:
            for path, shoot in PAGES.items():
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(f"{address}/{path}")
                shoot(page, out)
        shoot_contact_sheet(browser, samespace.Library(scratch / "few", "starter"), out, scratch)
        shoot_replay(browser, out, scratch)
        shoot_drawings(out)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else HERE)
