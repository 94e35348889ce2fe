"""Read media files: bytes in, images, samples, text and metadata out. Pillow, FFmpeg and PDFium; never torch."""

__all__: list[str] = []
