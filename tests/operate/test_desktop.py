"""A desktop that nobody sees, under Xvfb, with a small program on it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import samespace
from samespace.core.errors import OperationStopped, RequestError
from samespace.media import ocr
from samespace.operating.local.policy import LocalPolicy
from samespace.operating.loop import Operation
from samespace.operating.screen.actions import Click, Drag, Key, Scroll, Type
from samespace.operating.screen.consent import Consent
from samespace.operating.screen.desktop import DesktopDriver

PROGRAM = Path(__file__).with_name("desktop_program.py")
needs_desktop = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="no Xvfb; install xvfb and python3-tk")


@pytest.fixture(scope="module")
def display():
    """A display with a number that is free."""
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL)  # fmt: skip
    os.close(write)
    with os.fdopen(read) as number:
        yield f":{number.readline().strip()}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def program(display, tmp_path):
    """The program, and the driver of its desktop; yields the driver and the file of what was done."""
    pytest.importorskip("tkinter", reason="no tkinter; install python3-tk")
    report = tmp_path / "report.txt"
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(report)], env=os.environ | {"DISPLAY": display}, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout.readline().strip() == "ready"
    driver = DesktopDriver(f"desktop{display}")
    yield driver, report
    driver.close()
    process.terminate()
    process.communicate(timeout=10)


def written(report):
    """Return what the program wrote, when it has."""
    for _ in range(50):
        if report.exists() and report.read_text("utf-8"):
            return report.read_text("utf-8")
        time.sleep(0.1)
    return None


@needs_desktop
def test_mouse_and_keyboard_of_a_desktop(program):
    driver, report = program
    assert driver.size == (800, 600) and driver.screenshot().size == (800, 600) and driver.url().startswith("desktop:")
    driver.act(Click(200, 46))
    driver.act(Type("Ada & Zoë – 5 €"))
    driver.act(Key("home"))
    driver.act(Type(">"))
    driver.act(Click(90, 172))
    assert written(report) == ">Ada & Zoë – 5 € 0"
    report.unlink()
    driver.act(Scroll(200, 300, 0, 100))
    assert written(report) == "down"
    report.unlink()
    driver.act(Drag(((75, 285), (300, 285))))
    assert abs(int(written(report)) - 245) <= 3
    with pytest.raises(RequestError, match="not on the screen of 800 × 600"):
        driver.act(Click(800, 10))


@needs_desktop
@pytest.mark.skipif(ocr.reader() is None, reason="no reader of text; install the extra ocr")
def test_the_local_policy_operates_a_program(program):
    driver, report = program
    operation = Operation(driver, LocalPolicy(samespace.load("starter")), Consent("never", lambda question: False))
    outcome = operation.run("Type Ada into Name, check Tea and press Send")
    assert outcome.reached and written(report) == "Ada 1"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # python-xlib leaves its socket open
def test_without_a_display_one_sentence_says_so():
    with pytest.raises(OperationStopped, match="the desktop :97531 cannot be reached"):
        DesktopDriver("desktop:97531")
