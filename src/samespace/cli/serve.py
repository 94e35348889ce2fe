"""`samespace serve` and `mcp`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.paths import expanded
from .console import AssistantName, LibraryPath, SpaceName, exit_with_error, needs_extra, print_status

if TYPE_CHECKING:
    import socket

    from ..library.library import Library


def serve(
    library: Annotated[
        list[str] | None,
        typer.Option(
            "--library",
            "-l",
            help="Folder of a library, or s3://bucket/folder; may be repeated: the pages then offer a choice.",
            show_default="$SAMESPACE_LIBRARY, or user data",
        ),
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", "-s", envvar="SAMESPACE_SPACE", help="Name or folder of the (first) library's space.")
    ] = None,
    assistant: AssistantName = "starter",
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines connect, by a name that --allow-host gives.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8077,
    api_key: Annotated[str, typer.Option(envvar="SAMESPACE_API_KEY", help="Require this bearer key from clients.")] = "",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name that this server answers to; may be repeated.")
    ] = None,
    watch: Annotated[
        list[Path] | None,
        typer.Option(help="Index this folder, and what is new in it, into the (first) library; may be repeated."),
    ] = None,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch images from public http URLs.")] = False,
) -> None:
    """Serve the pages, and an OpenAI-compatible API for search, embeddings and answers."""
    import threading

    with needs_extra("serving", "serve"):
        import uvicorn

        from ..server.app import create_server
        from ..server.protocol import MOST_CONNECTIONS, PromptProtocol
        from ..server.services.security import LOOPBACK
    from ..library.library import Library

    first, *others = [*library] if library else [None]
    libraries = [Library(first, space), *(Library(other) for other in others)]
    app = create_server(libraries, assistant, key=api_key, allow_urls=allow_urls, hosts=(host, *(allow_host or ())))
    with listen(host, port) as listener:
        threading.Thread(target=warm, args=(libraries,), daemon=True).start()
        if watch:
            threading.Thread(target=watch_folders, args=(libraries[0], watch), daemon=True).start()
        print_status(f"serving on http://{f'[{host}]' if ':' in host else host}:{port} (API: /v1); stop with Ctrl-C")
        if host not in LOOPBACK and not api_key:
            print_status("other machines can connect, search and see your pictures; require a key with --api-key")
        config = uvicorn.Config(
            app, http=PromptProtocol, limit_concurrency=MOST_CONNECTIONS, log_level="warning", server_header=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def watch_folders(library: "Library", folders: list[Path]) -> None:
    """Index folders, and what is new in them, for as long as the server runs."""
    import threading

    from ..core.errors import SamespaceError
    from ..library.watch import watch

    try:
        roots = [expanded(folder).absolute() for folder in folders]
        watch(
            library,
            roots,
            lambda report: print_status(f"{report.stored} new, {report.removed} gone, {len(report.skipped)} not read"),
            print_status,
            threading.Event(),
        )
    except SamespaceError as error:
        print_status(f"nothing is watched: {error}")


def warm(libraries: "list[Library]") -> None:
    """Load what the first searches need."""
    for library in libraries:
        library.warm()


def listen(host: str, port: int) -> "socket.socket":
    """Return a socket that accepts connections; exit where the address cannot be used."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        exit_with_error(f"cannot listen ({error.strerror}); choose another --port, or --host", 1)


def mcp(
    library: LibraryPath = None,
    space: SpaceName = None,
    assistant: AssistantName = "starter",
    operate: Annotated[
        list[str] | None, typer.Option(help="Also offer a browser that may go to this origin, such as http://localhost:3000.")
    ] = None,
    confirm: Annotated[
        str, typer.Option(help="In the browser, refuse always; submits: what sends, buys, deletes or downloads; never.")
    ] = "submits",
) -> None:
    """Offer search, overview, duplicates, ask, classify and learn to other assistants, as an MCP server over stdio; and a browser, if it is wanted."""
    with needs_extra("an MCP server", "serve"):
        from ..server.mcp_server import create_mcp_server
    from ..library.library import Library

    screen = None
    if operate:
        with needs_extra("operating pages", "operate"):
            from ..server.screen_tools import ScreenTools
        screen = ScreenTools(tuple(operate), confirm, os.environ.get("SAMESPACE_OPERATOR", "local"))
    try:
        create_mcp_server(Library(library, space), assistant, screen).run("stdio")
    finally:
        if screen:
            screen.close()
