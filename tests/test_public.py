"""What the package promises to outsiders."""

import inspect
import os
import subprocess
import sys

import samespace


def test_all_is_sorted_and_there():
    assert samespace.__all__ == sorted(samespace.__all__)
    for name in samespace.__all__:
        assert getattr(samespace, name).__doc__, f"{name} has no docstring"
    assert set(samespace.__all__) <= set(dir(samespace))


def test_public_functions_and_methods_have_docstrings():
    for name in samespace.__all__:
        thing = getattr(samespace, name)
        if inspect.isclass(thing):
            bare = [m for m, f in vars(thing).items() if inspect.isfunction(f) and not m.startswith("_") and not f.__doc__]
            assert bare == [], f"{name}: {bare}"


def test_nothing_is_told_to_anyone(tmp_path):
    """ONNX Runtime notes who uses it, and sends that home, unless it is told not to: a fresh home stays as it was."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR")}
    code = "import samespace; samespace.load('starter').text(['a cat'])"
    subprocess.run([sys.executable, "-c", code], env=kept | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_importing_costs_nothing():
    done = subprocess.run(
        [sys.executable, "-c", "import samespace, sys; print(len(sys.modules))"], capture_output=True, text=True
    )
    bare = subprocess.run([sys.executable, "-c", "import sys; print(len(sys.modules))"], capture_output=True, text=True)
    assert int(done.stdout) - int(bare.stdout) < 20
