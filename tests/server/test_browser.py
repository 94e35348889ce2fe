"""What people do on the pages, in a real browser; nothing leaves the machine, and nothing is logged as an error."""

import re
import shutil

import pytest
from chromium import expect, needs_chromium, opened
from media_files import scene, write_video
from serving import serving

import samespace
from samespace.library.library import Library
from samespace.server.app import create_app

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(tmp_path_factory, photographs, tiny_folder):
    """A running server over the demo's photographs, with the starter."""
    library = Library(tmp_path_factory.mktemp("web") / "library", samespace.load("starter"))
    library.add([photographs])
    with serving(create_app(library, str(tiny_folder))) as address:
        yield address


@pytest.fixture
def page(browser, address):
    with opened(browser, address) as page:
        yield page


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
    expect(page.locator("#viewer-heatmap.on")).to_be_visible()
    expect(page.locator("#viewer-name")).to_have_text("chelsea.png")
    expect(page.locator("#viewer-facts")).to_contain_text("300 px")
    painted = "document.getElementById('viewer-heatmap').toDataURL()"
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
    page.click("text=Where did it look?")
    page.hover(".token >> nth=0")
    expect(page.locator("#heatmap")).to_have_class("on")
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


def test_a_folder_is_added_with_its_progress(page, address, tmp_path, photographs):
    shutil.copy(photographs / "coffee.png", tmp_path / "☕ cup.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.goto(f"{address}/library")
    page.fill("#folder", str(tmp_path))
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("1 recognised")  # by its content
    expect(page.locator("#skipped summary")).to_have_text("1 skipped, and why")
    row = page.locator(".folders li", has_text=str(tmp_path))
    expect(row).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    row.locator(".forget").click()
    expect(page.locator("#answer")).to_contain_text("1 removed")
    expect(row).to_have_count(0)
    page.fill("#folder", "/no/such/folder")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("does not exist")


def test_a_broken_picture_is_one_sentence_that_a_slow_timeline_leaves(browser, address):
    page, held = browser.new_page(), []
    page.route("**/app/timeline?*", lambda route: held.append(route))
    page.goto(address)
    page.wait_for_timeout(100)
    page.set_input_files("#file", {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#status.wrong")).to_contain_text("not a picture in any format we know")
    assert held
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
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
    expect(page.locator(".hit button:focus")).to_have_count(1)  # the keyboard is back where it was
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()


@pytest.fixture
def course(page, address):
    page.goto(f"{address}/learn")
    return page


def test_a_batch_is_trained_in_place(course):
    course.locator("#vectors").scroll_into_view_if_needed()
    status = course.locator("#matrix .status-line")
    expect(status).to_contain_text("loss")
    loss = lambda: float(status.inner_text().split("loss ")[1].split(" ")[0])  # noqa: E731
    before = loss()
    course.click("#matrix thead button >> nth=0")
    course.click("#matrix thead button >> nth=1")
    assert loss() > before
    swapped = status.inner_text()
    course.click("text=Train 10 steps")
    expect(status).not_to_have_text(swapped)
    assert loss() < float(swapped.split("loss ")[1].split(" ")[0])


def test_the_map_follows_the_phrase(course):
    course.locator("#search").scroll_into_view_if_needed()
    course.click("#space >> text=something hot to drink")
    expect(course.locator("#space .photo.best img")).to_have_attribute("alt", "a cup of coffee")
    expect(course.locator("#space .map b")).to_have_text("something hot to drink")


def test_a_picture_is_cut_by_hand_and_keyboard(course):
    course.locator("#patches").scroll_into_view_if_needed()
    status = course.locator("#cutter .status-line")
    expect(status).to_contain_text("14 × 14 = 196 tokens")
    course.click("text=ViT-L/14 at 336")
    expect(status).to_contain_text("24 × 24 = 576 tokens")
    course.focus("#cutter canvas.cut")
    course.keyboard.press("ArrowRight")
    course.keyboard.press("ArrowDown")
    expect(course.locator("#cutter .numbers")).to_contain_text("row 2, column 2: 14 × 14 × 3 = 588 numbers")


def test_all_six_steps_are_shown(course):
    course.locator("#llava").scroll_into_view_if_needed()
    course.click("#steps >> text=Run it")
    expect(course.locator("#steps .frame")).to_be_visible()
    texts = [course.inner_text("#steps .step")]
    for _ in range(5):
        course.click("#steps >> text=Next →")
        texts.append(course.inner_text("#steps .step"))
    assert len(set(texts)) == 6 and " of the picture, numbered" in texts[4] and "most probable here" in texts[5]
    expect(course.locator("#steps >> text=Next →")).to_be_disabled()
    course.focus("#steps .step")
    course.keyboard.press("ArrowLeft")
    expect(course.locator(".pills [aria-selected=true]")).to_have_text("5 One sequence")


def test_tokens_are_counted_as_published(course):
    rules = "sides => import('/static/learn/costs.js').then(m => m.RULES.map(rule => rule.count(sides).tokens))"
    assert course.evaluate(rules, [1024, 1024]) == [765, 1399, 1032, 576]  # OpenAI's own example: 765
    assert course.evaluate(rules, [2048, 4096])[0] == 1105  # and 1105
    assert course.evaluate(rules, [1092, 1092])[1] == 1590  # Anthropic's: about 1590
    assert course.evaluate(rules, [3000, 3000])[1] == 1599  # and no more than about 1600
    assert course.evaluate(rules, [300, 200])[2] == 258


@pytest.mark.parametrize("mistakes", [0, 1, 2])
def test_four_of_five_pass_and_are_stored(course, mistakes):
    course.locator("#check").scroll_into_view_if_needed()
    rights = course.evaluate("import('/static/learn/quiz.js').then(m => m.QUESTIONS.map(q => q.order.indexOf(0)))")
    for i, right in enumerate(rights):
        chosen = (right + 1) % 4 if i < mistakes else right
        course.locator(".quiz li").nth(i).locator(".choice").nth(chosen).press("Enter")
    verdict = course.locator(".result")
    expect(verdict).to_contain_text(f"{5 - mistakes} of 5 right")
    expect(verdict).to_contain_text("four are needed" if mistakes > 1 else "passed")
    course.reload()
    course.locator("#check").scroll_into_view_if_needed()
    expect(verdict).to_contain_text(f"{5 - mistakes} of 5 right")
    course.get_by_role("button", name="Try again").click()
    expect(verdict).to_contain_text("0 of 5 answered")


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


def test_words_pictures_and_videos_become_vectors(course, tmp_path, photographs):
    course.locator("#vectors").scroll_into_view_if_needed()
    cells = course.locator("#modalities td")
    expect(cells).to_have_count(1 + 4)  # the corner, and two by two
    course.fill("#modalities input[type=text]", "a cup of coffee")
    course.keyboard.press("Enter")
    expect(cells).to_have_count(1 + 9)
    course.set_input_files("#modalities input[type=file]", photographs / "coffee.png")
    expect(cells).to_have_count(1 + 16)
    made = write_video(tmp_path / "red.mp4", [(scene((200, 30, 30)), 2.0)])
    course.set_input_files("#modalities input[type=file]", made)
    expect(cells).to_have_count(1 + 25)
    assert float(cells.nth(1 + 2 * 5 + 3).inner_text()) > float(cells.nth(1 + 2 * 5 + 1).inner_text())  # coffee, not the cat


def test_one_patch_is_followed(course):
    course.locator("#patch").scroll_into_view_if_needed()
    status = course.locator("#patch .status-line")
    expect(status).to_contain_text("7 × 7 cells of efficientnet_lite0's last map")
    maps = 1 + 2 * 8 + 2  # positions; 2 layers of 4 heads, twice; through all layers, twice
    expect(course.locator("#patch .heads canvas.on")).to_have_count(maps)
    first = course.locator("#patch .heads .frame").first
    assert first.locator("canvas").bounding_box() == pytest.approx(
        first.locator("img").bounding_box(), abs=0.5
    )  # no square picture
    course.focus("#patch > .columns > .frame")
    course.keyboard.press("ArrowRight")
    course.keyboard.press("ArrowDown")
    expect(status).to_contain_text("row 2, column 2")
    course.click("#patch > .columns > .frame", position={"x": 12, "y": 12})  # inside its round corner
    expect(status).to_contain_text("row 1, column 1")


def test_the_readers_own_files_are_searched_from_the_course(course, photographs):
    course.locator("#search").scroll_into_view_if_needed()
    expect(course.locator("#mine .photo")).to_have_count(8)
    course.fill("#mine input[type=search]", "galaxies in space")
    expect(course.locator("#mine img >> nth=0")).to_have_attribute("alt", "hubble_deep_field.jpg")
    course.set_input_files("#mine input[type=file]", photographs / "chelsea.png")
    expect(course.locator("#mine img >> nth=0")).to_have_attribute("alt", "chelsea.png")


def test_a_videos_tokens_are_counted_and_the_assistants_own(course, tmp_path):
    course.locator("#wild").scroll_into_view_if_needed()
    expect(course.locator("#costs tbody tr")).to_have_count(5)
    expect(course.locator("#costs tbody tr >> nth=4")).to_contain_text("runs here")
    made = write_video(tmp_path / "short.webm", [(scene((200, 30, 30)), 2.0), (scene((20, 60, 200)), 1.0)], "libvpx")
    course.set_input_files("#costs input[type=file]", made)
    expect(course.locator("#costs")).to_contain_text("The video lasts 3 s")
    expect(course.locator("#costs tbody tr >> nth=2")).to_contain_text("774")  # Gemini: 258 a second


def test_two_spaces_are_compared(page, address):
    page.goto(f"{address}/spaces")
    page.fill("#query", "a cup of coffee")
    expect(page.locator("#rankings h3")).to_have_text(["starter, 512 dimensions"] * 2)
    assert "coffee" in page.get_attribute("#rankings li:first-child img", "alt")


def test_a_videos_segments_are_chosen_on_a_strip(browser, tmp_path):
    shots = [(scene(colour), 3.0) for colour in ((200, 30, 30), (20, 60, 200), (30, 160, 40))]
    write_video(tmp_path / "three.mp4", shots)
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([tmp_path / "three.mp4"])
    with serving(create_app(library)) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{address}/?q=something+blue")
        page.click(".hit.best button")
        bars = page.locator("#strip button")
        expect(bars).to_have_count(3)
        bars.nth(2).click()
        expect(page.locator("#viewer-facts")).to_contain_text("0:06–0:09")
        expect(bars.nth(2)).to_have_attribute("aria-current", "true")
        highest = "bars => bars.findIndex((bar) => bar.style.height === '100%')"
        assert bars.evaluate_all(highest) == 1
        page.keyboard.press("Escape")
        with page.expect_response("**/app/search"):
            page.fill("#query", "something red")
        page.wait_for_url("**/?q=something%20red*")
        page.wait_for_timeout(300)  # the answer is drawn
        page.click(".hit.best button")
        expect(bars.nth(0)).to_have_attribute("style", re.compile("height: 100%"))
        page.close()


@pytest.mark.parametrize(
    "where", ["/", "/?q=a+cat", "/places", "/map", "/duplicates", "/ask", "/draw", "/learn", "/lab", "/library", "/spaces"]
)
def test_pages_are_accessible(browser, address, where):
    """axe-core's rules of WCAG A and AA, and in the dark those that colours decide."""
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.goto(address + where)
    page.wait_for_load_state("networkidle")
    if where == "/learn":
        for part in ("vectors", "search", "patches", "wild", "check"):
            page.locator(f"#{part}").scroll_into_view_if_needed()
            page.wait_for_load_state("networkidle")
    for scheme, rules, least in (("light", ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], 6), ("dark", ["color-contrast"], 1)):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page, options={"runOnly": rules}).response
        assert [(v["id"], v["impact"], v["nodes"][0]["html"][:120]) for v in found["violations"]] == [], scheme
        assert len(found["passes"]) >= least, scheme
    page.close()
