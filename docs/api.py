"""The API reference, from the docstrings: python -m docs.api FOLDER"""

import pkgutil
import sys
from pathlib import Path

import pdoc
import pdoc.render

import benchmarks.torchvision_on_cpu  # noqa: F401  open_clip imports torchvision
import samespace


def main(folder: Path) -> None:
    for name in samespace.__all__:  # they are imported when first asked for, and pdoc does not ask
        setattr(samespace, name, getattr(samespace, name))
    found = pkgutil.walk_packages(samespace.__path__, "samespace.")
    modules = [module.name for module in found if not module.name.endswith("__main__")]
    samespace.__all__ = [*samespace.__all__, *(name.removeprefix("samespace.") for name in modules if name.count(".") == 1)]
    pdoc.render.configure(docformat="markdown", footer_text=f"samespace {samespace.__version__}")
    pdoc.pdoc("samespace", *modules, output_directory=folder)
    print(folder / "index.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
