"""The colours of a picture, by name."""

import numpy as np
import numpy.typing as npt
from PIL import Image

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
"""Names of colours that are told apart."""
HUES = {"red": 0, "orange": 28, "yellow": 52, "green": 120, "blue": 215, "purple": 275, "pink": 330}
"""The hues that names stand for, in degrees."""
BORDERS = (
    (14, "red"),
    (40, "orange"),
    (68, "yellow"),
    (170, "green"),
    (252, "blue"),
    (300, "purple"),
    (345, "pink"),
    (361, "red"),
)
"""Where in degrees a colour's hues end."""


def name_pixels(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the index in COLOURS of each pixel: uint8 (N, 3) → int64 (N,)."""
    hsv = np.asarray(Image.fromarray(rgb[None]).convert("HSV"), np.float32)[0]
    hue, saturation, value = hsv[:, 0] * 360 / 255, hsv[:, 1] / 255, hsv[:, 2] / 255
    ends, names = np.array([end for end, _ in BORDERS]), np.array([COLOURS.index(name) for _, name in BORDERS])
    named = names[np.searchsorted(ends, hue, side="right").clip(max=len(ends) - 1)]
    grey = np.where(value < 0.3, COLOURS.index("black"), np.where(value > 0.85, COLOURS.index("white"), COLOURS.index("grey")))
    warm = np.isin(named, [COLOURS.index("red"), COLOURS.index("orange"), COLOURS.index("yellow")])
    named = np.where(warm & (value < 0.62) & (hue > 8) & (hue < 60), COLOURS.index("brown"), named)
    named = np.where((named == COLOURS.index("red")) & (saturation < 0.55) & (value > 0.75), COLOURS.index("pink"), named)
    named = np.where((saturation < 0.18) | (value < 0.16), grey, named)
    return named.astype(np.int64)


def colour_shares(rgba: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Return the share of each colour in what is opaque of a picture, uint8 (H, W, 4); empty where nothing is."""
    opaque = rgba[rgba[..., 3] > 127][:, :3]
    if not len(opaque):
        return {}
    counts = np.bincount(name_pixels(opaque), minlength=len(COLOURS)) / len(opaque)
    return dict(zip(COLOURS, counts.tolist()))


def dominant_colour(rgba: npt.NDArray[np.uint8], least: float = 0.5) -> str:
    """Return the colour of at least that share of what is opaque of a picture, uint8 (H, W, 4); empty where none is."""
    shares = colour_shares(rgba)
    best = max(shares, key=lambda name: shares[name], default="")
    return best if best and shares[best] >= least else ""
