"""What a library keeps on disk."""
