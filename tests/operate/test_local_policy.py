"""Tasks in words, marks on a screen, and the policy that needs no endpoint, on pages of our own."""

import pytest
from chromium import needs_chromium
from pages import PAGES, pages
from PIL import Image, ImageDraw, ImageFont

import samespace
from samespace.core.errors import RequestError
from samespace.media import ocr
from samespace.operating.local.grammar import CHECK, ENTER, PRESS, SCROLL, Instruction, instructions
from samespace.operating.local.marks import read_screen
from samespace.operating.local.policy import LocalPolicy, likeness
from samespace.operating.loop import Operation
from samespace.operating.operate import operate
from samespace.operating.screen.consent import Consent
from samespace.operating.screen.driver import BrowserDriver
from samespace.operating.screen.policy import Mark

needs_reader = pytest.mark.skipif(ocr.reader() is None, reason="no reader of text; install the extra ocr")
FORM = (
    "<style>body { font: 18px sans-serif; margin: 30px } input, button { font: inherit; margin: 6px; padding: 6px 14px }</style>"
    "<div>Name <input id=name></div><div>City <input id=city></div>"
    "<div><input type=checkbox id=tea> Tea</div><div><input type=checkbox id=coffee> Coffee</div><div><input type=checkbox id=milk> Milk</div>"
    "<button onclick=\"document.title = ['sent', name2(), city.value, tea.checked, coffee.checked, milk.checked].join()\">Submit</button>"
    "<button onclick=\"document.title = 'cancelled'\">Cancel</button><script>const name2 = () => document.getElementById('name').value</script>"
)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ('Click on the "OK" button.', [Instruction(PRESS, "OK")]),
        ("Click button ONE, then click button TWO.", [Instruction(PRESS, "ONE"), Instruction(PRESS, "TWO")]),
        ('Enter "Ada, and Bea" into the text field and press Submit.', [Instruction(ENTER, "", "Ada, and Bea"), Instruction(PRESS, "Submit")]),
        ("Type Ada into Name and press Send", [Instruction(ENTER, "Name", "Ada"), Instruction(PRESS, "Send")]),
        ("Select Tea, Coffee and Milk and click Submit.", [*(Instruction(CHECK, n) for n in ("Tea", "Coffee", "Milk")), Instruction(PRESS, "Submit")]),
        ("Select nothing and click Submit.", [Instruction(PRESS, "Submit")]),
        ("Click on Tab #2.", [Instruction(PRESS, "Tab #2")]),
        ("Focus into the 2nd input textbox.", [Instruction(PRESS, "", "", 2)]),
        ('Enter the username "ada" and the password "pw" into the text fields and press login.',
         [Instruction(ENTER, "username", "ada"), Instruction(ENTER, "password", "pw"), Instruction(PRESS, "login")]),
        ('Enter the password "x y" into both text fields and press submit.', [Instruction(ENTER, "", "x y", 1), Instruction(ENTER, "", "x y", 2), Instruction(PRESS, "submit")]),
        ("Fill in the city with Turin; scroll down; press the last link", [Instruction(ENTER, "city", "Turin"), Instruction(SCROLL, "down"), Instruction(PRESS, "", "", -1)]),
        ('Type "Ada" in all upper case letters in the text input and press Submit.', [Instruction(ENTER, "", "ADA"), Instruction(PRESS, "Submit")]),
        ('Press the button labeled “Save all”', [Instruction(PRESS, "Save all")]),
    ],
)  # fmt: skip
def test_tasks_are_taken_apart(task, expected):
    assert instructions(task) == expected


@pytest.mark.parametrize("task", ["", "the weather is fine", "What is this?"])
def test_a_task_without_an_instruction_is_refused(task):
    with pytest.raises(RequestError, match="does not say what to press"):
        instructions(task)


def test_likeness_of_words():
    assert likeness("Submit", "submit") == 1.0 and likeness("Log in", "login") == 0.98
    assert likeness("Submlt", "submit") > 0.72 > likeness("Sub", "submit")
    assert likeness("Save all of it", "save") > likeness("Save the whole of the document", "save") > 0.72
    assert likeness("", "x") == likeness("x", "") == likeness("tea", "coffee") == 0.0


def test_a_word_in_a_line_is_pressed_where_it_stands():
    line = Mark(100, 10, 300, 30, "Read the manual, or ask")
    policy = LocalPolicy(samespace.load("starter"))
    best = max(policy._named("manual", [line], None), key=lambda mark: mark.score)
    assert best.score > 0.72 and 100 + 200 * 9 // 23 <= best.middle[0] <= 100 + 200 * 15 // 23


@needs_reader
def test_marks_are_words_and_shapes():
    picture = Image.new("RGB", (500, 300), (240, 240, 240))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(20)
    draw.rectangle((40, 40, 140, 80), fill=(200, 200, 210), outline=(60, 60, 60))
    draw.text((62, 48), "Save", (0, 0, 0), font)
    draw.rectangle((40, 120, 300, 156), fill=(255, 255, 255), outline=(60, 60, 60))
    draw.rectangle((40, 200, 58, 218), fill=(255, 255, 255), outline=(60, 60, 60))
    draw.text((70, 198), "Tea", (0, 0, 0), font)
    screen = read_screen(picture)
    assert {mark.text for mark in screen.words} == {"Save", "Tea"}
    button = next(shape for shape in screen.shapes if shape.text == "Save" and shape.right - shape.left > 80)
    assert abs(button.middle[0] - 90) <= 3 and abs(button.middle[1] - 60) <= 3
    (field,) = screen.fields
    assert abs(field.middle[0] - 170) <= 3 and abs(field.middle[1] - 138) <= 3
    assert any(abs(box.middle[0] - 49) <= 3 and abs(box.middle[1] - 209) <= 3 for box in screen.boxes)


@pytest.fixture(scope="module")
def address():
    PAGES["/order"] = FORM
    with pages() as address:
        yield address


@needs_reader
@needs_chromium[0]
@needs_chromium[1]
@pytest.mark.parametrize(
    ("path", "task", "title"),
    [
        ("/order", "Type Ada into Name, type Turin into City, select Tea and Milk and press Submit", "sent,Ada,Turin,true,false,true"),
        ("/form", "Press Help", "helped"),
        ("/untrusted", "Press Save", "saved"),
    ],
)  # fmt: skip
def test_it_does_what_it_is_told_and_not_what_the_page_says(address, path, task, title):
    driver = BrowserDriver(address + path)
    try:
        outcome = Operation(driver, LocalPolicy(samespace.load("starter")), Consent("never", lambda question: False)).run(task)
        assert outcome.reached and driver.page.title() == title, outcome
    finally:
        driver.close()


@needs_reader
@needs_chromium[0]
@needs_chromium[1]
def test_it_says_that_it_cannot(address):
    driver = BrowserDriver(address + "/form")
    try:
        outcome = Operation(driver, LocalPolicy(samespace.load("starter")), Consent("never", lambda question: False)).run(
            'Press "Quarterly xylophone"'
        )
        assert (
            not outcome.reached
            and "nothing on the screen fits “Quarterly xylophone”" in outcome.reason
            and driver.page.title() == "/form"
        )
    finally:
        driver.close()


@needs_reader
@needs_chromium[0]
@needs_chromium[1]
def test_a_page_of_ones_own_is_operated(browser, address, tmp_path):
    page = browser.new_page(viewport={"width": 700, "height": 400})
    page.goto(address + "/form")
    outcome = operate(page, "Press Help", replay=tmp_path / "replay.html")
    assert outcome.reached and page.title() == "helped" and not page.is_closed()
    assert "Press Help" in (tmp_path / "replay.html").read_text("utf-8")
    page.close()
