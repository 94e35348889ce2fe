"""Looking and acting in a real Chromium: where clicks land, what is refused, and the replay of what was done."""

import pytest
from chromium import needs_chromium
from pages import pages

from samespace.core.errors import OperationStopped, RequestError
from samespace.operating.loop import HIDDEN, Limits, Operation
from samespace.operating.replay import Replay, read_replay
from samespace.operating.screen.actions import Click, Done, Drag, HoldKey, Key, Move, Scroll, Type, Wait, Zoom, to_json
from samespace.operating.screen.consent import Consent
from samespace.operating.screen.driver import FIELD, OTHER, PASSWORD, BrowserDriver, PageDriver, is_same_site, origin_of
from samespace.operating.screen.policy import Decision, Mark

pytestmark = [*needs_chromium]


@pytest.fixture(scope="module")
def address():
    with pages() as address:
        yield address


def test_a_driver_begins_and_ends_a_chromium_of_its_own(address):
    """Before a test here asks for one to share: a thread has one Playwright."""
    driver = BrowserDriver(address + "/form")
    assert driver.page.locator("#send").is_visible()
    driver.close()
    assert not driver._browser.is_connected()


@pytest.fixture
def at(address, shared_chromium):
    """Opens a page in a driver of its own, and closes the one before it."""
    opened = []

    def open_page(path: str, **options) -> BrowserDriver:
        while opened:
            opened.pop().close()
        opened.append(BrowserDriver(address + path, **options))
        return opened[-1]

    yield open_page
    for driver in opened:
        driver.close()


class Script:
    """A policy that does what it was told to, and remembers what it saw."""

    name = "script"

    def __init__(self, *decisions):
        self.decisions, self.looks = list(decisions), []

    def begin(self, task, size):
        self.task = task

    def decide(self, look):
        self.looks.append(look)
        decision = self.decisions.pop(0)
        if isinstance(decision, BaseException):
            raise decision
        return (
            decision if isinstance(decision, Decision) else Decision((decision,) if not isinstance(decision, tuple) else decision)
        )


def allow(_: str) -> bool:
    return True


def test_a_click_lands_on_the_very_pixel(at):
    driver = at("/grid", size=(1000, 700))
    points = [(x, y) for x in range(0, 1000, 100) for y in range(0, 700, 100)] + [(999, 699)]
    for x, y in points:
        PageDriver.act(driver, Click(x, y))
    driver.act(Click(7, 9, "right", keys="shift"))
    hits = driver.page.evaluate("hits")
    assert [tuple(hit[:2]) for hit in hits] == [*points, (7, 9)] and hits[-1][2:] == [2, True]
    assert driver.screenshot().size == (1000, 700)


def test_what_has_the_keyboard_is_known_in_frames_and_shadow_trees(at):
    page = at("/form").page
    frame = "<iframe srcdoc=\"<iframe srcdoc='<input type=password>'></iframe>\"></iframe>"
    page.set_content(f"<button>B</button><x-open></x-open><x-closed></x-closed>{frame}")
    page.evaluate("""() => { for (const mode of ["open", "closed"]) {
        const root = document.querySelector("x-" + mode).attachShadow({mode})
        root.innerHTML = "<input type=" + (mode === "open" ? "text" : "password") + ">"
    } }""")
    driver, seen = PageDriver(page), []
    for _ in range(4):
        page.keyboard.press("Tab")
        seen.append(driver.focus())
    assert seen == [OTHER, FIELD, PASSWORD, PASSWORD]


def test_every_action_does_what_it_says(at):
    driver = at("/form")
    name = driver.page.locator("#name").bounding_box()
    driver.act(Click(int(name["x"] + 9), int(name["y"] + 9)))
    for action in (Type("Ada ü 漢"), Key("ctrl+a"), Type("Bea"), HoldKey("shift", 0.05), Wait(0.1), Move(3, 3), Zoom(0, 0, 9, 9)):
        driver.act(action)
    assert driver.page.input_value("#name") == "Bea" and driver.focus() == FIELD
    driver.act(Key("tab"))
    assert driver.focus() == PASSWORD
    long = at("/long")
    long.act(Scroll(100, 100, 0, 500))
    assert long.page.evaluate("scrollY") == 500
    dragged = at("/drag")
    dragged.act(Drag(((80, 130), (300, 300), (480, 330))))
    assert dragged.page.evaluate("[box.offsetLeft, box.offsetTop]") == [450, 300]


def test_dialogs_windows_downloads_and_other_origins_are_refused_and_told(at):
    for path, note in (
        ("/alert", "the page said: 'Really?'"), ("/window", "refused: a new window"), ("/away", "refused: http://example.invalid is not allowed; allow it"),
        ("/download", "refused: a download"), ("/out", "refused: http://example.invalid is not allowed"),
    ):  # fmt: skip
        driver = at(path)
        driver.act(Click(20, 20))
        driver.wait(0.3)
        assert any(note in said for said in driver.notes), (path, driver.notes)
        assert driver.url().endswith(path) and len(driver.context.pages) == 1
    assert at("/alert").page.title() == "/alert"


def test_redirects_are_followed_where_they_are_allowed(at, address, monkeypatch):
    assert at("/to?/form").url() == f"{address}/form"
    driver = at("/round")
    driver.act(Click(20, 20))
    driver.page.wait_for_url("**/form")
    assert driver.url() == f"{address}/form" and not driver.notes
    with pytest.raises(
        OperationStopped, match="leads elsewhere; refused: http://example.invalid is not allowed; allow it with --allow"
    ):
        at("/to?http://example.invalid/")
    pairs = [("http://example.org", "https://www.example.org/a", True), ("https://example.org/", "https://example.org.evil/", False),
             ("http://example.org:81", "https://example.org:81", False), ("http://example.org", "http://example.com", False)]  # fmt: skip
    assert all(is_same_site(one, other) == same for one, other, same in pairs)


def test_pages_that_cannot_be_operated_are_a_sentence(at, monkeypatch):
    with pytest.raises(OperationStopped, match="no page of the web"):
        BrowserDriver("file:///etc/passwd")
    with pytest.raises(OperationStopped, match="cannot be opened"):
        BrowserDriver("http://127.0.0.1:9/")
    monkeypatch.setattr("samespace.operating.screen.driver.LOADING_SECONDS", 1.0)
    with pytest.raises(OperationStopped, match="cannot be opened"):
        at("/slow")
    driver = at("/form")
    driver.page.close()
    with pytest.raises(OperationStopped, match="the page was closed; open it again"):
        driver.screenshot()


def test_an_operation_ends_when_it_is_done_and_leaves_a_replay(at, tmp_path):
    driver = at("/form")
    name, secret = (driver.page.locator(f"#{i}").bounding_box() for i in ("name", "secret"))
    mark = Mark(10, 10, 60, 40, "a <b>", 0.9)
    policy = Script(
        Decision((Click(int(name["x"] + 9), int(name["y"] + 9)), Type("Ada")), "the field <Name>", (mark,)),
        Decision((Click(int(secret["x"] + 9), int(secret["y"] + 9)),), "enter Password: 'hunter2'"),
        Decision((Type("hunter2"),), "enter Password: 'hunter2'"), Zoom(0, 0, 100, 80), Done("it is filled in with hunter2"),
    )  # fmt: skip
    replay = Replay(tmp_path / "replay.html", "Fill it in </script> with hunter2", driver.url())
    outcome = Operation(driver, policy, Consent("never", allow), on_step=replay.add).run("Fill it in")
    replay.write(outcome.answer)
    assert outcome.reached and outcome.answer == "it is filled in with hunter2" and outcome.steps == 5 and not outcome.reason
    assert driver.page.input_value("#secret") == "hunter2"
    text = (tmp_path / "replay.html").read_text("utf-8")
    assert "hunter2" not in text and HIDDEN in text and text.count("data:image/jpeg") == 5 and "the field &lt;Name&gt;" in text
    task, address, actions = read_replay(tmp_path / "replay.html")
    assert (
        task == f"Fill it in </script> with {HIDDEN}"
        and address == driver.url()
        and actions[1] == Type("Ada")
        and actions[3] == Type(HIDDEN)
    )
    assert policy.looks[4].closer.size == policy.looks[4].screenshot.size and policy.looks[3].closer is None


def test_what_a_person_refuses_is_not_done_and_is_told(at):
    driver = at("/form")
    send = driver.page.locator("#send").bounding_box()
    x, y = int(send["x"] + 9), int(send["y"] + 9)
    marks = (Mark(x - 9, y - 9, x + 40, y + 30, "Send"),)
    policy = Script(Decision((Click(x, y),), marks=marks), Done("", False))
    asked = []
    outcome = Operation(driver, policy, Consent("submits", lambda question: bool(asked.append(question)))).run("Send it")
    assert asked == [f"click at {x}, {y} (it says “Send”): go on?"] and driver.page.title() == "/form"
    assert policy.looks[1].notes == (f"refused: nobody agreed to click at {x}, {y} (it says “Send”)",) and not outcome.reached


def test_a_password_that_was_refused_is_not_in_the_replay(at, tmp_path):
    driver = at("/form")
    box = driver.page.locator("#secret").bounding_box()
    typed = Decision(
        (Click(int(box["x"] + 9), int(box["y"] + 9)), Type("hun\\ter 2")), f"enter Password: {'hun' + chr(92) + 'ter 2'!r}"
    )
    replay = Replay(tmp_path / "replay.html", "Enter hun\\ter 2 into Password", f"{driver.url()}?p=hun%5Cter+2")
    refuse = Consent("submits", lambda question: False)
    Operation(driver, Script(typed, Done("", False)), refuse, on_step=replay.add).run("x")
    text = (tmp_path / "replay.html").read_text("utf-8")
    assert "hun" not in text and "ter 2" not in text and "ter+2" not in text and HIDDEN in text
    assert driver.page.input_value("#secret") == ""


def test_a_password_of_keys_is_asked_about_and_hidden_also_when_it_is_stopped(at, tmp_path):
    driver = at("/form")
    driver.page.focus("#secret")
    asked, steps = [], []
    policy = Script(Decision((Key("s"), Key("shift+3"), Type("hunter2"))), KeyboardInterrupt())
    consent = Consent("submits", lambda question: asked.append(question) or True)
    operation = Operation(driver, policy, consent, on_step=steps.append)
    replay = Replay(tmp_path / "replay.html", "Type hunter2 into Password", driver.url())
    with pytest.raises(KeyboardInterrupt):
        operation.run("x")
    replay.end(operation)
    assert len(asked) == 3 and all("password field" in question and "hunter2" not in question for question in asked)
    assert steps[0].done == (Type(HIDDEN),) * 3 and "hunter2" not in (tmp_path / "replay.html").read_text("utf-8")


def test_a_drag_that_ends_where_it_began_is_a_click(at):
    driver = at("/form")
    send = driver.page.locator("#send").bounding_box()
    point = int(send["x"] + 9), int(send["y"] + 9)
    asked = []
    policy = Script(Decision((Drag((point, point)),)), Done("", False))
    Operation(driver, policy, Consent("submits", lambda question: bool(asked.append(question)))).run("x")
    assert "it says “Send”" in asked[0] and driver.page.title() == "/form"


def test_a_key_that_there_is_not_leaves_none_held(at):
    driver = at("/form")
    driver.page.focus("#name")
    driver.act(Type("abc"))
    for keys in ("ctrl+é", "ctrl+shift+漢"):
        with pytest.raises(RequestError, match="type it as text"):
            driver.act(Key(keys))
    driver.act(Type("a d"))
    assert driver.page.input_value("#name") == "abca d"


def test_a_page_that_asks_to_be_left_is_not_left(at, address):
    driver = at("/away")
    driver.page.set_content(f"<input autofocus><a href='{address}/form' style='position:absolute;left:10px;top:100px'>Form</a>")
    driver.page.evaluate("() => { onbeforeunload = event => event.preventDefault() }")
    for action in (Click(40, 20), Type("not saved"), Click(20, 110)):
        driver.act(action)
    driver.wait(0.3)
    assert driver.page.input_value("input") == "not saved" and any("the page said" in note for note in driver.notes)


def test_a_page_without_a_size_of_its_own_is_as_large_as_its_window(browser, address):
    page = browser.new_context(no_viewport=True).new_page()
    page.goto(address + "/form")
    driver = PageDriver(page)
    assert driver.screenshot().size == driver.size
    page.context.close()


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("http://127.0.0.1:80/a", "http://127.0.0.1"), ("HTTPS://me@Example.org:443", "https://example.org"), ("https://example.org:8443", "https://example.org:8443"),
        ("https://münchen.de", "https://xn--mnchen-3ya.de"), ("http://[::1]:81/", "http://[::1]:81"),
    ],
)  # fmt: skip
def test_origins_are_written_as_browsers_write_them(written, origin):
    assert origin_of(written) == origin


@pytest.mark.parametrize("written", ["http://[::1", "http://a:x/", "https://" + "a" * 70 + ".org"])
def test_an_address_that_is_none_is_a_sentence(written):
    with pytest.raises(OperationStopped, match="is no address"):
        origin_of(written)


def test_short_passwords_break_no_replay(tmp_path):
    replay = Replay(tmp_path / "replay.html", "type c into the left box", "http://127.0.0.1/")
    replay.actions, replay.secrets = [to_json(Click(1, 2)), to_json(Type("Ada"))], ("c", "left", "type")
    replay.write()
    assert read_replay(tmp_path / "replay.html")[2] == [Click(1, 2), Type("Ada")]


@pytest.mark.parametrize("by", [Click, Key])
def test_a_person_is_asked_where_a_model_names_no_marks(at, by):
    driver = at("/form")
    send = driver.page.locator("#send").bounding_box()
    click = Click(int(send["x"] + 4), int(send["y"] + 4))  # beside the word
    asked = []
    policy = Script(Decision((click if by is Click else Key("shift+kp_enter"),)), Done("", False))
    Operation(driver, policy, Consent("submits", lambda question: bool(asked.append(question)))).run("Send it")
    assert len(asked) == 1 and ("it says “Send”" if by is Click else "may send") in asked[0] and driver.page.title() == "/form"


def test_limits_nonsense_and_a_closed_page_end_it(at):
    policy = Script(*[Wait(0.01)] * 3)
    assert "not done after 3 steps" in Operation(at("/form"), policy, Consent("never", allow), Limits(steps=3)).run("x").reason
    driver = at("/form")
    nonsense = Script(*[RequestError("the model's answer is no action; try again")] * 3)
    assert Operation(driver, nonsense, Consent("never", allow)).run("x").reason == "the model's answer is no action; try again"
    assert nonsense.looks[1].notes == ("the model's answer is no action; try again",)
    backwards = Script(Zoom(300, 300, 100, 100), Done())
    assert Operation(driver, backwards, Consent("never", allow)).run("x").reached and backwards.looks[1].closer is None
    outside = Script(Click(5000, 5), Done())
    assert (
        Operation(driver, outside, Consent("never", allow)).run("x").reached and "not on the screen" in outside.looks[1].notes[0]
    )
    driver.page.close()
    assert "the page was closed" in Operation(driver, Script(), Consent("never", allow)).run("x").reason
    tokens = Script(Decision((Wait(0.01),), tokens=10), Decision((Wait(0.01),), tokens=10))
    assert "tokens is reached" in Operation(at("/form"), tokens, Consent("never", allow), Limits(tokens=15)).run("x").reason


def test_a_file_that_is_no_replay_is_refused(tmp_path):
    (tmp_path / "a.html").write_text("<p>hello</p>")
    for name in ("a.html", "none.html"):
        with pytest.raises(RequestError, match="is no replay"):
            read_replay(tmp_path / name)
