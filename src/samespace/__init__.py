"""samespace: pictures, words, sound and video in one embedding space, local and private.

import samespace

space = samespace.load("starter")
space.text(["a cat"]) @ space.image(["cat.jpg"]).T  # cosines
library = samespace.Library()
library.add(["~/Pictures"])
library.search("a cat on a sofa")
"""

import os
from importlib import import_module

TYPE_CHECKING = False  # importing typing would cost more than all the rest; type checkers know the name
if TYPE_CHECKING:
    from .core.errors import SamespaceError
    from .generate.generator import Generator, load_generator
    from .library.indexing.report import Report
    from .library.library import Library
    from .library.search.hits import Hit
    from .library.store.filter import Filter
    from .operating.operate import operate
    from .spaces.registry import load
    from .spaces.space import Space

for _switch in (
    "ORT_DISABLE_TELEMETRY",
    "HF_HUB_DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
):  # libraries send telemetry unless they are switched off
    os.environ[_switch] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

_MODULES = {
    "Filter": ".library.store.filter",
    "Generator": ".generate.generator",
    "Hit": ".library.search.hits",
    "Library": ".library.library",
    "Report": ".library.indexing.report",
    "SamespaceError": ".core.errors",
    "Space": ".spaces.space",
    "load": ".spaces.registry",
    "load_generator": ".generate.generator",
    "operate": ".operating.operate",
}
__all__ = ["Filter", "Generator", "Hit", "Library", "Report", "SamespaceError", "Space", "load", "load_generator", "operate"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import samespace` costs nothing."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
