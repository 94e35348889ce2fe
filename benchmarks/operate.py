"""MiniWoB: small pages with a task each, done by random clicks, by text alone, by the local policy, and by an assistant if one is named.

    python -m benchmarks operate                      # 45 tasks × 20 seeds; MINIWOB_SEEDS=3 for fewer, MINIWOB_TASKS=a,b for some
    SAMESPACE_OPERATOR=anthropic:MODEL python -m benchmarks operate      # another column
    MINIWOB_HELD_OUT=1 python -m benchmarks operate   # the 15 tasks that nothing was tuned on
    MINIWOB_SIDES=ours python -m benchmarks operate   # one column alone: several can run at once, and a last run shows them together

Each episode's reward is kept in .bench/miniwob, by what the policy's code is, so that a run that was stopped goes on where it was.

Pages and rewards: Shi et al. 2017, "World of Bits"; Liu et al. 2018; Farama's package `miniwob` (MIT), of which the pages alone are used.
Both lists were drawn before anything was tuned: random.Random(17).sample of 74 tasks that need neither dragging nor reactions, without
those of the first list that share a page's code with one of the second. The reward is the page's own, without its decay with time: done
is 1, half done what the page says, wrong or out of steps 0.
"""

import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import samespace
from samespace.core.errors import SamespaceError
from samespace.operating.local.policy import LocalPolicy
from samespace.operating.loop import Limits, Operation, Step
from samespace.operating.operate import open_policy
from samespace.operating.screen.actions import Click
from samespace.operating.screen.consent import NEVER, Consent
from samespace.operating.screen.driver import PageDriver, start_chromium
from samespace.operating.screen.policy import Decision, Look, Policy

from . import WORK

WHEEL = "miniwob==1.1.0"
TASKS = (
    "book-flight buy-ticket choose-list click-button click-button-sequence click-checkboxes click-checkboxes-large click-checkboxes-soft "
    "click-collapsible click-collapsible-2 click-dialog click-link click-option click-pie click-scroll-list click-tab click-test click-widget "
    "enter-password enter-text enter-text-2 enter-text-dynamic enter-time find-greatest find-word form-sequence-2 generate-number "
    "guess-number multi-layouts navigate-tree odd-or-even order-food phone-book read-table read-table-2 scroll-text search-engine "
    "sign-agreement simple-algebra social-media social-media-all social-media-some terminal use-autocomplete use-spinner"
).split()
HELD_OUT = (
    "choose-date-easy click-dialog-2 click-menu-2 click-tab-2-easy click-test-2 email-inbox-forward-nl email-inbox-noscroll "
    "email-inbox-star-reply enter-date focus-text focus-text-2 form-sequence-3 login-user login-user-popup simple-arithmetic"
).split()
"""Read once, at the end."""
PACKAGE = Path(samespace.__file__).parent
CODE = (*sorted((PACKAGE / "operating").rglob("*.py")), PACKAGE / "media" / "ocr.py", Path(__file__))
"""What decides how an episode ends."""
SEEDS, STEPS = 20, 12
SCALE = 4
"""Pixels of a screenshot for each of the page's, which are few: 160 × 210."""
SIZE = (160, 210)
START = """([seed, ms]) => { core.endEpisode(0); core.EPISODE_MAX_TIME = ms; Math.seedrandom(seed); core.startEpisodeReal(); }"""
UTTERANCE = "(u => typeof u === 'string' ? u : u.utterance)(core.getUtterance())"
DONE, REWARD = "WOB_DONE_GLOBAL", "WOB_DONE_GLOBAL ? WOB_RAW_REWARD_GLOBAL : 0"


class RandomPolicy:
    """Clicks anywhere."""

    name = "random"

    def begin(self, task: str, size: tuple[int, int]) -> None:
        self.size, self.rng = size, random.Random(task)

    def decide(self, look: Look) -> Decision:
        return Decision((Click(self.rng.randrange(self.size[0]), self.rng.randrange(self.size[1])),))


class TextPolicy(LocalPolicy):
    """The local policy without meaning and sight: only words that are written as they are asked for."""

    name, by_meaning = "text", False


def pages() -> Path:
    """Return the folder of MiniWoB's pages, downloaded once."""
    folder = WORK / "miniwob"
    if not (folder / "miniwob" / "html").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", WHEEL, "-d", str(folder)], check=True)
        (wheel,) = folder.glob("miniwob-*.whl")
        zipfile.ZipFile(wheel).extractall(folder)
    return folder / "miniwob" / "html" / "miniwob"


def episode(page: Any, task: str, seed: int, policy: Policy, times: list[float]) -> float:
    """Do one task and return its reward, 0 to 1."""
    page.goto(f"file://{pages().resolve()}/{task}.html")
    page.wait_for_selector("#sync-task-cover", state="visible")
    page.add_style_tag(content="#reward-display, #click-canvas { display: none !important }")
    page.evaluate(START, [seed, 10**9])
    driver = PageDriver(page)

    class Ended(Exception):
        pass

    def on_step(step: Step) -> None:
        times.append(step.seconds)
        if page.evaluate(DONE):
            raise Ended

    try:
        operation = Operation(driver, policy, Consent(NEVER, lambda question: True), Limits(STEPS), on_step)
        if (outcome := operation.run(page.evaluate(UTTERANCE))).steps == 0:  # an endpoint that refuses, say: nothing is measured
            sys.exit(f"{task}: {outcome.reason}")
    except (Ended, SamespaceError):
        pass
    finally:
        driver.close()
    return max(0.0, float(page.evaluate(REWARD)))


class Kept:
    """The rewards of a policy's episodes, and how long its steps took, in a file that is named after its code."""

    def __init__(self, side: str):
        named = [samespace.load("starter").fingerprint, os.environ.get("SAMESPACE_OPERATOR", "") if side == "endpoint" else ""]
        code = hashlib.sha256(b"".join([*(path.read_bytes() for path in CODE), *map(str.encode, named)]))
        self.file = WORK / "miniwob" / f"{side}-{code.hexdigest()[:12]}.jsonl"
        lines = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        self.episodes = {(one["task"], one["seed"]): one for one in map(json.loads, lines)}

    def add(self, task: str, seed: int, reward: float, times: list[float]) -> None:
        """Keep an episode."""
        self.episodes[task, seed] = one = {"task": task, "seed": seed, "reward": reward, "times": times}
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")


def measure(side: str, make: Callable[[], Policy], tasks: list[str], seeds: int) -> tuple[dict[str, float], float]:
    """Return the mean reward of each task, and the median seconds of a step; what is kept is not measured again."""
    kept, rewards, all_times = Kept(side), dict[str, float](), list[float]()
    playwright, browser = start_chromium()
    try:
        policy = make()
        for task in tasks:
            context = browser.new_context(
                viewport={"width": SIZE[0], "height": SIZE[1]}, device_scale_factor=SCALE, locale="en-US", timezone_id="UTC"
            )
            page = context.new_page()
            for seed in range(seeds):
                if (task, seed) not in kept.episodes:
                    times: list[float] = []
                    kept.add(task, seed, episode(page, task, seed, policy, times), times)
            context.close()
            found = [kept.episodes[task, seed] for seed in range(seeds)]
            rewards[task] = statistics.mean(one["reward"] for one in found)
            all_times += [seconds for one in found for seconds in one["times"]]
            print(f"    {side:10} {task:24} {rewards[task]:.2f}", file=sys.stderr, flush=True)
    finally:
        browser.close()
        playwright.stop()
    return rewards, statistics.median(all_times) if all_times else 0.0


def run() -> Iterator[dict[str, Any]]:
    seeds = int(os.environ.get("MINIWOB_SEEDS", SEEDS))
    named = os.environ.get("MINIWOB_TASKS", "").split(",") if os.environ.get("MINIWOB_TASKS") else []
    tasks = named or (HELD_OUT if os.environ.get("MINIWOB_HELD_OUT") else TASKS)
    space = samespace.load("starter")
    sides: dict[str, Callable[[], Policy]] = {
        "random": RandomPolicy,
        "text": lambda: TextPolicy(space),
        "ours": lambda: LocalPolicy(space),
    }
    if operator := os.environ.get("SAMESPACE_OPERATOR"):
        sides["endpoint"] = lambda: open_policy(operator, lambda question: True)
    if chosen := os.environ.get("MINIWOB_SIDES"):
        sides = {side: sides[side] for side in chosen.split(",")}
    found: dict[str, dict[str, float]] = {}
    started = time.time()
    for side, make in sides.items():
        found[side], step = measure(side, make, tasks, seeds)
        yield {
            "what": f"MiniWoB, {len(tasks)} tasks × {seeds} seeds, {side}: reward, s a step",
            "ours": f"{statistics.mean(found[side].values()):.3f}, {step:.2f} s",
        }
    for task in tasks:
        last, *others = reversed(found)
        yield {
            "what": task,
            "ours": f"{found[last][task]:.2f}",
            "peer": ", ".join(f"{side} {found[side][task]:.2f}" for side in others),
        }
    print(f"    {time.time() - started:.0f} s", file=sys.stderr)
