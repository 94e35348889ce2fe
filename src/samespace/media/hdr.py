"""Colours of HDR video as sRGB's: what is as bright as paper stays as it is, and what is brighter is compressed."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

PQ, HLG = 16, 18
"""Transfer characteristics: SMPTE ST 2084 and ARIB STD-B67. ITU-T H.273, table 3."""
WHITE_NITS = 203.0
"""Brightness of white paper. ITU-R BT.2408, table 1."""
HLG_PEAK_NITS = 1000.0
"""Brightness of the display that HLG is meant for. ITU-R BT.2100, table 5."""
KNEE = 0.8
"""Up to this share of white nothing is compressed."""
TO_SRGB = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
"""BT.2020's primaries as BT.709's. ITU-R BT.2087, annex 2."""
LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
"""Shares of BT.2020's primaries in luminance."""


def _from_pq(v: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the light of PQ values in nits. SMPTE ST 2084, §5.2."""
    p = v ** (32 / 2523)
    light: npt.NDArray[np.float32] = 10_000 * (np.maximum(p - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * p)) ** (8192 / 1305)
    return light


def _from_hlg(v: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the light of HLG values in nits, on the display that they are meant for. ITU-R BT.2100, table 5."""
    scene = np.where(v <= 0.5, v**2 / 3, (np.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    brightness = np.maximum(scene @ LUMINANCE, 1e-6)[..., None] ** 0.2
    return np.asarray(HLG_PEAK_NITS * brightness * scene, np.float32)


LIGHT: dict[int, Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]] = {PQ: _from_pq, HLG: _from_hlg}
"""Transfer characteristic → what turns its values into light."""


def to_srgb(pixels: npt.NDArray[np.uint8], transfer: int) -> npt.NDArray[np.uint8]:
    """Return the pixels of an HDR frame, uint8 (H, W, 3), BT.2020's RGB with the transfer PQ or HLG, as sRGB: uint8 (H, W, 3)."""
    values = (np.arange(256) / 255).astype(np.float32)
    coded = LIGHT[transfer](values)[pixels] if transfer == PQ else LIGHT[transfer](values[pixels])
    light = np.maximum(coded / WHITE_NITS @ TO_SRGB.T, 0)
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    above = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
    light = light * (np.minimum(brightest, KNEE) + (1 - KNEE) * above / (1 + above)) / brightest
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)
    return np.asarray(encoded.clip(0, 1) * 255 + 0.5, np.uint8)
