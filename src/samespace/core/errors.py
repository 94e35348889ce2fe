"""Every error samespace raises on purpose. Each message says what is wrong and ends with what to do.

SamespaceError
├── UnreadableMedia      one file cannot be read; a run skips it and goes on
├── UnknownSpace         a space cannot be found or understood
│   └── UnsupportedModel it is a model that our towers cannot be
├── WrongSpace           vectors of one space meet another space
├── WeightsMismatch      a checkpoint does not fit the architecture it names
├── LibraryError         a library is missing, broken or busy
│   ├── MissingLibrary   it is not there, or what is to be indexed, or was asked of it, is not
│   └── LibraryBusy      another process is writing to it
├── QueryError           a query, label list or filter cannot be understood
├── UnknownAssistant     an assistant or language model cannot be found or understood
├── RequestError         a question cannot be answered as it was asked
├── ConfigError          a run config cannot be understood, or its data not be used
├── TrainingStopped      a run stopped before its end, and says how to go on
├── MissingExtra         an optional package is not installed
└── Offline              something has to be downloaded and cannot be
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SamespaceError(Exception):
    """Base of all errors raised on purpose; `str(error)` is fit to show to a person."""


class UnreadableMedia(SamespaceError):
    """One file cannot be decoded. `reason` is a short clause without the file's name."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class UnknownSpace(SamespaceError):
    """A space cannot be found, or its folder is not one we understand."""


class UnsupportedModel(UnknownSpace):
    """A checkpoint is of an architecture, or has a setting, that our own towers do not have."""


class WrongSpace(SamespaceError):
    """The library holds no vectors of the space that was asked for."""


class WeightsMismatch(SamespaceError):
    """Names or shapes in a checkpoint do not fit the architecture it names."""


class LibraryError(SamespaceError):
    """The library is missing, unreadable, or cannot be written."""


class MissingLibrary(LibraryError):
    """A library, what is to be indexed into it, or what is asked of it, is not there."""


class LibraryBusy(LibraryError):
    """Another process is writing to the library."""


class QueryError(SamespaceError):
    """The query, a filter or a list of labels cannot be understood."""


class UnknownGenerator(SamespaceError):
    """A generator cannot be found, or is not one we understand."""


class UnknownAssistant(SamespaceError):
    """An assistant or a language model cannot be found, or is not one we understand."""


class RequestError(SamespaceError):
    """A conversation, or what was asked for with it, cannot be answered."""


class ConfigError(SamespaceError):
    """A run config, or a source that it names, cannot be used."""


class TrainingStopped(SamespaceError):
    """A run stopped before its end: asked to, out of disk, or by a loss that is no number."""


class EndpointFailed(RequestError):
    """An endpoint that answers for an assistant cannot be reached, or refuses."""


class OperationStopped(SamespaceError):
    """A page or a screen can no longer be operated."""


class MissingExtra(SamespaceError):
    """An optional package is needed for this."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs samespace[{extra}], which is not installed: {install_command(extra)}")


def install_command(extra: str) -> str:
    """Return the command that installs an extra: from the folder that samespace itself was installed from, if it was."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        source = json.loads(distribution("samespace").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, OSError, ValueError):
        source = {}
    if not str(source.get("url", "")).startswith("file://"):
        return f'pip install "samespace[{extra}]"'
    editable = "-e " if source.get("dir_info", {}).get("editable") else ""
    return f'pip install {editable}"{url2pathname(urlsplit(source["url"]).path)}[{extra}]"'


class Offline(SamespaceError):
    """A download is needed, and downloads are switched off or fail."""


def as_utf8(text: str) -> str:
    """Replace by ? what is not UTF-8, as names of files, arguments of a terminal, and JSON may contain."""
    return text.encode("utf-8", "replace").decode()


def error_summary(error: BaseException) -> str:
    """Return another library's error on one line, as part of a sentence."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def cause_of(error: BaseException) -> BaseException:
    """Return the error that an error came from in the first place."""
    while before := error.__cause__ or error.__context__:
        error = before
    return error


@contextmanager
def whole_config(folder: Path, kind: type[SamespaceError]) -> Iterator[None]:
    """Turn what readers of settings raise where a config lacks something, or has it in another form, into one sentence."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise kind(f"{folder} does not say all that it has to say of its model ({error!r}); download it again") from None
