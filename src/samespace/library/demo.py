"""Six photographs indexed and searched: the shortest way to see what this does."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..core.errors import MissingExtra, install_command
from .library import Library

PHOTOGRAPHS = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg")
PHRASES = (
    "a cat", "a cup of coffee", "an astronaut", "a rocket launch", "a motorcycle", "galaxies in space",
    "a furry pet", "something hot to drink", "a two-wheeled vehicle",
)  # fmt: skip


def photographs() -> list[Path]:
    """Return the six demo photographs, from the scikit-image package. Raises MissingExtra."""
    try:
        import skimage.data
    except ImportError:
        raise MissingExtra("the demo", "demo") from None
    folder = Path(skimage.data.__file__).parent
    return [folder / name for name in PHOTOGRAPHS]


def run(library: Path | None, out: Callable[[str], None]) -> None:
    """Index the photographs into `library` (a temporary one by default) and print ranked answers."""
    pictures = photographs()
    with tempfile.TemporaryDirectory(prefix="samespace-demo-") as scratch:
        lib = Library(library or Path(scratch) / "library", "starter")
        report = lib.add(pictures)
        out(f"indexed {report.added + report.same} photographs in {report.seconds:.1f} s with the space {lib.space.name!r}\n")
        for phrase in PHRASES:
            hits = lib.search(phrase, top=3)
            out(f"{phrase:24} → " + "   ".join(f"{Path(h.path).stem} {h.score:.2f}" for h in hits))
    command = "samespace" if shutil.which("samespace") else sys.argv[0]
    out(f'\nnow your own pictures:\n  {command} index ~/Pictures\n  {command} search "a dog on the beach" --grid hits.html')
    if library is None:
        out(f"or in a browser: make serve, or {install_command('serve')} and samespace serve")
