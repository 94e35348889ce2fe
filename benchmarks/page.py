"""The page over 100,000 photographs, in a real Chromium: its first paint, its timeline, and from the last key to the results."""

import os
import shutil
import statistics
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from samespace.library.demo import photographs
from samespace.library.store.lance import Store
from samespace.library.store.metadata import SpaceRecord
from samespace.library.store.records import Segment, SegmentWrite
from samespace.spaces import registry

from . import WORK
from .served import SAMESPACE, served

ROWS, PAINTS = 100_000, 7
PHRASES = (
    "a cat", "a cup of coffee", "rocket launch", "galaxies", "a motorcycle", "an astronaut smiling", "something to drink", "space",
    "a furry pet", "red", "night sky", "engine", "a woman in orange", "whiskers", "morning", "two wheels", "smoke and fire", "stars",
    "a wooden table", "green eyes",
)  # fmt: skip
WAITING = """() => {
  window.seen = null;
  new MutationObserver(() => { window.seen ??= performance.now(); }).observe(document.getElementById("grid"), { childList: true });
  document.getElementById("query").addEventListener("input", () => { window.typed = performance.now(); window.seen = null; });
}"""

SCROLLING = """async () => {
  const frames = [], frame = () => new Promise(requestAnimationFrame), height = document.body.scrollHeight;
  for (let i = 0, last = await frame(); i < 400; i++) {
    scrollBy(0, i < 200 ? 40 : height / 200);
    const now = await frame();
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""

MOVING = """async () => {
  const stage = document.getElementById("stage"), { left, top, width, height } = stage.getBoundingClientRect();
  const frames = [], frame = () => new Promise(requestAnimationFrame), [x, y] = [left + width / 2, top + height / 2];
  const send = (name, options) => stage.dispatchEvent(new (name === "wheel" ? WheelEvent : PointerEvent)(name, { bubbles: true, clientX: x, clientY: y, pointerId: 1, ...options }));
  stage.setPointerCapture = () => null;
  send("pointerdown", {});
  for (let i = 0, last = await frame(); i < 300; i++) {
    i < 150 ? send("pointermove", { clientX: x + 2 * i }) : send("wheel", { deltaY: i < 225 ? -30 : 30 });
    const now = await frame();
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""


def run() -> list[dict[str, str]]:
    from playwright.sync_api import sync_playwright

    made = library()
    started = time.perf_counter()
    subprocess.run([SAMESPACE, "map", "--again", "-l", str(made)], check=True, capture_output=True)
    laid_out = time.perf_counter() - started
    with served([SAMESPACE, "serve", "-l", str(made)]) as server, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        first, *others = (painted(browser, server.address) for _ in range(PAINTS))
        times, frames, moves = (measure(browser, server.address) for measure in (typed, scrolled, moved))
        browser.close()
    p50, p95 = statistics.median(times), float(np.percentile(times, 95))
    return [
        {
            "what": "first paint of the search page, nothing cached",
            "ours": f"{first:.0f} ms, then {statistics.median(others):.0f}",
        },
        {
            "what": f"a frame while the timeline scrolls, {ROWS:,} photographs, p50/p95",
            "ours": f"{statistics.median(frames):.0f}/{float(np.percentile(frames, 95)):.0f} ms",
        },
        {
            "what": f"a frame while the map of the space moves and zooms, {ROWS:,} points, p50/p95",
            "ours": f"{statistics.median(moves):.0f}/{float(np.percentile(moves, 95)):.0f} ms",
        },
        {"what": f"the map of {ROWS:,} photographs laid out", "ours": f"{laid_out:.0f} s"},
        {"what": f"last key to results, {ROWS:,} photographs, p50/p95", "ours": f"{p50:.0f}/{p95:.0f} ms"},
    ]


def painted(browser, address: str) -> float:
    """Milliseconds to the first contentful paint, in a browser that has seen nothing."""
    page = browser.new_context(bypass_csp=True).new_page()  # for wait_for_function
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    found = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.close()
    return found


def typed(browser, address: str) -> list[float]:
    """Milliseconds from the last key of each phrase to the change of the grid."""
    page, times = browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True), []
    page.goto(address)
    page.evaluate(WAITING)
    for phrase in PHRASES:
        page.fill("#query", "")
        page.wait_for_timeout(400)
        page.locator("#query").press_sequentially(phrase, delay=25)
        page.wait_for_function("window.seen > window.typed")
        times.append(page.evaluate("window.seen - window.typed"))
        page.wait_for_timeout(600)
    page.close()
    return times[2:]  # the first two warm up


def scrolled(browser, address: str) -> list[float]:
    """Milliseconds between frames, while the timeline scrolls: first at reading speed, then in leaps to its end."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_selector(".tile img")
    frames = page.evaluate(SCROLLING)
    page.close()
    return frames[5:]


def moved(browser, address: str) -> list[float]:
    """Milliseconds between frames, while the map is dragged, and then zoomed in and out."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/map")
    page.wait_for_selector("#query:not([disabled])")
    page.wait_for_timeout(3000)
    frames = page.evaluate(MOVING)
    page.close()
    return frames[5:]


def library() -> Path:
    """The demo's photographs, each many thousand times under other names, with vectors a little apart; made once."""
    path, files, space = WORK / "page", photographs(), registry.load("starter")
    if (path / "done").exists():
        return path / "library"
    shutil.rmtree(path, ignore_errors=True)
    (path / "photographs").mkdir(parents=True)
    originals = [Path(shutil.copy(file, path)) for file in files]
    store, z, rng = Store(path / "library"), space.image(originals), np.random.default_rng(0)
    with store.writing():
        store.add_space(space.fingerprint, SpaceRecord("starter", space.dim))
        for start in range(0, ROWS, 20_000):
            store.upsert(
                [row(path / "photographs", originals, z, i, rng, space.fingerprint) for i in range(start, start + 20_000)]
            )
        store.finish(space.fingerprint)
    (path / "done").touch()
    return path / "library"


def row(folder: Path, originals: list[Path], z: np.ndarray, i: int, rng: np.random.Generator, fingerprint: str) -> SegmentWrite:
    source = originals[i % len(originals)]
    link = folder / f"{i:06}{source.suffix}"
    os.link(source, link)
    found, near = link.stat(), z[i % len(z)] + rng.normal(0, 0.02, z.shape[1]).astype(np.float32)
    width, height = Image.open(source).size
    taken = int(rng.uniform(1.1e15, 1.78e15))  # microseconds: 2004 to 2026
    segment = Segment(
        str(link), "image", root=str(folder), hash=f"{i % 500:032x}", size=found.st_size, mtime=found.st_mtime_ns, width=width, height=height,
        taken_at=datetime.fromtimestamp(taken / 1e6, UTC), time=taken,
    )  # fmt: skip
    return SegmentWrite(segment, {fingerprint: near / np.linalg.norm(near)})
