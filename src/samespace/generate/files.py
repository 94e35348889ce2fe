"""Drawings as files: PNG with what they were made from, sheets of several, and GIFs of their steps."""

import io
import math
import wave
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..core.errors import QueryError, as_utf8
from .sampler import Pictures, on_white, to_rgba

STEP_SECONDS, LAST_SECONDS = 0.12, 2.0
"""How long a GIF shows a step, and the result."""
ORIGIN = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""What IPTC calls pictures that a trained model made."""


MOST_PIXELS, MOST_GIF_PIXELS = 2**26, 2**27
"""Of a sheet, and of all frames of an animation."""


def check_pixels(count: int, side: int, frames: int = 1) -> None:
    """Raise QueryError where a sheet of drawings, `side` pixels each, or its animation would not fit into the memory of a small machine."""
    pixels = count * side**2
    if pixels > MOST_PIXELS or (frames > 1 and pixels * frames > MOST_GIF_PIXELS):
        what = f"{count} drawings of {side} × {side} pixels" + (f" in {frames} steps" if frames > 1 else "")
        raise QueryError(f"{what} are more than one file should hold; draw fewer, or smaller ones, or leave --gif out")


def sheet(drawings: npt.NDArray[np.uint8], scale: int) -> Image.Image:
    """Return drawings, uint8 (B, S, S, 4), side by side in a square as good as can be, each `scale` times as large."""
    count, size = len(drawings), drawings.shape[1] * scale
    across = math.ceil(math.sqrt(count))
    whole = Image.new("RGBA", (across * size, math.ceil(count / across) * size))
    for i, drawing in enumerate(drawings):
        large = Image.fromarray(drawing).resize((size, size), Image.Resampling.BICUBIC)
        whole.paste(large, (i % across * size, i // across * size))
    return whole


def about(query: str, name: str, seed: int, steps: int, guidance: float) -> dict[str, str]:
    """Return what a drawing's file says of itself: what was asked for, and of whom."""
    comment = f"drawn by samespace with {name}: seed {seed}, steps {steps}, guidance {guidance:g}"
    return {"Description": query, "Comment": comment}


def png(picture: Image.Image, about: Mapping[str, str]) -> bytes:
    """Return a picture as PNG, with what it was made from as text and the mark of a made picture as XMP (IPTC's, too)."""
    info = PngInfo()
    for name, value in ({"Software": "samespace"} | dict(about)).items():
        info.add_itxt(name, as_utf8(value))
    info.add_itxt("XML:com.adobe.xmp", xmp(about.get("Description", "")))
    out = io.BytesIO()
    picture.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def xmp(description: str) -> str:
    """Return an XMP packet that says that a model made a picture, and of what words."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType={quoteattr(ORIGIN)}>'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(as_utf8(description))}</rdf:li></rdf:Alt></dc:description>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def sheet_on_white(drawings: Pictures, scale: int) -> Image.Image:
    """Return drawings, float32 (B, 4, S, S), as a `sheet` on white: RGB."""
    return Image.fromarray(on_white(np.asarray(sheet(to_rgba(drawings), scale))[None])[0])


def gif(steps: Sequence[Pictures], scale: int) -> bytes:
    """Return the steps of drawings as an animation on white, which ends on the result and begins again."""
    frames = [sheet_on_white(step, scale) for step in steps]
    out, seconds = io.BytesIO(), [STEP_SECONDS] * (len(frames) - 1) + [LAST_SECONDS]
    durations = [round(1000 * one) for one in seconds]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return out.getvalue()


def wav(samples: npt.NDArray[np.float32], rate: int) -> bytes:
    """Return samples (N,), −1 to 1, as a WAV file of 16 bits."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()
