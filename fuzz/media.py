"""Mutated pictures, videos, sounds and documents, through the indexer as it is."""

import faulthandler
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import samespace
from samespace.library.library import Library

from .mutate import mutated

BATCH, MEMORY, SECONDS = 200, 16 << 30, 600
"""Files that are indexed at a time; bytes of addresses; seconds that a batch may take, which is far more than the whole of one does."""
HERE = Path(__file__).parent
SAMPLES = HERE.parent / "tests"
sys.path.insert(0, str(SAMPLES))


def samples(folder: Path) -> list[Path]:
    """Write a small file of each of many formats; return them."""
    from media_files import scene, tone, write_audio, write_document, write_video

    folder.mkdir()
    for kind in ("jpg", "png", "gif", "webp", "tiff", "bmp", "ico", "ppm", "tga", "jp2"):
        scene((200, 90, 30), (64, 48)).save(folder / f"x.{kind}")
    write_video(folder / "x.mp4", [(scene((20, 90, 200), (64, 48)), 1.0)])
    for kind, codec in (("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("opus", "libopus")):
        write_audio(folder / f"x.{kind}", tone(0.5), codec)
    write_document(folder / "x.pdf", ["A page with words"])
    texts = {"svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="5" height="5"/></svg>', "txt": "some words",
             "html": "<p>some words", "eml": "Subject: x\n\nbody", "md": "# Words", "csv": "a,b\n1,2\n"}  # fmt: skip
    for kind, text in texts.items():
        (folder / f"x.{kind}").write_text(text, "utf-8")
    return sorted(folder.iterdir())


def main(seconds: float) -> int:
    """Index mutated files for some seconds; print how many. A batch in which something fell is kept."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rng, end, count, skipped = random.Random(), time.monotonic() + seconds, 0, 0
    space = samespace.load("starter")
    kept = HERE / "found" / "media"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        files = samples(scratch / "samples")
        contents = {file: file.read_bytes() for file in files}
        while time.monotonic() < end:
            kept.mkdir(parents=True, exist_ok=True)
            album = kept / f"batch-{rng.getrandbits(32):08x}"  # stays where something falls
            album.mkdir()
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            for i in range(BATCH):
                file = rng.choice(files)
                (album / f"{count + i}{file.suffix}").write_bytes(mutated(contents[file], [*contents.values()], rng))
            library = Library(scratch / f"library{count}", space)
            report = library.add([album])
            skipped += len(report.skipped)
            count += BATCH
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(album)
    print(f"{count:,} files, {skipped:,} skipped with a reason")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[2])))
