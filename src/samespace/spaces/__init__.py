"""A space on disk and in memory: found, downloaded, converted, opened."""
