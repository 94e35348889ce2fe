"""What people do with copies on the page: see them, move some to the trash, take them back, keep all."""

import shutil

import pytest
from chromium import expect, needs_chromium, opened
from PIL import Image
from serving import serving

import samespace
from samespace.library.library import Library
from samespace.server.app import create_app

pytestmark = needs_chromium


@pytest.fixture
def album(tmp_path, photographs, own_trash):
    """Two photographs, three times each."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("astronaut", "coffee"):
        shutil.copy(photographs / f"{name}.png", folder)
        picture = Image.open(photographs / f"{name}.png").convert("RGB")
        picture.resize((picture.width // 2, picture.height // 2)).save(folder / f"{name} small.jpg")
        picture.rotate(90, expand=True).save(folder / f"{name} turned.jpg")
    return folder


@pytest.fixture
def address(tmp_path, album, tiny_folder):
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([album])
    with serving(create_app(library, str(tiny_folder))) as address:
        yield address


@pytest.fixture
def page(browser, address):
    with opened(browser, address, "/duplicates") as page:
        yield page


def test_copies_go_to_the_trash_and_come_back(page, album):
    expect(page.locator(".group")).to_have_count(2)
    group = page.locator(".group", has_text="coffee.png")
    expect(group.locator(".copy").first).to_contain_text("coffee.png · best")
    expect(group).to_contain_text("most pixels (600 × 400 px)")
    group.get_by_role("button", name="All but the best").click()
    expect(page.locator("#chosen")).to_contain_text("2 files")
    page.click("#trash")
    expect(page.locator("#sure")).to_contain_text("Move 2 files to the system's trash?")
    page.click("#no")
    assert (album / "coffee small.jpg").exists()
    page.click("#trash")
    page.click("#yes")
    expect(page.locator("#status")).to_contain_text("2 files moved to the trash")
    expect(page.locator(".group")).to_have_count(1)
    assert sorted(path.name for path in album.glob("coffee*")) == ["coffee.png"]
    page.click("#undo")
    expect(page.locator("#status")).to_contain_text("2 files taken back")
    expect(page.locator(".group")).to_have_count(2)
    assert len(list(album.glob("coffee*"))) == 3


def test_the_page_is_accessible(page):
    from axe_playwright_python.sync_playwright import Axe

    expect(page.locator(".group")).to_have_count(2)
    page.locator("text=All but the best").first.click()
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}).response
    assert [violation["id"] for violation in found["violations"]] == []


def test_all_of_a_group_are_kept(page):
    page.locator(".group", has_text="coffee.png").get_by_role("button", name="Keep all").click()
    expect(page.locator(".group")).to_have_count(1)
    page.reload()
    expect(page.locator(".group")).to_have_count(1)
    page.locator(".group").get_by_role("button", name="Hide the others").click()
    expect(page.locator(".group")).to_have_count(0)
    page.reload()
    expect(page.locator("#status")).to_contain_text("No copies")


def test_conditions_narrow_the_groups(browser, address):
    page = browser.new_page()  # the console names the response that an error is
    page.goto(f"{address}/duplicates")
    page.fill("#where", "name:coffee")
    expect(page.locator(".group")).to_have_count(1)
    page.fill("#where", "name:coffee kind:")
    expect(page.locator("#status.wrong")).to_contain_text("cannot be understood")
    page.close()


def test_a_stack_is_one_tile_whose_files_can_be_seen(page, address):
    page.goto(address)
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.locator(".badge.stack").first).to_have_text("❐ 3")
    page.fill("#query", "a cup of coffee")
    expect(page.locator(".hit")).to_have_count(2)
    page.click(".hit.best button")
    expect(page.locator("#stack button")).to_have_count(3)
    page.locator("#stack button", has=page.locator("img")).nth(1).click()
    expect(page.locator("#stack button[aria-current]")).to_have_count(1)
