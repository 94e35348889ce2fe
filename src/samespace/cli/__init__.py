"""The `samespace` command."""
