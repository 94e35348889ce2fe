"""Run commands and draw what a terminal shows: python docs/record.py OUT.svg 'COMMAND' …"""

import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 92


def main(out: Path, commands: list[str]) -> None:
    """Run each command in a shell, and write an SVG of the commands with their output."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for command in commands:
        result = subprocess.run(command, shell=True, capture_output=True, text=True)
        console.print(Text.assemble(("$ ", "bold green"), command))
        console.print(Text(result.stderr + result.stdout))
    console.save_svg(str(out), title="samespace")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
