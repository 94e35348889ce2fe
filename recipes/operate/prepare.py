"""Draw screens and write conversations about them: where is what, as a point in hundredths of the screen's width and height.

    PYTHONPATH=. python recipes/operate/prepare.py STARTER_WORK WORK [screens=8000]

WORK/train.json and val.json are conversations; WORK/held_out.json has questions on themes and fonts that no training uses, and
WORK/miniwob.json on pages of MiniWoB (its package is downloaded), with the box of each answer.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from screens import HELD_OUT_THEMES, SIDE, THEMES, Theme, Widget, random_screen

from samespace.operating.screen.driver import start_chromium

HELD_OUT_FONTS = ("LiberationSansNarrow", "DejaVuSerifCondensed", "DejaVuSansMono")
VAL, HELD_OUT, QUESTIONS = 200, 200, 3
PAGES = "click-test click-button click-link click-tab click-checkboxes click-option click-dialog".split()
"""Pages of MiniWoB; nothing is trained on them."""
SEEDS = 10
FIND = """() => [...document.querySelectorAll('#area button, #area a, #area input, #area label, #area .alink')].map(e => {
  const box = e.getBoundingClientRect(); return [e.tagName, (e.innerText || e.value || '').trim(), box.left, box.top, box.right, box.bottom] })"""


def asked(widget: Widget) -> str:
    """Return the question for a widget."""
    return f"Where is the “{widget.name}” {widget.kind}?"


def told(widget: Widget) -> str:
    """Return the answer: the point in hundredths."""
    x, y = widget.point
    return f"{round(100 * x)}, {round(100 * y)}"


def drawn(folder: Path, themes: tuple[Theme, ...], fonts: list[Path], seeds: Sequence[int]) -> Iterator[tuple[str, list[Widget]]]:
    """Draw a screen for each seed; yield its file's name and the widgets that are asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        image, widgets = random_screen(rng, themes, fonts)
        if not widgets:
            continue
        image.save(folder / f"{seed}.png", compress_level=3)
        chosen = rng.permutation(len(widgets))[:QUESTIONS]
        yield f"{folder.name}/{seed}.png", [widgets[i] for i in chosen]


def conversation(name: str, widgets: list[Widget]) -> dict[str, Any]:
    """Return an entry of LLaVA's JSON."""
    turns = []
    for i, widget in enumerate(widgets):
        turns.append({"from": "human", "value": ("<image>\n" if i == 0 else "") + asked(widget)})
        turns.append({"from": "gpt", "value": told(widget)})
    return {"id": name, "image": name, "conversations": turns}


def question(name: str, widget: Widget) -> dict[str, Any]:
    """Return a question, with the box of its answer in shares of the screen's sides."""
    return {"image": name, "question": asked(widget), "box": [n / SIDE for n in widget.box]}


def of_miniwob(work: Path) -> Iterator[dict[str, Any]]:
    """Yield questions about pages of MiniWoB, on screenshots of their task's part."""
    from benchmarks import operate

    folder = work / "miniwob"
    folder.mkdir(parents=True, exist_ok=True)
    playwright, browser = start_chromium()
    page = browser.new_page(viewport={"width": 160, "height": 160}, device_scale_factor=SIDE / 160)
    for task in PAGES:
        for seed in range(SEEDS):
            page.goto(f"file://{operate.pages().resolve()}/{task}.html")
            page.wait_for_selector("#sync-task-cover", state="visible")
            page.add_style_tag(content="#reward-display, #click-canvas, #query { display: none !important }")
            page.evaluate(operate.START, [seed, 10**9])
            name = f"miniwob/{task}-{seed}.png"
            page.screenshot(path=str(work / name), scale="device")
            for tag, text, *box in page.evaluate(FIND):
                kind = {"BUTTON": "button", "INPUT": "field", "LABEL": "checkbox"}.get(tag, "link")
                if text and max(box) <= 160 and min(box) >= 0:
                    yield question(name, Widget(kind, text, tuple(round(n * SIDE / 160) for n in box)))
    browser.close()
    playwright.stop()


def main(starter: Path, work: Path, screens: int) -> None:
    fonts = sorted(p for p in (starter / "sources").glob("fonts-*/**/*.ttf") if "Math" not in p.name)
    held = [p for p in fonts if p.name.startswith(HELD_OUT_FONTS)]
    usual = [p for p in fonts if p not in held]
    for split, seeds in (("train", range(screens)), ("val", range(10**9, 10**9 + VAL))):
        rows = [conversation(*one) for one in drawn(work / split, THEMES, usual, seeds)]
        (work / f"{split}.json").write_text(json.dumps(rows), "utf-8")
    seeds = range(2 * 10**9, 2 * 10**9 + HELD_OUT)
    questions = [question(name, w) for name, widgets in drawn(work / "held_out", HELD_OUT_THEMES, held, seeds) for w in widgets]
    (work / "held_out.json").write_text(json.dumps(questions), "utf-8")
    (work / "miniwob.json").write_text(json.dumps(list(of_miniwob(work))), "utf-8")
    Image.open(work / "train/0.png").verify()


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[3:])
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(options.get("screens", 8000)))
