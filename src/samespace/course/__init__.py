"""The course on vision and language in one space: its outline, and what its exercises compute on the running models."""
