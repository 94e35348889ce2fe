"""Text in pictures: how many are read in a second, with text in them and without."""

import time

from PIL import Image, ImageDraw, ImageFont

from samespace.library.demo import photographs
from samespace.media import ocr

SIZE, COUNT = (1500, 1000), 12


def run() -> list[dict[str, str]]:
    plain = [Image.open(path).convert("RGB").resize(SIZE) for path in photographs()]
    plain = [picture for picture in plain if not ocr.lines(picture)][:COUNT]
    signs = [sign(picture, number) for number, picture in enumerate(plain)]
    quick, full, read = (
        rate(looked_through, plain),
        rate(ocr.lines, plain),
        rate(looked_through, signs),
    )
    found = sum("ROSSI" in " ".join(line.text for line in looked_through(picture)) for picture in signs)
    return [
        {"what": "photographs without text, looked through for it", "ours": f"{quick:.1f}/s", "peer": f"RapidOCR alone: {full:.1f}/s", "ratio": f"{quick / full:.1f}"},
        {"what": f"photographs of a sign, read ({found} of {len(signs)} right)", "ours": f"{read:.1f}/s"},
    ]  # fmt: skip


def looked_through(picture: Image.Image) -> list[ocr.Line]:
    """As a library is read: only where there seems to be text."""
    return ocr.lines(picture) if ocr.shows_text(picture) else []


def sign(picture: Image.Image, number: int) -> Image.Image:
    """A photograph with a sign in it."""
    made = picture.copy()
    pen = ImageDraw.Draw(made)
    pen.rectangle((300, 300, 1200, 500), fill=(30, 70, 50))
    pen.text((340, 340), f"BAKERY ROSSI {number}", "white", ImageFont.load_default(100))
    return made


def rate(read, pictures: list[Image.Image]) -> float:
    """Pictures a second, after one to warm up."""
    read(pictures[0])
    begun = time.perf_counter()
    for picture in pictures:
        read(picture)
    return len(pictures) / (time.perf_counter() - begun)
