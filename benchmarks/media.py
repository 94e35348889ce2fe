"""Video, sound and documents of some size: how long indexing takes, and how much memory, whatever the length."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image
from reportlab.pdfgen import canvas

from . import WORK
from .measured import measure

MINUTES, PAGES, RECORDINGS, FPS, RATE = 60, 1000, 1000, 25, 48_000


def run() -> list[dict[str, str]]:
    rows = []
    for what, make in (
        (f"{MINUTES} minutes of 1080p, H.264 and AAC, indexed", film), (f"{PAGES} pages of PDF, indexed", pages),
        (f"{RECORDINGS} recordings of 5 s, indexed", recordings),
    ):  # fmt: skip
        made = make()
        with tempfile.TemporaryDirectory() as scratch:
            measured = measure([sys.executable, "-m", "benchmarks.our_side", "starter", made, scratch])
        rows.append({"what": what, "ours": f"{measured['seconds']:.0f} s, {measured['peak_mb']:.0f} MB"})
    return rows


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made once."""
    folder = WORK / name
    if not folder.exists():
        scratch = WORK / f"{name}.part"
        scratch.mkdir(parents=True, exist_ok=True)
        make(scratch)
        scratch.rename(folder)
    return folder


def film() -> Path:
    """Scenes of random length between 2 and 30 seconds, each a drawn ground that moves a little, and noise that swells."""

    def make(folder: Path) -> None:
        rng, left = np.random.default_rng(0), MINUTES * 60 * FPS
        with av.open(str(folder / "film.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "250", "sc_threshold": "40"})
            stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
            sound = out.add_stream("aac", rate=RATE, layout="mono")
            while left > 0:
                ground = Image.fromarray(rng.integers(0, 255, (6, 10, 3), np.uint8)).resize(
                    (2000, 1125), Image.Resampling.BICUBIC
                )
                thumbnail = [ground.crop((i, i, i + 1920, i + 1080)) for i in range(0, 40, 10)]
                frames = [av.VideoFrame.from_image(picture).reformat(format="yuv420p") for picture in thumbnail]
                count = min(left, int(rng.integers(2, 30)) * FPS)
                for i in range(count):
                    frame = frames[i // 10 % 4]
                    frame.pts = None
                    out.mux(stream.encode(frame))
                heard = rng.normal(0, 0.1, count * RATE // FPS) * np.sin(np.linspace(0, rng.uniform(1, 20), count * RATE // FPS))
                out.mux(sound.encode(as_audio(heard)))
                left -= count
            out.mux(stream.encode(None))
            out.mux(sound.encode(None))

    return kept("film", make)


def as_audio(samples: np.ndarray) -> av.AudioFrame:
    """float (N,), within ±1 → a frame of one channel."""
    frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
    frame.sample_rate = RATE
    return frame


def pages() -> Path:
    """Documents of fifty pages, a dozen lines and a coloured figure on each."""

    def make(folder: Path) -> None:
        rng = np.random.default_rng(1)
        words = ["".join(map(chr, rng.integers(97, 123, rng.integers(3, 9)))) for _ in range(3000)]
        for n in range(PAGES // 50):
            out = canvas.Canvas(str(folder / f"{n:03}.pdf"))
            for _ in range(50):
                for line in range(12):
                    out.drawString(60, 760 - 16 * line, " ".join(rng.choice(words, 12)))
                out.setFillColorRGB(*rng.random(3))
                out.circle(300, 300, 120, fill=1)
                out.showPage()
            out.save()

    return kept("pages", make)


def recordings() -> Path:
    """Noise that swells, five seconds each."""

    def make(folder: Path) -> None:
        import wave

        rng = np.random.default_rng(2)
        for n in range(RECORDINGS):
            samples = rng.normal(0, 3000, 80_000) * np.sin(np.linspace(0, rng.uniform(1, 20), 80_000))
            with wave.open(str(folder / f"{n:04}.wav"), "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(16_000)
                out.writeframes(samples.clip(-32767, 32767).astype(np.int16).tobytes())

    return kept("recordings", make)
