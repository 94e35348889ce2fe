"""What a terminal shows: results on stdout, all else on stderr, progress bars, errors as one sentence."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core

from ..core.characters import is_plain
from ..core.errors import MissingExtra, QueryError, SamespaceError, as_utf8

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

    from ..library.indexing import report
    from ..spaces.convert.hub import Remote
    from ..train.config import RunConfig
    from ..train.loop import Progress


LibraryPath = Annotated[
    str | None,
    typer.Option(
        "--library", "-l", envvar="SAMESPACE_LIBRARY", help="Folder of the library, or s3://bucket/folder.", show_default="user data"
    ),
]  # fmt: skip
SpaceName = Annotated[str | None, typer.Option("--space", "-s", envvar="SAMESPACE_SPACE", help="Name or folder of a space.")]
AssistantName = Annotated[
    str,
    typer.Option(
        "--assistant", "-a", envvar="SAMESPACE_ASSISTANT",
        help="Name or folder of an assistant, ollama:MODEL, a GGUF file, or an OpenAI-compatible endpoint: http://127.0.0.1:8000/v1#MODEL",
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]
Revision = Annotated[str | None, typer.Option(help="Commit, branch or tag of the hub repository.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")]


_AGAIN = "; finished work is kept, run the same command to continue"
GOES_ON = dict.fromkeys(("index", "read", "caption", "duplicates", "import", "map"), _AGAIN) | {
    "train": f"{_AGAIN} with --resume"
}
"""Command → what is said when Ctrl-C has stopped it, beside that it was."""


class CommandGroup(typer.core.TyperGroup):
    """Commands whose expected failures are one line on stderr and a non-zero exit code."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, which also takes --device."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and not hasattr(command, "commands") and all(p.name != "device" for p in command.params):
            command.params.append(
                typer.core.TyperOption(
                    param_decls=["--device"], help="Where image towers run: auto, cpu, cuda, openvino, coreml, directml or tensorrt.",
                    expose_value=False, callback=_use_device, metavar="NAME",
                )
            )  # fmt: skip
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with one sentence where it fails."""
        try:
            return super().invoke(ctx)
        except SamespaceError as error:
            exit_with_error(str(error), 1)
        except KeyboardInterrupt:
            exit_with_error(f"stopped{GOES_ON.get(ctx.invoked_subcommand, '')}", 130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit does not fail too
            sys.exit(141)
        except OSError as error:
            reason = f"{error.filename or ''} {error.strerror or error}".strip()
            exit_with_error(f"{reason}; check the path, its permissions and the free space", 1)


def _use_device(ctx: Any, param: Any, value: str | None) -> None:
    """Let --device name the device, as SAMESPACE_DEVICE does. Raises QueryError on one that there is not."""
    if value:
        from ..spaces.sessions import DEVICE, wanted_device

        os.environ[DEVICE] = wanted_device(value)


@contextlib.contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Turn an ImportError into MissingExtra, which says how to install the optional packages."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"{what} ({error.name})" if error.name else what, extra) from None


def print_result(text: str, end: str = "\n") -> None:
    """Print a result on stdout."""
    print(text, end=end, flush=True)


def print_status(text: str) -> None:
    """Print what is not a result on stderr."""
    print(as_utf8(text), file=sys.stderr, flush=True)


def exit_with_error(message: str, code: int) -> NoReturn:
    """Print an error and end the process with this exit code."""
    print_status(f"samespace: {escape_control(message)}")
    sys.exit(code)


def escape_control(text: str) -> str:
    r"""Return text with control characters written as \x1b, so that it neither breaks a line nor controls the terminal."""
    return "".join(c if is_plain(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def confirm_download(size: int, what: str, yes: bool) -> None:
    """Show what would be downloaded, `size` bytes; exit unless the user agrees."""
    print_status(f"{size / 1e6:.0f} MB to download: {what}")
    try:
        wanted = yes or typer.confirm("download?", default=True, err=True)
    except typer.Abort:  # the input has ended: nobody can be asked
        print_status("\nnothing was downloaded; add --yes to download it without being asked")
        wanted = False
    if not wanted:
        raise typer.Exit(1)


def download_from_hub(source: "Remote", yes: bool) -> Path:
    """Return the folder of a checkpoint of the hub, downloaded if the user agrees and it was not before. Raises Offline, UnknownSpace."""
    from ..spaces.convert import hub

    if not hub.is_cached(source):
        confirm_download(source.size, source.what, yes)
    return hub.download(source)


def add_remove(group: typer.Typer, removable: Callable[[], dict[str, Path]]) -> None:
    """Give a group of commands about models one that removes a model; `removable` returns names → folders."""

    @group.command("remove")
    def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="As `list` shows it.")]) -> None:
        """Remove a model from the disk."""
        import shutil

        folder = removable().get(name)
        if folder is None:
            of = context.parent.info_name if context.parent else ""
            raise QueryError(f"{name!r} is not installed, or comes with samespace; see: samespace {of} list")
        if folder.is_symlink():
            folder.unlink()  # what it points to is another's
        else:
            shutil.rmtree(folder)
        print_status(f"{escape_control(name)} is removed")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, empty ones left out. Raises QueryError."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path} cannot be read ({error}); give a UTF-8 text file with one entry per line") from None
    if not lines:
        raise QueryError(f"{path} is empty; write one entry per line")
    return lines


@contextlib.contextmanager
def indexing_bar() -> Iterator["report.Progress | None"]:
    """Yield a callback for Library.add that draws files/s and the time left; None where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import TextColumn

    rate, skipped = TextColumn("{task.fields[rate]:.0f} files/s"), TextColumn("{task.fields[skipped]} skipped")
    with progress_bar("{task.description}", rate, skipped) as bar:
        task = bar.add_task("indexing", total=None, rate=0.0, skipped=0)

        def update(so_far: "report.Report", done: int, total: int) -> None:
            title = "comparing" if so_far.comparing else "indexing"
            bar.update(
                task, description=title, completed=done, total=total, rate=bar.tasks[0].speed or 0.0, skipped=len(so_far.skipped)
            )

        yield update


@contextlib.contextmanager
def counting_bar(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a callback that takes how many are done, and of how many; None where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with progress_bar(title) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def training_bar() -> Iterator["Callable[[Progress, RunConfig], None]"]:
    """Yield a callback for a training run that shows loss, samples/s and the time left.

    Where stderr is not a terminal, it prints a line at the first step, at each evaluation and at the last step.
    """
    if not sys.stderr.isatty():
        yield print_training_step
        return
    from rich.progress import TextColumn

    with progress_bar("training", TextColumn("{task.fields[numbers]}"), transient=False) as bar:
        task = bar.add_task("", total=None, numbers="")

        def update(progress: "Progress", config: "RunConfig") -> None:
            bar.update(task, completed=progress.step, total=config.steps, numbers=training_numbers(progress))

        yield update


def print_training_step(progress: "Progress", config: "RunConfig") -> None:
    """Print a line about this step if it is the first, the last, or one with an evaluation."""
    if progress.step % config.evaluate_every == 0 or progress.step in (1, config.steps):
        print_status(f"step {progress.step}/{config.steps}  {training_numbers(progress)}")


def training_numbers(progress: "Progress") -> str:
    """Return loss, speed and memory as text."""
    skipped = f"  {progress.skipped} skipped" if progress.skipped else ""
    return f"loss {progress.loss:.3f}  {progress.samples_per_second:.0f} samples/s  {progress.peak_memory} MB{skipped}"


def progress_bar(title: str, *columns: "ProgressColumn", transient: bool = True) -> "Bar":
    """Return a bar on stderr: title, count, these columns, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (TextColumn(title), BarColumn(), MofNCompleteColumn(), *columns, TimeRemainingColumn())
    return Progress(*shown, console=Console(stderr=True), transient=transient)
