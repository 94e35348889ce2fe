"""Run commands for real and draw what a terminal would show: python docs/record.py OUT.svg 'COMMAND' …"""

import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def main(out: Path, commands: list[str]) -> None:
    console = Console(record=True, width=92, file=open("/dev/null", "w"), force_terminal=True)
    for command in commands:
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        console.print(Text.assemble(("$ ", "bold green"), command))
        console.print(Text(done.stderr + done.stdout))
    console.save_svg(str(out), title="samespace")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
