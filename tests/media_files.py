"""Videos, audio files and documents that tests make themselves, with real encoders."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

FPS = 10
PLAIN = (
    "computer webcam box stamp lightbulb transistor chef pear paper man bamboo daffodil leaf card knitting drums jigsaw trophy "
    "cloud coffee triangle icicles broom smoke"
).split()
"""Titles of held-out drawings that are everyday words."""


def scene(colour: tuple[int, int, int], size: tuple[int, int] = (320, 180)) -> Image.Image:
    """Draw a scene: a background of one colour, and a lighter square, whose position depends on the colour."""
    image = Image.new("RGB", size, colour)
    x = sum(colour) % (size[0] - 60)
    image.paste(tuple(min(255, c + 90) for c in colour), (x, 40, x + 60, 100))
    return image


def write_video(
    path: Path, scenes: list[tuple[Image.Image, float]], codec: str = "libx264", audio: np.ndarray | None = None, **options
) -> Path:
    """Write a video of scenes, each with its length in seconds; `audio` is mono at 16 kHz, float32 (N,)."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=FPS, options={k: str(v) for k, v in options.items()})
        stream.width, stream.height = scenes[0][0].size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        audio_stream = out.add_stream("aac", rate=16_000, layout="mono") if audio is not None else None
        for image, seconds in scenes:
            for _ in range(round(seconds * FPS)):
                out.mux(stream.encode(av.VideoFrame.from_image(image)))
        out.mux(stream.encode(None))
        if audio_stream is not None:
            write_samples(out, audio_stream, audio)
    return path


def write_audio(path: Path, samples: np.ndarray, codec: str = "pcm_s16le", rate: int = 16_000) -> Path:
    """Write an audio file of mono samples: float32 (N,)."""
    with av.open(str(path), "w") as out:
        write_samples(out, out.add_stream(codec, rate=rate, layout="mono"), samples, rate)
    return path


def write_samples(out, stream, samples: np.ndarray, rate: int = 16_000, begin: int = 0, last: bool = True) -> None:
    """Encode samples into a stream, from sample number `begin` on; `last`: nothing follows."""
    for start in range(0, len(samples), 960):
        block = np.ascontiguousarray(samples[None, start : start + 960], np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, begin + start, Fraction(1, rate)
        out.mux(stream.encode(frame))
    if last:
        out.mux(stream.encode(None))


def tone(seconds: float, hertz: float = 440.0, rate: int = 16_000) -> np.ndarray:
    """Return a sine: float32 (N,)."""
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_document(path: Path, pages: list[str], **settings) -> Path:
    """Write a PDF with one or more lines of text on each page. Pages of less than 20 characters are read by OCR, for seconds."""
    from reportlab.pdfgen import canvas

    out = canvas.Canvas(str(path), **settings)
    for text in pages:
        for i, line in enumerate(text.split("\n")):
            out.drawString(72, 760 - 18 * i, line)
        out.showPage()
    out.save()
    return path


def on_white(file: Path) -> Image.Image:
    """Return a drawing on a white background."""
    canvas = Image.new("RGB", (320, 240), "white")
    with Image.open(file) as drawing:
        drawing = drawing.convert("RGBA").resize((220, 220))
    canvas.paste(drawing, (50, 10), drawing)
    return canvas
