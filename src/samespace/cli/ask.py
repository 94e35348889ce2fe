"""`samespace ask`, `chat`, `caption`, `assistants`, `serve` and `mcp`."""

import json
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import MissingExtra, QueryError, SamespaceError
from ..core.paths import expanded
from .console import Json, LibraryPath, OneSentence, Revision, SpaceName, Yes, agree, one_line, out, readable, say, stop

if TYPE_CHECKING:
    from ..assistant.request import Reply

assistants = typer.Typer(cls=OneSentence, help="List and install assistants.", no_args_is_help=True)

AssistantName = Annotated[
    str,
    typer.Option(
        "--assistant", "-a", envvar="SAMESPACE_ASSISTANT",
        help="Name or folder of an assistant, or an OpenAI-compatible endpoint: http://127.0.0.1:11434/v1#MODEL",
    ),
]  # fmt: skip
AboutLibrary = Annotated[str | None, typer.Option("--library", "-l", help="Answer over this library.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="0 takes the likeliest word each time.")]
Seed = Annotated[int | None, typer.Option(help="Makes answers drawn at a temperature repeatable.")]


def ask(
    words: Annotated[
        list[str], typer.Argument(metavar="[FILE]... QUESTION", help="Pictures, films or documents, then the question.")
    ],
    library: AboutLibrary = None,
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    json_: Json = False,
) -> None:
    """Ask about pictures, films and documents, or about what is in a library."""
    from ..assistant.excerpts import shown
    from ..assistant.open import open_assistant
    from ..assistant.request import Message, Request
    from ..assistant.retrieval_answers import ask_library
    from ..library.indexing.embed import names_file
    from ..library.indexing.segments import place
    from ..library.library import Library
    from ..spaces import hub

    *paths, text = words
    settings = dict(max_tokens=max_tokens, temperature=temperature, seed=seed)
    if names_file(text):
        raise QueryError(f'{text} is a file; end with a question: samespace ask {text} "What is in this image?"')
    if library is None and not paths:
        raise QueryError('there is nothing to ask about; name files before the question, or a library: samespace ask -l DIR "…"')
    if library is None:
        space = hub.load("starter")
        files = [shown(expanded(path), text, space) for path in paths]
        parts = tuple(part for file in files for part in file.parts)
        reply = open_assistant(assistant).answer(Request((Message("user", (*parts, text)),), **settings))
        answer = spoken(reply, silent=json_)
        cited = [{"path": path} | ({"places": file.places} if file.places else {}) for path, file in zip(paths, files)]
        for path, file in zip([] if json_ else paths, files):
            if file.places:
                out(f"from {one_line(path)}: {', '.join(file.places)} ({len(file.places)} of {file.of} shown)")
        limit = f" of {reply.outcome.context}" if reply.outcome.context else ""
        say(f"{reply.outcome.prompt}{limit} tokens read, {reply.outcome.pictures} of them pictures")
    elif paths:
        raise QueryError("with --library, give a question only; or leave --library out and ask about the pictures named")
    else:
        found = ask_library(Library(library), open_assistant(assistant), text, **settings)
        reply, answer = found.reply, spoken(found.reply, silent=json_)
        cited = [
            {"number": found.hits.index(hit) + 1, "path": hit.path, "place": place(hit), "score": hit.score}
            for hit in found.used(answer)
        ]
        for hit in [] if json_ else cited:
            out(f"[{hit['number']}] {one_line(hit['path'])}  {hit['place']}".rstrip())
    if json_:
        out(json.dumps({"answer": answer, "pictures": cited, "usage": vars(reply.outcome)}))


def chat(
    paths: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures to talk about.")],
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = None,
) -> None:
    """Talk about pictures: one question a line, until an empty one."""
    from ..assistant.open import open_assistant
    from ..assistant.request import Message, Picture, Request

    pictures, messages = tuple(Picture.read(path) for path in paths), []
    opened = open_assistant(assistant)
    while text := asked():
        said = [*messages, Message("user", (text,) if messages else (*pictures, text))]
        try:
            answer = spoken(opened.answer(Request(tuple(said), max_tokens, temperature, seed=seed)))
        except SamespaceError as error:
            say(f"samespace: {one_line(str(error))}")
            continue
        messages = [*said, Message("assistant", (answer,))]


def asked() -> str:
    """The next question; empty at the end of the input."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def spoken(reply: "Reply", silent: bool = False) -> str:
    """Write an answer as it comes; return it whole."""
    pieces = []
    for piece in reply:
        pieces.append(piece)
        if not silent:
            print(harmless(piece), end="", flush=True)
    if not silent:
        print(flush=True)
    return "".join(pieces)


def harmless(text: str) -> str:
    """Text that cannot steer a terminal."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def trace(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.")],
    words: Annotated[str, typer.Argument(metavar="QUESTION", help="What is asked about it.")],
    html: Annotated[Path | None, typer.Option(help="Write the six steps to this HTML file, pictures included.")] = None,
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 48,
) -> None:
    """Show what happens inside an assistant, step by step, on one picture and one question."""
    from ..assistant.open import open_assistant
    from ..assistant.request import Picture

    opened = open_assistant(assistant)
    try:
        from ..explain.report import write_report
        from ..explain.trace import lines
        from ..explain.trace import trace as traced
    except ImportError as error:
        raise MissingExtra(f"looking inside ({error.name})", "ask") from None
    steps = traced(opened, Picture.read(image), words, max_tokens)
    for line in lines(steps):
        out(line)
    if html is not None:
        write_report(html, steps, words, opened.name)
        say(f"the six steps, with pictures: {html}")


def serve(
    library: LibraryPath = None,
    space: SpaceName = None,
    assistant: AssistantName = "starter",
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine reach only another one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8077,
    api_key: Annotated[str, typer.Option(envvar="SAMESPACE_API_KEY", help="Ask clients for this bearer key.")] = "",
    allow_host: Annotated[list[str] | None, typer.Option(help="Another name this server answers to; may be repeated.")] = None,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch pictures from public http URLs.")] = False,
    also: Annotated[list[str] | None, typer.Option(help="Another library to choose on the pages; may be repeated.")] = None,
) -> None:
    """Serve search, embeddings and answers to this machine, in OpenAI's shapes."""
    try:
        import uvicorn

        from ..server.app import create_server
    except ImportError as error:
        raise MissingExtra(f"serving ({error.name})", "serve") from None
    from ..library.library import Library

    libraries = [Library(library, space), *(Library(other) for other in also or ())]
    app = create_server(libraries, assistant, key=api_key, allow_urls=allow_urls, hosts=(host, *(allow_host or ())))
    with listening(host, port) as socket_:
        threading.Thread(target=lambda: [library.warm() for library in libraries], daemon=True).start()
        say(f"serving on http://{f'[{host}]' if ':' in host else host}:{port} (programs: /v1); stop with Ctrl-C")
        if host not in ("127.0.0.1", "localhost", "::1"):
            say("others on the network can reach it: whoever does can search and see your pictures; set a key with --api-key")
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[socket_])


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections; where there can be none, one sentence and the end."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        stop(f"cannot listen ({error.strerror}); choose another --port, or --host", 1)


def mcp(
    library: LibraryPath = None,
    space: SpaceName = None,
    assistant: AssistantName = "starter",
) -> None:
    """Offer search, ask and classify to other programs' assistants, as an MCP server over stdio."""
    try:
        from ..server.mcp_server import create_tools
    except ImportError as error:
        raise MissingExtra(f"an MCP server ({error.name})", "serve") from None
    from ..library.library import Library

    create_tools(Library(library, space), assistant).run("stdio")


def caption(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of pictures, or one picture.")],
    to: Annotated[Path, typer.Option("--to", help="Table of filepath, title that captions are added to.")] = Path("captions.tsv"),
    library: Annotated[
        str | None, typer.Option("--library", "-l", help="Write them into this library too, for its searches.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the assistant is asked.")] = "What is in this image?",
    assistant: AssistantName = "starter",
    max_tokens: MaxTokens = 64,
) -> None:
    """Write a caption for every picture of a folder. Run it again to go on where it stopped."""
    from ..assistant.caption import caption_folder, read_captions
    from ..assistant.open import open_assistant

    counts = caption_folder(folder, to, open_assistant(assistant), prompt, max_tokens, say)
    out(f"{counts.written} written, {counts.kept} kept, {counts.skipped} skipped: {to}")
    if library is not None:
        from ..library.library import Library

        captions = read_captions(to)
        count = Library(library).write_captions(captions)
        rest = "" if count == len(captions) else "; the other pictures are not in it, index their folder first"
        out(f"{count} of {len(captions)} captions are searched in {library}{rest}")


@assistants.command("list")
def assistants_list(json_: Json = False) -> None:
    """List the installed assistants."""
    shelf = shelf_or_say()
    from ..assistant.checkpoint import read_config

    for name, folder, config in readable(shelf.installed(), read_config):
        size = sum(f.stat().st_size for f in folder.iterdir())
        if json_:
            out(json.dumps({"name": name, "space": config.space, "bytes": size, "folder": str(folder)}))
        else:
            out(f"{name:40} {size / 1e6:6.0f} MB  {folder}")


@assistants.command("pull")
def assistants_pull(
    name: Annotated[str, typer.Argument(help="starter, a LLaVA on the Hugging Face hub such as org/name, or a folder.")],
    revision: Revision = None,
    yes: Yes = False,
) -> None:
    """Install an assistant; its language model is downloaded once."""
    shelf = shelf_or_say()
    source = shelf.to_download(name, revision)
    if source is not None:
        agree(source.size, source.what, yes)
    if name in shelf.LANGUAGE_MODELS:
        out(str(shelf.fetch(shelf.LANGUAGE_MODELS[name])))
        return
    config = shelf.install(name, source)
    say(f"installed; use it with: samespace ask IMAGE QUESTION --assistant {config.name}")


def shelf_or_say():
    try:
        from ..assistant import registry as shelf
    except ImportError as error:
        raise MissingExtra(f"assistants ({error.name})", "ask") from None
    return shelf
