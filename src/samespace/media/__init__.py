"""Bytes in, arrays and facts out. Pillow and its kin; never torch."""
