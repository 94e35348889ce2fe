"""The command in the process of the tests: what it prints and its exit code are those of a process, without starting one."""

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from samespace.cli.main import main


def run(*arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, input: str = "") -> CompletedProcess:
    """Run `samespace` with arguments, in a folder, with more environment variables, and with text on its stdin."""
    words = ["samespace", *map(str, arguments)]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(sys, "argv", list(words))
        patch.setattr(sys, "stdin", io.StringIO(input))
        patch.chdir(cwd or Path.cwd())
        os.environ.update({"COLUMNS": "200", "NO_COLOR": "1"} | dict(env or {}))
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = _exit_code()
        finally:  # options such as --device set variables
            os.environ.clear()
            os.environ.update(before)
    texts = (stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err))
    return CompletedProcess(words, code, *texts)


def _exit_code() -> int:
    """Run the command and return what its process would exit with; other exceptions than its own go to stderr."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0
