"""Which files we look at, by the ending of their names."""

from pathlib import Path

RAW = frozenset(".3fr .arw .cr2 .cr3 .dng .erf .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .srw .x3f".split())
"""Camera raw files; reading them needs the extra `raw`."""
IMAGE = RAW | frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .webp .avif .heic .heif .hif .tif .tiff .jp2 .j2k .ppm .pgm .pbm .pnm "
    ".tga .ico .svg .svgz".split()
)
"""Pictures, and drawings that we name in the report but cannot read (SVG)."""


def kind_of(path: Path) -> str | None:
    """`image`, or None for a file that is not media."""
    return "image" if path.suffix.lower() in IMAGE else None
