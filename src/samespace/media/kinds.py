"""Which files are media, and of which kind, by the suffix of their name."""

from pathlib import Path

RAW = frozenset(".3fr .arw .cr2 .cr3 .dng .erf .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .srw .x3f".split())
"""Camera raw files; reading them needs the extra `raw`."""
IMAGE = RAW | frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .webp .avif .heic .heif .hif .tif .tiff .jp2 .j2k .ppm .pgm .pbm .pnm "
    ".tga .ico .svg .svgz .jxl".split()
)
"""Image files. Reading SVG needs the extra `svg`, JPEG XL the extra `jxl`."""

AUDIO = frozenset(".wav .flac .mp3 .ogg .oga .m4a .opus .aac .wma .aiff .aif".split())
VIDEO = frozenset(".mp4 .m4v .mkv .webm .mov .avi".split())
OFFICE = frozenset(".odt .odp .ods .doc .docx .ppt .pptx .xls .xlsx .rtf".split())
"""Office files, which LibreOffice converts to PDF."""
TEXT_FILE = frozenset(".txt .md .markdown .html .htm .xhtml .epub .eml".split())
"""Files that are read as text, without pages of their own."""
DOCUMENT = OFFICE | TEXT_FILE | {".pdf"}
KINDS = {"image": IMAGE, "audio": AUDIO, "video": VIDEO, "document": DOCUMENT}
"""Kind of file → its suffixes, in lower case."""


def kind_of(path: Path) -> str | None:
    """Return the file's kind, one of KINDS, or None for a file that is not media."""
    suffix = path.suffix.lower()
    return next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), None)
