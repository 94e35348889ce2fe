"""Image files of every format, whole and broken."""

import gzip
import io
import urllib.request
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from samespace.core.errors import UnreadableMedia
from samespace.media import image as media
from samespace.media.metadata.picture import embedded

TARGET = 64


def read(image: Image.Image, name: str, **options) -> tuple[Image.Image, media.Size]:
    """Save an image in the format of its suffix, and read it back."""
    return media.read(Path(name), saved(image, name, **options), TARGET)


def saved(image: Image.Image, name: str, **options) -> bytes:
    """Return an image encoded in the format of the name's suffix."""
    if name.endswith(".heic"):
        pillow_heif.register_heif_opener()
    out = io.BytesIO()
    image.save(out, Image.registered_extensions()[Path(name).suffix], **options)
    return out.getvalue()


@pytest.fixture
def halves() -> Image.Image:
    """Red on the left, blue on the right, 200 × 100."""
    image = Image.new("RGB", (200, 100), "blue")
    image.paste("red", (0, 0, 100, 100))
    return image


def sides(image: Image.Image) -> tuple[str, str]:
    """Return the stronger of red and blue at the left and at the right edge."""
    pixels = np.asarray(media.opaque(image)).astype(int)
    row = pixels[len(pixels) // 2]
    return tuple("red" if p[0] > p[2] else "blue" for p in (row[2], row[-3]))


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.webp", "a.avif", "a.tiff", "a.bmp", "a.gif", "a.jp2", "a.ppm", "a.tga", "a.heic"]
)
def test_formats(halves, name):
    image, size = read(halves, name)
    assert size == (200, 100)
    assert sides(image) == ("red", "blue")


def test_a_file_with_a_wrong_suffix_is_read_by_its_content(halves):
    image, _ = media.read(Path("photo.heic"), saved(halves, "a.png"), TARGET)
    assert sides(image) == ("red", "blue")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(halves, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, size = read(halves, "a.jpg", exif=exif)
    upright = orientation <= 4
    assert size == ((200, 100) if upright else (100, 200))
    assert (image.width > image.height) == upright
    if upright:
        assert sides(image) == (("red", "blue") if orientation in (1, 4) else ("blue", "red"))


def test_large_jpegs_are_decoded_at_a_reduced_scale(photographs):
    big = Image.open(photographs / "astronaut.png").convert("RGB").resize((4000, 3000))
    image, size = read(big, "big.jpg")
    assert size == (4000, 3000)
    assert image.size == (500, 375)  # an eighth, the smallest scale that JPEG has
    whole = media.opaque(big).resize((TARGET, TARGET), Image.Resampling.BICUBIC)
    small = image.resize((TARGET, TARGET), Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(whole, int) - np.asarray(small, int))
    assert difference.mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"])
def test_modes_become_rgb(mode):
    image = Image.new(mode, (40, 30))
    assert media.opaque(media.to_eight_bits(image)).mode == "RGB"


def test_sixteen_bit_and_float_keep_their_greys():
    ramp = np.tile(np.linspace(0, 65535, 100), (50, 1))
    sixteen, _ = read(Image.fromarray(ramp.astype(np.uint16)), "a.png")
    floating, _ = read(Image.fromarray((ramp / 65535).astype(np.float32)), "a.tiff")
    expected = np.tile(np.linspace(0, 255, 100), (50, 1))
    for image in (sixteen, floating):
        assert np.abs(np.asarray(image.convert("L"), float) - expected).max() <= 1.5


def test_float_with_nan_is_read():
    pixels = np.full((20, 20), np.nan, np.float32)
    pixels[:10] = 1.0
    image, _ = read(Image.fromarray(pixels), "a.tiff")
    assert image.mode == "L"


def test_cmyk_jpeg(halves):
    image, _ = read(halves.convert("CMYK"), "a.jpg")
    assert sides(image) == ("red", "blue")


def test_animation_gives_its_first_frame(halves):
    frames = [Image.new("RGB", (200, 100), "green")]
    for name in ("a.gif", "a.webp", "a.png"):
        image, _ = read(halves, name, save_all=True, append_images=frames)
        assert sides(image) == ("red", "blue")


def broken() -> dict[str, tuple[str, bytes, str]]:
    """Return name → (file name, content, part of the reason)."""
    photo = saved(Image.effect_noise((300, 300), 50).convert("RGB"), "a.jpg")
    bomb = saved(Image.new("1", (30_000, 20_000)), "a.png")
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">'
    return {
        "empty": ("a.jpg", b"", "empty"),
        "truncated": ("a.jpg", photo[: len(photo) // 2], "cut short"),
        "text": ("a.jpg", b"this is not a picture", "not a picture"),
        "svg": ("a.svg", svg, "broken XML"),
        "svg called png": ("a.png", svg, "broken XML"),
        "600 megapixels": ("a.png", bomb, "megapixels"),
        "zeros": ("a.png", bytes(1000), "not a picture"),
        "header only": ("a.png", saved(Image.new("RGB", (9, 9)), "a.png")[:33], ""),
        "postscript": ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
        "heic in name only": ("a.heic", b"\0\0\0\x18ftypheic" + bytes(200), ""),
        "raw": ("a.nef", b"II*\0" + bytes(100), "raw"),
    }


@pytest.mark.parametrize("case", broken())
def test_broken_files_have_a_reason(case):
    name, data, reason = broken()[case]
    with pytest.raises(UnreadableMedia) as caught:
        media.read(Path(name), data, TARGET)
    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason and len(caught.value.reason) < 250


def test_every_prefix_of_an_image_file_is_read_or_refused(photographs):
    """A file cut short anywhere raises UnreadableMedia or gives an image, never another error."""
    picture = Image.open(photographs / "chelsea.png").resize((60, 40))
    for name in ("a.jpg", "a.png", "a.gif", "a.webp", "a.tiff", "a.bmp"):
        data = saved(picture, name)
        for cut in range(0, len(data), max(1, len(data) // 40)):
            try:
                media.read(Path(name), data[:cut], TARGET)
            except UnreadableMedia as error:
                assert error.reason


def test_a_turned_tiff_has_its_size_as_displayed(halves):
    exif = Image.Exif()
    exif[0x0112] = 6
    image, size = read(halves, "a.tiff", exif=exif)
    assert size == image.size == (100, 200)


@pytest.mark.parametrize("name", ["a.avif", "a.heic", "a.webp", "a.jp2", "a.tiff"])
def test_corrupt_images_of_every_codec_have_a_reason(photographs, name):
    """A file with overwritten bytes raises UnreadableMedia or gives an image, never another error."""
    data = saved(Image.open(photographs / "coffee.png").resize((200, 130)), name)
    rng = np.random.default_rng(0)
    for _ in range(30):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), 20):
            broken[position] = rng.integers(256)
        try:
            media.read(Path(name), bytes(broken), TARGET)
        except UnreadableMedia as error:
            assert error.reason


def test_a_data_uri_holds_the_encoded_image(halves):
    uri = media.data_uri(media.jpeg(halves, 50), "jpeg")
    assert uri.startswith("data:image/jpeg;base64,")
    with urllib.request.urlopen(uri) as reply:
        assert Image.open(io.BytesIO(reply.read())).size == (50, 25)


XMLNS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_svg_is_drawn_as_large_as_needed(pack):
    drawing = f'<svg {XMLNS} width="20" height="10"><rect width="10" height="10" fill="red"/></svg>'
    image, size = media.read(Path("a.svg"), pack(drawing.encode()), 100)
    assert size == image.size == (400, 200)
    assert image.getpixel((100, 100)) == (255, 0, 0, 255) and image.getpixel((300, 100))[3] == 0


OUTSIDE = {
    "picture": '<image href="/etc/passwd" width="9" height="9"/>',
    "old link": '<image xlink:href="file:///etc/passwd" width="9" height="9"/>',
    "address": '<image href="https://example.org/a.png" width="9" height="9"/>',
    "drawing in a drawing": '<image href="data:image/svg+xml;base64,AAAA" width="9" height="9"/>',
    "use": '<use href="other.svg#a"/>',
    "style": '<style>rect { fill: url( "other.svg#a") }</style>',
    "import": '<style>@import "other.css"</style>',
    "attribute": '<rect fill="url(other.svg#a)" width="9" height="9"/>',
    "filter": '<filter id="f"><feImage href="other.png"/></filter>',
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_svg_that_names_something_outside_is_refused(what):
    drawing = f'<svg {XMLNS} width="9" height="9">{OUTSIDE[what]}</svg>'
    with pytest.raises(UnreadableMedia, match="outside itself"):
        media.read(Path("a.svg"), drawing.encode(), 100)


@pytest.mark.parametrize(
    ("drawing", "reason"),
    [
        ('<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', "entities"),
        ("<svg>" + "<g>" * 5000 + "</g>" * 5000 + "</svg>", "nested too deeply"),
        ("not xml <svg", "broken XML"),
    ],
)
def test_svg_bombs_are_refused(drawing, reason):
    with pytest.raises(UnreadableMedia, match=reason):
        media.read(Path("a.svg"), drawing.encode(), 100)


def test_svg_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr("samespace.media.svg.SECONDS", 1)
    blur = f'<svg {XMLNS} width="9000" height="9000"><filter id="f"><feGaussianBlur stdDeviation="1000"/></filter>'
    drawing = blur + '<rect filter="url(#f)" width="9000" height="9000"/>' * 500 + "</svg>"
    with pytest.raises(UnreadableMedia, match="too long"):
        media.read(Path("a.svg"), drawing.encode(), 100)


def test_jpeg_xl(photographs):
    pylibjxl = pytest.importorskip("pylibjxl")
    photograph = Image.open(photographs / "coffee.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "X100V", 6
    data = pylibjxl.encode(np.asarray(photograph), exif=b"\0\0\0\0" + exif.tobytes()[6:], lossless=True)
    image, size = media.read(Path("a.jxl"), data, 150)
    assert size == image.size == (600, 400)  # the orientation in EXIF is not applied: the decoder has turned what was to be
    assert np.abs(np.asarray(image, float) - np.asarray(photograph, float)).max() == 0
    assert media.size_of(data) == (600, 400) and embedded(Path("a.jxl"), data).camera == "X100V"
    for broken_data in (data[: len(data) // 2], b"\xff\x0a" + bytes(50)):
        with pytest.raises(UnreadableMedia, match="broken or cut short"):
            media.read(Path("a.jxl"), broken_data, 150)


def profile(gamma: float, swapped: bool = False) -> bytes:
    """Return an ICC profile of sRGB's primaries, or red's and green's swapped, and a gamma. ICC.1:2001-04, §6."""
    primaries = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
    primaries = [primaries[i] for i in ((1, 0, 2) if swapped else (0, 1, 2))]

    def fixed(*values: float) -> bytes:
        return b"".join(round(value * 65536).to_bytes(4, "big", signed=True) for value in values)

    curve = b"curv\0\0\0\0\0\0\0\1" + round(gamma * 256).to_bytes(2, "big") + bytes(2)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249), b"desc": b"desc" + bytes(4) + b"\0\0\0\5test\0" + bytes(79)}
    tags |= {name + b"XYZ": b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in zip((b"r", b"g", b"b"), primaries)}
    tags |= {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + (start + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data + bytes(-len(data) % 4)
    head = bytes(4) + b"\2\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    head = head.ljust(124, b"\0")
    rest = len(tags).to_bytes(4, "big") + table + body
    return (4 + len(head) + len(rest)).to_bytes(4, "big") + head + rest


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff", "a.avif", "a.heic"])
def test_the_colours_of_a_profile_become_srgbs(name):
    linear, _ = read(Image.new("RGB", (64, 64), (55, 55, 55)), name, icc_profile=profile(1.0))
    assert np.asarray(linear.convert("RGB")).mean() == pytest.approx(128, abs=2)  # light of 0.2157 is half of sRGB's scale
    swapped, _ = read(Image.new("RGB", (64, 64), (200, 20, 20)), name, icc_profile=profile(2.2, swapped=True))
    red, green, blue = np.asarray(swapped.convert("RGB")).mean((0, 1))
    assert green > 190 and red < 60 and blue < 60


def test_transparency_and_palettes_stay_and_a_broken_profile_is_left_alone():
    picture = Image.new("RGBA", (8, 8), (55, 55, 55, 90))
    clear, _ = read(picture, "a.png", icc_profile=profile(1.0))
    assert clear.mode == "RGBA" and clear.getpixel((0, 0))[3] == 90 and clear.getpixel((0, 0))[0] == pytest.approx(128, abs=2)
    palette, _ = read(picture.convert("RGB").convert("P"), "a.png", icc_profile=profile(1.0))
    assert palette.convert("RGB").getpixel((0, 0))[0] == pytest.approx(128, abs=4)
    broken, _ = read(picture.convert("RGB"), "a.png", icc_profile=b"no profile" * 20)
    assert broken.getpixel((0, 0)) == (55, 55, 55)
    assert media.upright(Image.open(io.BytesIO(saved(picture, "a.png", icc_profile=profile(1.0))))).getpixel((0, 0))[0] > 120


DOCTYPE = (
    '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
)


@pytest.mark.parametrize("reference", ["url(#g)", "url('#g')", 'url("#g")', "url( #g )", "url( '#g' )"])
def test_svg_as_editors_and_browsers_write_it(reference):
    gradient = '<defs><linearGradient id="g"><stop stop-color="red"/></linearGradient></defs>'
    shape = f"<style>circle {{ fill: {reference} }}</style><circle cx='45' cy='45' r='40'/>"
    image, _ = media.read(Path("a.svg"), f'{DOCTYPE}<svg {XMLNS} width="90" height="90">{gradient}{shape}</svg>'.encode(), 90)
    assert image.getpixel((image.width // 2, image.height // 2))[:2] == (255, 0)
    for outside in (reference.replace("#g", "other.svg#g"), reference.replace("#g", "http://x/#g")):
        with pytest.raises(UnreadableMedia, match="outside itself"):
            media.read(Path("a.svg"), f"<svg {XMLNS}><style>a {{ fill: {outside} }}</style></svg>".encode(), 90)


def test_white_letters_on_transparent_ground_can_be_seen():
    picture = Image.new("RGBA", (60, 20))
    picture.paste((255, 255, 255, 255), (20, 5, 40, 15))
    seen = np.asarray(media.opaque(picture))
    assert seen[10, 30].tolist() == [255] * 3 and seen[2, 2].tolist() == [media.DARK] * 3
    picture.paste((200, 30, 30, 255), (45, 5, 55, 15))
    assert np.asarray(media.opaque(picture))[2, 2].tolist() == [255] * 3  # the red can be seen
    assert np.asarray(media.opaque(Image.new("RGBA", (9, 9))))[0, 0].tolist() == [255] * 3
    assert np.asarray(media.opaque(Image.new("RGBA", (9, 9), "white")))[0, 0].tolist() == [255] * 3
