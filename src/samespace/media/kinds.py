"""Which files are media, and of which kind, by the suffix of their name."""

import mimetypes
from pathlib import Path

RAW = frozenset(
    ".3fr .arw .cr2 .cr3 .dcr .dng .erf .gpr .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .srw .x3f".split()
)
"""Camera raw files; reading them needs the extra `raw`."""
IMAGE = RAW | frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .webp .avif .avifs .heic .heics .heif .heifs .hif .tif .tiff "
    ".jp2 .j2k .j2c .jpf .jpx .jpc .ppm .pgm .pbm .pnm .tga .ico .psd .svg .svgz .jxl".split()
)
"""Image files. Reading SVG needs the extra `svg`, JPEG XL the extra `jxl`."""

AUDIO = frozenset(
    ".wav .flac .mp3 .mp2 .ogg .oga .spx .m4a .m4b .opus .aac .ac3 .wma .aiff .aif .aifc .au .caf .mka .weba .amr .ape .wv .tta".split()
)
VIDEO = frozenset(
    ".mp4 .m4v .mp .mkv .webm .mov .qt .avi .divx .mts .m2ts .m2t .mpg .mpeg .mpe .m2v .vob .3gp .3g2 .wmv .asf .flv .f4v .ogv .mxf .dv "
    ".mod .tod .rm .rmvb".split()
)
"""Video files that FFmpeg reads. `.mp` is the film of a motion photo; `.ts` is left out, for most such files are TypeScript."""
OFFICE = frozenset(
    ".odt .odp .ods .odg .fodt .fodp .fods .doc .docx .docm .dot .dotx .ppt .pptx .pptm .pps .ppsx .xls .xlsx .xlsm .rtf .wpd".split()
)
"""Office files, which LibreOffice converts to PDF."""
TEXT_FILE = frozenset(".txt .md .markdown .html .htm .xhtml .epub .eml".split())
"""Files that are read as text, without pages of their own."""
DOCUMENT = OFFICE | TEXT_FILE | {".pdf"}
NO_MEDIA = frozenset(".ts .m3u .m3u8 .pls .qtl".split())
"""TypeScript and playlists, which the system's table of suffixes has as films and recordings."""
KINDS = {"image": IMAGE, "audio": AUDIO, "video": VIDEO, "document": DOCUMENT}
"""Kind of file → its suffixes, in lower case."""


def kind_of(path: Path) -> str | None:
    """Return the file's kind, one of KINDS, or None for a file that is not media."""
    suffix = path.suffix.lower()
    return next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), None)


def is_unread_media(path: Path) -> bool:
    """Whether a file has the suffix of a picture, a film or a recording, as the system's table has them, of a kind that is not read."""
    suffix = path.suffix.lower()
    if suffix in NO_MEDIA or kind_of(path):
        return False
    guess, _ = mimetypes.guess_type(f"a{suffix}")
    return (guess or "").partition("/")[0] in ("image", "audio", "video")
