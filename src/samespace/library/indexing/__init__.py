"""Files in, segments with vectors out."""
