"""Pixels as small pictures: which numbers become which colours."""

import base64
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.bands import composite
from bigearth_xr.labels import CLASSES_43
from bigearth_xr.ops.scale import GAMMA, NARROWEST, PERCENTILES, brighten, limits_of

__all__ = [
    "RGB_BANDS",
    "RGB_STRETCH",
    "SAR_BANDS",
    "SAR_STRETCH",
    "STANDARD_STRETCH",
    "Picture",
    "color_map",
    "color_optical",
    "color_radar",
    "color_standardised",
    "pictures_of",
    "png_uri",
]

RGB_BANDS = composite("rgb").bands
"""Red, green and blue."""

SAR_BANDS = ("VV", "VH")
"""The polarizations that the radar picture is made of."""

_NARROWEST = 10_000 * NARROWEST
"""In digital numbers."""

_SAR_RANGES_DB = {"VV": (-20.0, 0.0), "VH": (-28.0, -6.0), "VV − VH": (-2.0, 24.0)}
"""Backscatter shown as black and as white, by channel: red, green, blue."""

RGB_STRETCH = (
    f"red, green, blue = {', '.join(RGB_BANDS)}; per patch, percentile {PERCENTILES[0]:g} to "
    f"{PERCENTILES[1]:g} of the three bands together, at least {NARROWEST:g} of reflectance, "
    f"gamma {GAMMA:g}"
)
"""How the optical picture is stretched, for a reader."""

SAR_STRETCH = "red, green, blue = " + ", ".join(
    f"{name} from {low:g} to {high:g} dB".replace("-", "−") for name, (low, high) in _SAR_RANGES_DB.items()
)
"""How the radar picture is stretched, for a reader; the same for every patch."""

_DEVIATIONS = 2.0
"""Standard deviations from the mean at which a standardised band is black, and white."""

STANDARD_STRETCH = f"from −{_DEVIATIONS:g} to {_DEVIATIONS:g} standard deviations, black to white"
"""How a picture of standardised bands is stretched, for a reader."""

Picture = NDArray[np.uint8]


def pictures_of(bands: Mapping[str, NDArray[np.generic]]) -> dict[str, Picture]:
    """Draw one patch, as its bands by name allow, shape ``(y, x)`` each: ``Optical``, ``Radar``, both or neither."""
    pictures = {}
    if bands.keys() >= set(RGB_BANDS):
        pictures["Optical"] = color_optical(bands[name] for name in RGB_BANDS)
    if bands.keys() >= set(SAR_BANDS):
        pictures["Radar"] = color_radar(bands["VV"], bands["VH"])
    return pictures


def color_optical(bands: Iterable[NDArray[np.generic]]) -> Picture:
    """Draw red, green and blue as the eye would see them, brightened.

    Parameters
    ----------
    bands
        Three bands of one patch, shape ``(y, x)``; 10 000 is a reflectance of 1.

    Returns
    -------
    NDArray[np.uint8]
        Shape ``(y, x, 3)``. The three share one stretch, so that hues stay true.
    """
    pixels = np.stack([np.asarray(band, np.float32) for band in bands])
    low, high = limits_of(pixels, _NARROWEST)
    return _bytes(np.moveaxis(brighten(pixels, low, high), 0, -1))


def color_radar(vv: NDArray[np.generic], vh: NDArray[np.generic]) -> Picture:
    """Draw VV, VH and their ratio; all patches alike, so that they can be compared.

    Parameters
    ----------
    vv, vh
        Backscatter of one patch, shape ``(y, x)``, float32, dB.

    Returns
    -------
    NDArray[np.uint8]
        Shape ``(y, x, 3)``; black where a value is not finite.

    Examples
    --------
    >>> color_radar(np.float32([[0]]), np.float32([[-6]]))
    array([[[255, 255,  78]]], dtype=uint8)
    """
    from bigearth_xr.ops.spectral import radar_ratio_db

    channels = (vv, vh, np.asarray(radar_ratio_db(vv, vh)))
    ranges = _SAR_RANGES_DB.values()
    return _bytes(
        np.stack(
            [
                (np.asarray(channel, np.float32) - low) / (high - low)
                for channel, (low, high) in zip(channels, ranges, strict=True)
            ],
            axis=-1,
        )
    )


def color_standardised(bands: Iterable[NDArray[np.generic]]) -> Picture:
    """Draw standardised bands, all patches and bands alike.

    Parameters
    ----------
    bands
        Three bands of one patch as red, green and blue, or one in grey; shape ``(y, x)``, standard deviations.

    Returns
    -------
    NDArray[np.uint8]
        Shape ``(y, x, 3)``; the mean is a middle grey, what is not finite black.

    Examples
    --------
    >>> color_standardised([np.float32([[-2, 0, 2, 9]])])[0, :, 0]
    array([  0, 128, 255, 255], dtype=uint8)
    """
    pixels = np.stack([np.asarray(band, np.float32) for band in bands], axis=-1)
    brightness = (pixels + _DEVIATIONS) / (2 * _DEVIATIONS)
    return _bytes(np.broadcast_to(brightness, (*pixels.shape[:2], 3)))


def color_map(codes: ArrayLike) -> Picture:
    """Draw a reference map in the colours of CORINE Land Cover.

    Parameters
    ----------
    codes
        CORINE codes, shape ``(y, x)``, uint16.

    Returns
    -------
    NDArray[np.uint8]
        Shape ``(y, x, 4)``; transparent where there is no class.

    Examples
    --------
    >>> color_map([[112, 999]])[0].tolist()
    [[255, 0, 0, 255], [0, 0, 0, 0]]
    """
    return _CORINE[np.asarray(codes, np.uint16)]


def png_uri(picture: Picture) -> str:
    """Encode a picture for the ``src`` of an image."""
    import imagecodecs

    png = imagecodecs.png_encode(np.ascontiguousarray(picture), level=9)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _bytes(brightness: NDArray[np.floating]) -> Picture:
    """Turn 0 to 1 into 0 to 255; what lies beyond is cut off, what is unknown is black."""
    clipped = np.nan_to_num(brightness, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
    picture: Picture = (clipped * 255).round().astype(np.uint8)
    return picture


def _corine() -> Picture:
    """Tabulate the colour of every code that 16 bits can hold."""
    colors: Mapping[int, tuple[int, int, int]] = {int(one.clc_codes[0]): one.color for one in CLASSES_43}
    table = np.zeros((2**16, 4), np.uint8)
    for code, color in colors.items():
        table[code] = (*color, 255)
    return table


_CORINE = _corine()
