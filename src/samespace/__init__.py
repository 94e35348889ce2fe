"""samespace: pictures and words in one embedding space, local and private.

import samespace
space = samespace.load("starter")
space.text(["a cat"]) @ space.image(["cat.jpg"]).T
library = samespace.Library()
library.add(["~/Pictures"])
library.search("a cat on a sofa")
"""

from importlib import import_module

_HOMES = {
    "Filter": ".index.filter",
    "Hit": ".library",
    "Library": ".library",
    "Report": ".library",
    "SamespaceError": ".errors",
    "Space": ".space",
    "load": ".hub",
}
__all__ = ["Filter", "Hit", "Library", "Report", "SamespaceError", "Space", "load"]
__version__ = "0.1.0"


def __getattr__(name: str):
    """Public names are imported when first used, so that `import samespace` costs nothing."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
