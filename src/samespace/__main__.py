"""`python -m samespace` is the command too."""

from .cli.main import main

main()
