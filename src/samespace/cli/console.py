"""What people see: results on stdout, talk on stderr, a progress bar, and errors as one sentence."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core

from ..core.errors import QueryError, SamespaceError, as_utf8

if TYPE_CHECKING:
    from ..library.results import Hit, Report
    from ..library.store.location import Home
    from ..train.config import Card
    from ..train.loop import Progress


LibraryPath = Annotated[
    str | None,
    typer.Option(
        "--library",
        "-l",
        envvar="SAMESPACE_LIBRARY",
        help="Folder of the library, or s3://bucket/folder.",
        show_default="user data",
    ),
]
SpaceName = Annotated[str | None, typer.Option("--space", "-s", envvar="SAMESPACE_SPACE", help="Name or folder of a space.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Revision = Annotated[str | None, typer.Option(help="Commit, branch or tag of the hub repository.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")]


NOTHING = "nothing found; index more, or loosen the filters and --min-relevance"
MANY = 20
"""Files skipped for one reason, above which they are not named one by one."""


class OneSentence(typer.core.TyperGroup):
    """Commands whose expected failures are one line on stderr and a non-zero exit."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SamespaceError as error:
            stop(str(error), 1)
        except KeyboardInterrupt:
            stop("stopped; what was done so far is kept, run the same command to go on (train: with --resume)", 130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our results has left
            sys.exit(141)
        except OSError as error:
            reason = f"{error.filename or ''} {error.strerror or error}".strip()
            stop(f"{reason}; check the path, its permissions and the free space", 1)


def stop(message: str, code: int) -> NoReturn:
    say(f"samespace: {one_line(message)}")
    sys.exit(code)


def out(text: str, end: str = "\n") -> None:
    """A result, on stdout."""
    print(text, end=end, flush=True)


def say(text: str) -> None:
    """Talk, on stderr."""
    print(as_utf8(text), file=sys.stderr, flush=True)


def readable(installed: dict[str, Path], read: Callable[[Path], Any]) -> Iterator[tuple[str, Path, Any]]:
    """Installed models as (name, folder, config); what is wrong with a damaged one is said, and the others go on."""
    for name, folder in installed.items():
        try:
            yield name, folder, read(folder)
        except SamespaceError as error:
            say(f"{name}: {error}")


def agree(size: int, what: str, yes: bool) -> None:
    """Say what would be downloaded, and end here unless the person agrees."""
    say(f"{size / 1e6:.0f} MB to download: {what}")
    if not yes and not typer.confirm("download?", default=True, err=True):
        raise typer.Exit(1)


def show_report(report: "Report", home: "Home", as_json: bool) -> None:
    for line in skipped_lines(report.skipped):
        say(line)
    counts = {n: getattr(report, n) for n in ("added", "reused", "moved", "removed", "same")}
    if as_json:
        skipped = [{"path": p, "reason": r} for p, r in report.skipped]
        out(json.dumps(counts | {"skipped": skipped, "seconds": round(report.seconds, 2), "library": str(home)}))
        return
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing to index"
    pace = report.looked / report.seconds if report.seconds else 0
    rate = f" ({pace:.{0 if pace >= 10 else 1}f} files/s)" if pace else ""
    out(f"{text}, {len(report.skipped)} skipped in {report.seconds:.1f} s{rate}")
    out(f"library: {home}")


def skipped_lines(skipped: list[tuple[str, str]]) -> Iterator[str]:
    """A line for each file that was skipped, or one for many that have the same reason."""
    alike: dict[str, list[str]] = {}
    for name, reason in skipped:
        alike.setdefault(reason, []).append(one_line(name))
    for reason, names in alike.items():
        if len(names) > MANY:
            yield f"skipped {len(names)} files, {names[0]} the first (--json names all): {reason}"
        else:
            yield from (f"skipped {name}: {reason}" for name in names)


def show_paths(hits: "list[Hit]", end: str) -> None:
    """The files of hits, each once, and what ends them."""
    if not hits:
        say(NOTHING)
    for path in dict.fromkeys(hit.path for hit in hits):
        out(path, end)


def show_hits(hits: "list[Hit]", style: str) -> None:
    from ..library.indexing.segments import place

    if not hits:
        say(NOTHING)
    for hit in hits:
        if style == "json":
            out(json.dumps({k: v.isoformat() if isinstance(v, datetime) else v for k, v in vars(hit).items()}))
        else:
            relevance = "" if hit.relevance is None else f"  {hit.relevance:4.0%}"
            where = place(hit)
            out(f"{hit.rank:3}  {hit.score:6.3f}{relevance}  {one_line(hit.path)}" + (f"  {where}" if where else ""))
            if style == "preview":
                from .preview import blocks

                out(blocks(hit))


def one_line(path: str) -> str:
    """A path with its control characters spelled out, so that it can neither break a line nor steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in path)


def lines_of(path: Path) -> list[str]:
    try:
        found = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path} cannot be read ({error}); give a UTF-8 text file with one entry a line") from None
    if not found:
        raise QueryError(f"{path} is empty; write one entry a line")
    return found


@contextlib.contextmanager
def progress_bar() -> Iterator[Any]:
    """A callback for Library.add that draws a bar with files/s and time left; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]:.0f} files/s"), TimeRemainingColumn(),
        TextColumn("{task.fields[skipped]} skipped"),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None, rate=0.0, skipped=0)

        def update(report: "Report", done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, rate=bar.tasks[0].speed or 0.0, skipped=len(report.skipped))

        yield update


@contextlib.contextmanager
def counting_bar(what: str, total: int) -> Iterator[Any]:
    """A callback that is told how many are done; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextlib.contextmanager
def training_bar() -> Iterator[Any]:
    """A callback for train.run.run: a bar with loss, pairs/s, time left; a line now and then where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, facts="")

        def update(progress: "Progress", card: "Card") -> None:
            facts = f"loss {progress.loss:.3f}  {progress.rate:.0f} pairs/s  {progress.memory} MB"
            facts += f"  {progress.bad} left out" if progress.bad else ""
            bar.update(task, completed=progress.step, total=card.steps, facts=facts)
            if not console.is_terminal and (progress.step % card.evaluate_every == 0 or progress.step in (1, card.steps)):
                say(f"step {progress.step}/{card.steps}  {facts}")

        yield update
