"""Keep the walks of docs/architecture.md true: each step is a function that exists, with the line where it stands.

    python docs/walks.py      # writes the line numbers anew

A step is written `room/file.py:Class.function` and links to its line.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "samespace"
PAGE = ROOT / "docs" / "architecture.md"
STEP = re.compile(r"\[`(?P<file>[\w/]+\.py):(?P<name>[\w.]+)`\]\((?P<link>[^)#]+)#L(?P<line>\d+)\)")


@dataclass(frozen=True)
class Step:
    """A function on a walk."""

    file: str
    name: str
    line: int
    """As the page says."""

    @property
    def room(self) -> str:
        """The folder it is in."""
        return self.file.rpartition("/")[0]

    @property
    def node(self) -> ast.AST:
        """Its definition. Raises KeyError where there is none."""
        body: list[ast.stmt] = ast.parse((SOURCE / self.file).read_text("utf-8")).body
        for part in self.name.split("."):
            found = [n for n in body if getattr(n, "name", None) == part]
            if not found:
                raise KeyError(f"{self.file} has no {self.name}")
            body = found[-1].body
        return found[-1]


def walks() -> dict[str, list[Step]]:
    """Return the walks of the page by their names."""
    text = PAGE.read_text("utf-8").partition("## Walks")[2].partition("\n## ")[0]
    found = re.findall(r"^- \*\*(.+?)\*\*(.*?)(?=^- \*\*|\Z)", text, re.S | re.M)
    return {
        name: [Step(m["file"], m["name"], int(m["line"])) for m in STEP.finditer(body)]
        for name, body in found
    }  # fmt: skip


def main() -> None:
    """Write the line numbers anew."""

    def renumbered(match: re.Match[str]) -> str:
        step = Step(match["file"], match["name"], 0)
        return f"[`{step.file}:{step.name}`](../src/samespace/{step.file}#L{step.node.lineno})"

    PAGE.write_text(STEP.sub(renumbered, PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
