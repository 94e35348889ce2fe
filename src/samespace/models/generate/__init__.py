"""Models that make pictures, and more."""
