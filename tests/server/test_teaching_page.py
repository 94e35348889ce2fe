"""What people do to be understood: say which hits are meant, take it back, keep it as a word, forget the word."""

import numpy as np
import pytest
from chromium import expect, needs_chromium, opened
from made_copies import hand_held
from PIL import Image
from serving import serving

import samespace
from samespace.library.library import Library
from samespace.server.app import create_app

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(tmp_path_factory, photographs, tiny_folder):
    """Five photographs, of a cat and others."""
    folder, rng = tmp_path_factory.mktemp("album"), np.random.default_rng(0)
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"):
        Image.open(photographs / name).convert("RGB").save(folder / f"{name[:-4]}.jpg")
    hand_held(Image.open(photographs / "chelsea.png").convert("RGB"), rng).save(folder / "chelsea again.jpg")
    library = Library(tmp_path_factory.mktemp("library"), samespace.load("starter"))
    library.add([folder])
    with serving(create_app(library, str(tiny_folder))) as address:
        yield address


@pytest.fixture
def page(browser, address):
    with opened(browser, address, "/?q=a thing on its way") as page:
        expect(page.locator(".hit").first).to_be_visible()
        page.on("dialog", lambda dialog: dialog.accept())
        yield page


def hit(page, name: str):
    return page.locator(".hit", has_text=name)


def order(page) -> list[str]:
    return page.locator(".hit").evaluate_all("all => all.map((one) => one.querySelector('img').alt)")


def test_what_is_meant_ranks_at_once_is_taken_back_and_becomes_a_word(page):
    before = order(page)
    last = before[-1]
    hit(page, last).hover()
    hit(page, last).get_by_role("button", name="This is what I mean").click()
    expect(page.locator(".hit").first).to_contain_text(last)
    expect(page.locator("#said")).to_have_text("1 meant")
    hit(page, before[0]).hover()
    hit(page, before[0]).get_by_role("button", name="This is not what I mean").click()
    expect(page.locator("#said")).to_have_text("1 meant, 1 not meant")
    page.click("#unsay")
    expect(page.locator("#said")).to_have_text("1 meant")
    page.click("#unsay")
    expect(page.locator("#teach")).to_be_hidden()
    expect(page.locator(".hit").first).to_contain_text(before[0])
    assert order(page) == before

    hit(page, "coffee.jpg").hover()
    hit(page, "coffee.jpg").get_by_role("button", name="This is what I mean").click()
    page.fill("#teach-name", "Espresso")
    page.click("#teach-button")
    expect(page.locator("#own")).to_contain_text("✦ Espresso")
    expect(page.locator("#query")).to_have_value("Espresso")
    expect(page.locator(".hit").first).to_contain_text("coffee.jpg · 100 %")
    page.get_by_role("button", name="Forget Espresso").click()
    expect(page.locator("#own")).not_to_contain_text("Espresso")


def test_another_query_forgets_what_was_said(page):
    hit(page, "rocket.jpg").hover()
    hit(page, "rocket.jpg").get_by_role("button", name="This is what I mean").click()
    expect(page.locator("#said")).to_have_text("1 meant")
    page.fill("#query", "a cat")
    expect(page.locator("#teach")).to_be_hidden()
    expect(page.locator(".hit").first).to_contain_text("chelsea")


def test_a_name_that_cannot_be_one_is_refused_in_a_sentence(browser, address):
    page = browser.new_page()  # its console shows the refusal
    page.goto(f"{address}/?q=a thing")
    hit(page, "rocket.jpg").hover()
    hit(page, "rocket.jpg").get_by_role("button", name="This is what I mean").click()
    page.fill("#teach-name", "a, b")
    page.click("#teach-button")
    expect(page.locator("#said")).to_contain_text("cannot be a name that is learnt")
    page.close()


def test_the_first_hits_are_looked_at_again(page):
    before = sorted(order(page))
    page.get_by_role("button", name="Look at the first 20 again").click()
    expect(page.locator("#status")).to_contain_text("likely what you mean")
    expect(page.locator("#look-again")).to_be_enabled()
    assert sorted(order(page)) == before
    page.fill("#query", "kind:image")
    expect(page.locator("#look-again")).to_be_hidden()
