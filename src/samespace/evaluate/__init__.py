"""Metrics of spaces and assistants on labelled data."""
