"""Tasks in words, marks on a screen, and the policy that needs no endpoint, on pages of our own."""

from dataclasses import replace

import pytest
from chromium import needs_chromium
from pages import PAGES, pages
from PIL import Image, ImageDraw, ImageFont

import samespace
from samespace.core.errors import OperationStopped, RequestError
from samespace.media import ocr
from samespace.operating.local.forms import filled
from samespace.operating.local.grammar import (
    CHECK,
    CHOOSE,
    DRAG,
    ENTER,
    FILL,
    FIND,
    PRESS,
    READ,
    READ_BEFORE,
    SCROLL,
    Instruction,
    instructions,
)
from samespace.operating.local.marks import Screen, TextLine, read_screen
from samespace.operating.local.policy import LocalPolicy
from samespace.operating.local.ranking import GOOD, Ranker, likeness
from samespace.operating.local.values import extreme
from samespace.operating.loop import Limits, Operation
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
        ('Enter "Ada, and Bea" into the text field and press Submit.', [Instruction(ENTER, "", "Ada, and Bea", kind="field"), Instruction(PRESS, "Submit")]),
        ("Type Ada into Name and press Send", [Instruction(ENTER, "Name", "Ada"), Instruction(PRESS, "Send")]),
        ("Select Tea, Coffee and Milk and click Submit.", [*(Instruction(CHECK, n) for n in ("Tea", "Coffee", "Milk")), Instruction(PRESS, "Submit")]),
        ("Select nothing and click Submit.", [Instruction(PRESS, "Submit")]),
        ("Click on Tab #2.", [Instruction(PRESS, "Tab #2")]),
        ("Focus into the 2nd input textbox.", [Instruction(PRESS, ordinal=2, kind="field")]),
        ('Enter the username "ada" and the password "pw" into the text fields and press login.',
         [Instruction(ENTER, "username", "ada"), Instruction(ENTER, "password", "pw"), Instruction(PRESS, "login")]),
        ('Enter the password "x y" into both text fields and press submit.', [*(Instruction(ENTER, "", "x y", n, "field") for n in (1, 2)), Instruction(PRESS, "submit")]),
        ("Fill in the city with Turin; scroll down; press the last link", [Instruction(ENTER, "city", "Turin"), Instruction(SCROLL, "down"), Instruction(PRESS, ordinal=-1, kind="link")]),
        ('Type "Ada" in all upper case letters in the text input and press Submit.', [Instruction(ENTER, "", "ADA", kind="field"), Instruction(PRESS, "Submit")]),
        ("Select Italy from the Country list and press OK", [Instruction(CHOOSE, "Italy", ordinal=1, within="Country"), Instruction(PRESS, "OK")]),
        ("Select 7 with the spinner", [Instruction(ENTER, text="7", kind="spinner")]),
        ("Find the 2nd word in the paragraph and type it into the textbox", [Instruction(READ, ordinal=2, kind="word"), Instruction(ENTER, "", READ_BEFORE, kind="field")]),
        ("Enter the value of Last name into the text field", [Instruction(READ, "Last name"), Instruction(ENTER, "", READ_BEFORE, kind="field")]),
        ("Find the last word in the text area", [Instruction(SCROLL, "down", ordinal=-1, kind="field"), Instruction(READ, ordinal=-1, kind="field")]),
        ("Find Bea and press Edit", [Instruction(FIND, "Bea"), Instruction(PRESS, "Edit")]),
        ("In the row of Turin, press Edit", [Instruction(PRESS, "Edit", within="Turin")]),
        ('Click the "Like" button on 2 posts by @ada', [Instruction(PRESS, "Like", within="@ada", times=2)]),
        ("Buy the ticket with the cheapest cost", [Instruction(PRESS, "cost", extreme=-1)]),
        ("Search for hotels in Rome from May", [Instruction(FILL, text="hotels in Rome from May"), Instruction(PRESS, "search")]),
        ("Drag Milk above Tea", [Instruction(DRAG, "Milk", "Tea", -1)]),
        ("Scroll to the bottom of the textarea", [Instruction(SCROLL, "down", ordinal=-1, kind="field")]),
        ("Expand the sections below, to find and click on the link “More”", [Instruction(PRESS, "section"), Instruction(PRESS, "More")]),
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
    assert (
        likeness("Submit", "Submit")
        == 1.0
        > likeness("Submit", "submit")
        > likeness("Log in", "login")
        > likeness("Send", "submit")
        > GOOD
    )
    assert likeness("Submlt", "submit") > 0.72 > likeness("Sub", "submit")
    assert likeness("Save all of it", "save") > likeness("Save the whole of the document", "save") > 0.72
    assert likeness("", "x") == likeness("x", "") == likeness("tea", "coffee") == 0.0


def test_a_phrase_fills_a_form():
    names = ["Director", "Genre", "Year"]
    lines = tuple(TextLine(10, 10 + 40 * i, 80, 30 + 40 * i, name) for i, name in enumerate(names))
    fields = tuple(Mark(100, 5 + 40 * i, 300, 35 + 40 * i) for i in range(3))
    screen = Screen(lines, fields, Image.new("RGB", (400, 200), "white"), 20)
    entered = {one.target: one.text for one in filled("action movies directed by Bowen from year 1998", screen)}
    assert entered == {"Director": "Bowen", "Genre": "action", "Year": "1998"}
    (only,) = filled("hotels in Rome", replace(screen, shapes=fields[:1]))
    assert only.text == "hotels in Rome"


@pytest.mark.parametrize(
    ("texts", "of", "sign", "best"),
    [
        (["1.299,00 €", "899,00 €", "1.050 €"], "cost", -1, 1), (["$1,299.00", "$899.99", "$1,050"], "price", 1, 0), (["12,5", "9,75", "10"], "size", -1, 1),
        (["1,299", "899"], "views", -1, 1), (["1.299.000", "899.000,5"], "views", 1, 0), (["2h 16m", "95 min"], "duration", -1, 1), (["1.25", "1.5"], "size", 1, 1),
    ],
)  # fmt: skip
def test_which_has_the_least_or_the_most(texts, of, sign, best):
    marks = [Mark(0, i, 1, i + 1, text) for i, text in enumerate(texts)]
    assert extreme(of, sign, marks) is marks[best]


def test_what_could_not_be_done_is_no_success():
    class Stuck:
        """A screen on which nothing can be done."""

        size = (400, 300)

        def screenshot(self):
            picture = Image.new("RGB", self.size, "white")
            ImageDraw.Draw(picture).text((60, 60), "Help", "black", ImageFont.load_default(24))
            return picture

        def act(self, action):
            raise OperationStopped("the page does not answer; try again")

        def wait(self, seconds):
            pass

        def url(self):
            return ""

        def focus(self):
            return "other"

    outcome = Operation(Stuck(), LocalPolicy(samespace.load("starter")), Consent("never", bool)).run("Press Help")
    assert not outcome.reached and "does not answer" in outcome.reason


def test_a_word_in_a_line_is_pressed_where_it_stands():
    line = TextLine(
        100,
        10,
        300,
        30,
        "Read the manual, or ask",
        words=(Mark(100, 10, 140, 30, "Read"), Mark(150, 10, 190, 30, "the"), Mark(200, 10, 300, 30, "manual,")),
    )
    (best,) = Ranker(samespace.load("starter")).named("manual", Screen((line,), (), Image.new("RGB", (400, 40))))
    assert best.middle == (250, 20)


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
    assert {mark.text for mark in screen.lines} == {"Save", "Tea"}
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
@pytest.mark.usefixtures("shared_chromium")
@needs_chromium[0]
@needs_chromium[1]
@pytest.mark.parametrize(
    ("path", "task", "title"),
    [
        ("/order", "Type Ada into Name, type Turin into City, select Tea and Milk and press Submit", "sent,Ada,Turin,true,false,true"),
        ("/form", "Press Help", "helped"), ("/plain", "Type Ada into Name and press Send", "sent Ada"),
        ("/names", "Type Ada into First name, type Turing into Last name and press OK", "Ada,Turing,"),
        ("/untrusted", "Press Save", "saved"),
        ("/menu", "Press File and press Save as", "saved as"),
        ("/list", "Drag Milk above Tea", "Milk,Tea,Coffee"),
        ("/table", "In the row of Turin, press Edit", "edits Turin"),
        ("/modal", "Press Accept, then press Save", "accepted saved"),
        ("/select", "Select Italy from the Country list and press OK", "Italy"),
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
@pytest.mark.usefixtures("shared_chromium")
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
@pytest.mark.usefixtures("shared_chromium")
@needs_chromium[0]
@needs_chromium[1]
@pytest.mark.parametrize(("task", "steps", "reason"), [("Press Delete", 3, "not done after 3 steps"), ("Press Help", 6, "refused: nobody agreed to click")])  # fmt: skip
def test_it_ends_on_an_endless_page_and_at_a_refusal(address, task, steps, reason):
    driver = BrowserDriver(address + ("/endless" if "Delete" in task else "/form"))
    try:
        consent = Consent("always", lambda question: "click" not in question)
        outcome = Operation(driver, LocalPolicy(samespace.load("starter")), consent, Limits(steps=steps)).run(task)
        assert not outcome.reached and reason in outcome.reason and driver.page.title() in ("/endless", "/form")
        assert outcome.steps == (3 if "Delete" in task else 2)
    finally:
        driver.close()


@needs_reader
@pytest.mark.usefixtures("shared_chromium")
@needs_chromium[0]
@needs_chromium[1]
def test_a_page_of_ones_own_is_operated(browser, address, tmp_path):
    page = browser.new_page(viewport={"width": 700, "height": 400})
    page.goto(address + "/form")
    outcome = operate(page, "Press Help", replay=tmp_path / "replay.html")
    assert outcome.reached and page.title() == "helped" and not page.is_closed()
    assert "Press Help" in (tmp_path / "replay.html").read_text("utf-8")
    page.close()
