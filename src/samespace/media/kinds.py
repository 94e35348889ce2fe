"""Which files we look at, by the ending of their names."""

from pathlib import Path

RAW = frozenset(".3fr .arw .cr2 .cr3 .dng .erf .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .srw .x3f".split())
"""Camera raw files; reading them needs the extra `raw`."""
IMAGE = RAW | frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .webp .avif .heic .heif .hif .tif .tiff .jp2 .j2k .ppm .pgm .pbm .pnm "
    ".tga .ico .svg .svgz".split()
)
"""Pictures, and drawings that we name in the report but cannot read (SVG)."""

AUDIO = frozenset(".wav .flac .mp3 .ogg .oga .m4a .opus .aac .wma .aiff .aif".split())
VIDEO = frozenset(".mp4 .m4v .mkv .webm .mov .avi".split())
OFFICE = frozenset(".odt .odp .ods .doc .docx .ppt .pptx .xls .xlsx .rtf".split())
"""What LibreOffice makes pages of."""
DOCUMENT = OFFICE | {".pdf"}
KINDS = {"image": IMAGE, "audio": AUDIO, "video": VIDEO, "document": DOCUMENT}


def kind_of(path: Path) -> str | None:
    """One of KINDS, or None for a file that is not media."""
    ending = path.suffix.lower()
    return next((kind for kind, endings in KINDS.items() if ending in endings), None)
