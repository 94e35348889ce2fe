"""`python -m samespace` is the command too."""

from .cli import main

main()
