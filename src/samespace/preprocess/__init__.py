"""Turn images, audio and text into model input: the preprocessing that travels with a space. NumPy and Pillow only."""

__all__: list[str] = []
