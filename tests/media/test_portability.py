"""The modules that read media import on Windows, which lacks parts of the standard library."""

import subprocess
import sys

import pytest

MODULES = ("audio", "document", "image", "kinds", "ocr", "pdfium", "speech", "video")
WINDOWS = """
import os, signal, sys
for name in ("fork", "getuid", "killpg", "register_at_fork", "sched_getaffinity", "sched_setaffinity"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "alarm", "setitimer"):
    if hasattr(signal, name):
        delattr(signal, name)
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
import importlib
importlib.import_module("samespace.media." + sys.argv[1])
"""


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_without_what_only_posix_has(module):
    done = subprocess.run([sys.executable, "-c", WINDOWS, module], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
